"""`requeue` and `discard` beside other writers of the file."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from azoth_dlq import chunks
from azoth_dlq.cli import main
from azoth_dlq.store.sqlite import SqliteStore
from tests.cli.conftest import Workplace


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
