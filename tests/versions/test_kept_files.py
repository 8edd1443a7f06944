"""Files of earlier versions, each as it was made then: opened, read, drained and changed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer, EventHandlerRegistry
from azoth_dlq.cli import main
from azoth_dlq.store.sqlite import migrations
from tests.versions.make import DATA, EDITED, EDITED_PARKED, WHO

KEPT = sorted(DATA.glob("azoth-dlq-*.db"))
# What is left in them: two that were never attempted, one that failed and was edited, one that
# failed, one that was requeued, one that was put off, one that is claimed, and one from elsewhere.
EVENT_IDS = [1, 2, 3, 4, 5, 7, 8, 9]
TYPES = ["ok", "fails", "never", "snoozes", "deadly"]
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'azoth_dlq_%'"

LOOKS = [
    ["status"],
    ["groups"],
    ["groups", "--parked"],
    ["list"],
    ["list", "--parked"],
    ["audit"],
]
CHANGES = [
    ["requeue", "--all", "--yes"],
    ["discard", "--all", "--yes"],
    ["discard", "--parked", "--all", "--yes"],
    ["purge", "--parked-for", "0", "--yes"],
]


@pytest.fixture(params=["this version", "one that needs a further step"], autouse=True)
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which opens the files."""
    if request.param != "this version":
        number = migrations.LATEST + 1
        columns = (("dead_letter_queue", "azoth_colour", "TEXT"),)
        step = migrations.Migration(number, "colours", number, (), columns)
        monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, step))
        monkeypatch.setattr(migrations, "LATEST", number)
        monkeypatch.setattr(migrations, "REQUIRED", migrations.REQUIRED | {number})


@pytest.fixture(params=KEPT, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copy(request.param, tmp_path / "kept.db"))


@pytest.fixture
def queue(path: Path) -> Iterator[DeadLetterQueue]:
    with DeadLetterQueue.open(path) as opened:
        yield opened


def id_of(path: Path, event_id: int) -> int:
    with closing(sqlite3.connect(path)) as connection:
        statement = "SELECT id FROM dead_letter_queue WHERE event_id = ?"
        letter_id: int = connection.execute(statement, (event_id,)).fetchone()[0]
        return letter_id


def test_there_is_one_of_the_first_version() -> None:
    assert DATA / "azoth-dlq-0.1.db" in KEPT


def test_each_holds_all_that_is_kept_of_letters(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute(TABLES)]
        assert len(names) > 5
        for name in names:
            rows = connection.execute(f"SELECT count(*) FROM {name}")  # noqa: S608 -- a name of ours
            assert rows.fetchone()[0] > 0, name


def test_its_letters_are_as_they_were(queue: DeadLetterQueue) -> None:
    letters = {letter.event_id: letter for letter in queue.letters()}
    assert sorted(letters) == EVENT_IDS
    assert letters[3].event_bytes == EDITED
    assert queue.original(letters[3].id) == b"fails:3"
    assert [letters[n].retry_count for n in (1, 3, 4, 5)] == [0, 1, 1, 0]
    assert letters[7].not_before is not None
    assert letters[4].last_error == "ValueError: the ledger does not answer"
    assert [one.outcome for one in queue.history(letters[4].id)] == ["failed"]
    (parked,) = queue.permanent_failures()
    assert (parked.event_id, parked.event_bytes) == (6, EDITED_PARKED)
    assert queue.original(parked.id, parked=True) == b"never:6"
    assert {one.action for one in queue.audit() if one.who == WHO} == {"edit", "import", "requeue"}


def test_its_letters_are_drained(path: Path, queue: DeadLetterQueue) -> None:
    """Each once, and none of them charged with a death: the claim ended with its process."""
    calls: list[int] = []
    registry = EventHandlerRegistry()

    def handle(conn: Any, event_id: int, _payload: bytes) -> None:
        calls.append(event_id)
        if conn is not None:
            conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    for kind in TYPES:
        registry.register(kind, handle, transactional=kind != "deadly")
    report = DlqReplayer(queue, registry, DlqReplayConfig()).drain(now=True)
    assert (report.succeeded, report.failed, report.parked) == (len(EVENT_IDS), 0, 0)
    assert sorted(calls) == EVENT_IDS
    with closing(sqlite3.connect(path)) as connection:
        effects = connection.execute("SELECT event_id FROM effects ORDER BY 1").fetchall()
    assert effects == [(n,) for n in EVENT_IDS if n != 8]
    assert (queue.count(), queue.permanent_failure_count()) == (0, 1)


@pytest.mark.parametrize("arguments", LOOKS, ids=" ".join)
def test_a_command_that_looks_reads_it_and_leaves_it_as_it_is(
    path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = path.read_bytes()
    command, *options = arguments
    assert main([command, str(path), *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["database"] == str(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("arguments", CHANGES, ids=" ".join)
def test_a_command_that_acts_changes_it(
    path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = arguments
    assert main([command, str(path), *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["matched"] > 0


def test_a_letter_is_shown_edited_back_exported_and_taken_in(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited, failed = (str(id_of(path, event_id)) for event_id in (3, 4))
    assert main(["show", str(path), failed, "--json"]) == 0
    assert "the ledger does not answer" in capsys.readouterr().out
    assert main(["edit", str(path), edited, "--restore"]) == 0
    with DeadLetterQueue.open(path) as queue:
        assert {letter.event_id: letter.event_bytes for letter in queue.letters()}[3] == b"fails:3"
    exported, other = str(tmp_path / "kept.jsonl"), str(tmp_path / "other.db")
    assert main(["export", str(path), "--output", exported]) == 0
    assert main(["import", other, exported, "--create"]) == 0
    with DeadLetterQueue.open(other) as queue:
        assert sorted(letter.event_id for letter in queue.letters()) == EVENT_IDS
