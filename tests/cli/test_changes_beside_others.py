"""`requeue` and `discard` beside other writers of the file."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from azoth_dlq import chunks
from azoth_dlq.cli import main
from azoth_dlq.store.sqlite import SqliteStore
from tests.cli.conftest import Workplace, until

# Waits outside the transaction until there is a file `go`.
WAITING = """
import pathlib, time

@registry.handler("waits", transactional=False)
def waits(conn, event_id, payload):
    with open("calls.txt", "a") as file:
        file.write("called\\n")
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
"""


@pytest.mark.parametrize("arguments", [["--all", "--yes"], [str(n) for n in range(1, 3501)]])
def test_the_file_is_left_to_others_after_each_second(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """Each reading of the clock is 0.6 s later: each second chunk is followed by a pause."""
    workplace.make(*["ok"] * 3500)
    readings = iter(range(10**6))
    pauses: list[tuple[float, int]] = []

    def pause(seconds: float) -> None:
        with closing(sqlite3.connect(workplace.database, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
        pauses.append((seconds, workplace.count("dead_letter_queue")))

    monkeypatch.setattr(chunks, "monotonic", lambda: next(readings) * 0.6)
    monkeypatch.setattr(chunks, "sleep", pause)
    assert main(["discard", str(workplace.database), *arguments]) == 0
    assert pauses == [(0.11, 2500), (0.11, 500)]
    assert workplace.count("dead_letter_queue") == 0


def test_letters_that_are_gone_meanwhile_are_not_missed(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workplace.make("ok", "ok")
    workplace.execute("DELETE FROM dead_letter_queue WHERE id = 1")
    monkeypatch.setattr(SqliteStore, "find", lambda *_, **__: [1, 2])
    assert main(["discard", str(workplace.database), "--all", "--yes", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["discarded"], document["missing"]) == (1, [])


@pytest.mark.parametrize("export", [[], ["--export", "out.jsonl"]])
def test_what_a_drain_has_claimed_is_left_alone(workplace: Workplace, export: list[str]) -> None:
    """Its handlers are called, or will be: a letter that came back would be done twice."""
    workplace.add_handler(WAITING)
    workplace.make(*["waits"] * 8)
    command = ("drain", "projection.db", "--handlers", "handlers:registry", "--concurrency", "2")
    drain = workplace.start(*command, "--json")
    calls = workplace.folder / "calls.txt"
    until(lambda: calls.exists() and len(calls.read_text().split()) == 2, drain)
    discard = ("discard", "projection.db", "--all", "--yes", *export)
    done = json.loads(workplace.run(*discard, "--json").stdout)
    assert done["matched"] == done["discarded"] + done["left_alone"] == 8
    assert 2 <= done["left_alone"] < 8
    (workplace.folder / "go").touch()
    stdout, _ = drain.communicate(timeout=60)
    assert json.loads(stdout)["succeeded"] == done["left_alone"]
    assert len(calls.read_text().split()) == done["left_alone"]
    assert workplace.count("dead_letter_queue") == 0
    if export:
        taken = json.loads(workplace.run("import", "projection.db", "out.jsonl", "--json").stdout)
        assert taken["dead_letters"] == done["discarded"]
    workplace.execute("DELETE FROM dead_letter_queue")


def test_people_are_told_of_it(workplace: Workplace) -> None:
    workplace.add_handler(WAITING)
    workplace.make("waits")
    drain = workplace.start("drain", "projection.db", "--handlers", "handlers:registry")
    until((workplace.folder / "calls.txt").exists, drain)
    done = workplace.run("discard", "projection.db", "1")
    told = "1 letter left alone: changed meanwhile, gone, or in the hands of a handler"
    assert done.stdout == f"0 dead letters discarded\n{told}\n"
    (workplace.folder / "go").touch()
    drain.communicate(timeout=60)
