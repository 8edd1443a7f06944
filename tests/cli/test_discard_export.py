"""`discard --export`: what is deleted is what was written, and can be taken back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue
from azoth_dlq.acting import Act
from azoth_dlq.exchange.discarding import export_and_discard
from azoth_dlq.filters import LetterFilter
from tests.cli.conftest import Workplace, error_line


@pytest.fixture
def mixed(workplace: Workplace) -> Workplace:
    """Dead letters 1 to 5, of which 2 and 4 are of type audit, and permanent failures 1 and 2."""
    workplace.make("ok", "audit:\xff", "ok", "audit", "ok")
    workplace.execute(
        "INSERT INTO azoth_dlq_history (letter_id, at, outcome, error_type, message, traceback) "
        "VALUES (2, 5, 'failed', 'ValueError', 'wrong', '')"
    )
    workplace.execute("UPDATE dead_letter_queue SET azoth_last_error = 'wrong' WHERE id = 2")
    workplace.park()
    workplace.park()
    return workplace


def everything(workplace: Workplace) -> list[Any]:
    columns = "id, event_id, event_bytes, error_message, failed_at, retry_count, azoth_last_error"
    return [
        sorted(workplace.execute(statement), key=repr)
        for statement in (
            f"SELECT {columns} FROM dead_letter_queue",  # noqa: S608 -- names of our own
            f"SELECT {columns} FROM permanent_failures",  # noqa: S608 -- as above
            "SELECT letter_id, parked_id, at, outcome, message FROM azoth_dlq_history",
        )
    ]


def exported(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:-1]]


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_what_was_discarded_can_be_taken_back(mixed: Workplace, name: str) -> None:
    before = everything(mixed)
    done = mixed.run("discard", "projection.db", "--type", "audit", "--export", name, "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "2 dead letters discarded\n"
        f"they are written to {name}; `azoth-dlq import projection.db {name}` takes them back\n"
    )
    assert [i for (i,) in mixed.execute("SELECT id FROM dead_letter_queue")] == [1, 3, 5]
    (action,) = json.loads(mixed.run("audit", "projection.db", "--json").stdout)["actions"]
    assert (action["done"], action["details"]) == (2, {"export": name})
    assert mixed.run("import", "projection.db", name).returncode == 0
    assert everything(mixed) == before
    # Each letter comes back once.
    mixed.run("discard", "projection.db", "2", "4", "--yes")
    document = json.loads(mixed.run("import", "projection.db", name, "--json").stdout)
    assert (document["dead_letters"], document["skipped"]) == (0, 2)


def test_permanent_failures_are_written_out_too(mixed: Workplace) -> None:
    arguments = ("discard", "projection.db", "--parked", "2", "--export", "out.jsonl", "--json")
    document = json.loads(mixed.run(*arguments).stdout)
    assert (document["discarded"], document["export"], document["left_alone"]) == (
        1,
        "out.jsonl",
        0,
    )
    (line,) = exported(mixed.folder / "out.jsonl")
    assert (line["table"], line["id"]) == ("permanent_failures", 2)


def test_a_failed_export_discards_nothing(mixed: Workplace) -> None:
    before = everything(mixed)
    (mixed.folder / "there").write_text("mine")
    for target in ("there", "no/such/folder/out", "."):
        done = mixed.run("discard", "projection.db", "--all", "--yes", "--export", target)
        assert (done.returncode, done.stdout) == (1, "")
    assert everything(mixed) == before
    assert (mixed.folder / "there").read_text() == "mine"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux alone has a full device")  # noqa: PTH110 -- a device
def test_a_full_disk_discards_nothing(mixed: Workplace) -> None:
    os.symlink("/dev/full", mixed.folder / "full")  # noqa: PTH211 -- as above
    done = mixed.run("discard", "projection.db", "--all", "--yes", "--export", "full")
    assert (done.returncode, done.stdout) == (1, "")
    assert mixed.count("dead_letter_queue") == 5


def test_a_letter_that_changes_after_it_was_written_stays(tmp_path: Path) -> None:
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        ids = [queue.add(n, b"ok:x", "boom") for n in range(5)]
        act = Act(queue.store, "discard", LetterFilter(parked=False), "alice")
        steps = export_and_discard(
            queue.store, act, act.freeze(), tmp_path / "out.jsonl", str(tmp_path / "a.db")
        )
        next(steps)  # it is written
        queue.mark_retry(ids[1])
        queue.edit(ids[2], b"ok:y", by="bob")
        queue.remove(ids[3])
        queue.add(9, b"ok:x", "boom")
        for _ in steps:
            pass
        assert act.done == 2
        assert sorted(letter.id for letter in queue.letters()) == [ids[1], ids[2], 6]
    assert len(exported(tmp_path / "out.jsonl")) == 5


def test_what_was_written_by_an_interrupted_export_is_not_gone_on_with(mixed: Workplace) -> None:
    (mixed.folder / "out.jsonl.partial").write_text('{"format": "azoth-dlq"}\n')
    done = mixed.run("discard", "projection.db", "1", "--export", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert [line["id"] for line in exported(mixed.folder / "out.jsonl")] == [1]


# Exports of letters that fit


def test_an_export_takes_the_filters_of_all_commands(mixed: Workplace) -> None:
    mixed.run("export", "projection.db", "--type", "audit", "--output", "a.jsonl")
    assert [line["id"] for line in exported(mixed.folder / "a.jsonl")] == [2, 4]
    mixed.run("export", "projection.db", "--dead", "1-2", "5", "--output", "b.jsonl")
    assert [line["id"] for line in exported(mixed.folder / "b.jsonl")] == [1, 2, 5]
    mixed.run("export", "projection.db", "--type", "ok", "--parked", "--output", "c.jsonl")
    assert [line["table"] for line in exported(mixed.folder / "c.jsonl")] == [
        "permanent_failures"
    ] * 2
    told = error_line(mixed.run("export", "projection.db", "1", "--output", "d.jsonl"), 2)
    assert "ids are of dead letters or of permanent failures: give --dead or --parked" in told


def test_an_import_is_in_the_audit(mixed: Workplace) -> None:
    mixed.run("export", "projection.db", "--dead", "--output", "a.jsonl")
    mixed.run("import", "other.db", "a.jsonl", "--create", "--as", "carol")
    mixed.run("import", "other.db", "a.jsonl", "--dry-run")
    actions = json.loads(mixed.run("audit", "other.db", "--json").stdout)["actions"]
    (action,) = actions
    assert (action["who"], action["action"], action["filter"]) == (
        "carol",
        "import",
        {"file": "a.jsonl"},
    )
    assert (action["matched"], action["done"], action["details"]) == (5, 5, {"whole": True})


def test_letters_are_written_to_a_file_that_is_read_again(mixed: Workplace) -> None:
    done = mixed.run("discard", "projection.db", "--all", "--yes", "--export", "-")
    assert "--export takes a file: it is read again" in error_line(done, 2)
    assert mixed.count("dead_letter_queue") == 5
