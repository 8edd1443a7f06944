"""Imports and exports that are killed at random instants and begun again; others beside them."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue
from tests.attacks import Attack
from tests.crash.processes import NEEDS_SIGKILL, Program
from tests.exchange.files import fail_some, lines_of, stored

LETTERS = 6_000
FIRST = 100  # event id


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Many letters, some of them with histories."""
    path = tmp_path / "a.db"
    fail_some(path)
    with DeadLetterQueue.open(path) as queue:
        letters = range(FIRST, FIRST + LETTERS)
        queue.add_many((n, random.randbytes(400).hex().encode(), "boom") for n in letters)
    return path


def _kill_at_random(what: str, path: Path, file: Path, longest: float) -> bool:
    """Whether it had to be: not done yet."""
    program = Program("importer", what, str(path), str(file))
    program.wait_for("begins")
    time.sleep(random.uniform(0, longest))
    was_done = program.has_ended
    program.kill()
    return not was_done


def _finish(what: str, path: Path, file: Path) -> float:
    program = Program("importer", what, str(path), str(file))
    began = time.monotonic()
    program.wait_for("done")
    assert program.wait() == 0
    return time.monotonic() - began


@NEEDS_SIGKILL
def test_an_import_that_is_killed_is_made_whole_by_another(
    database: Path, tmp_path: Path, attack: Attack
) -> None:
    file = tmp_path / "letters.jsonl.gz"
    with DeadLetterQueue.open(database) as queue:
        queue.export_to(file)
    longest = _finish("import", tmp_path / "timed.db", file)
    blows = attack.size(3, long=400)
    struck = amid = 0
    while struck < blows or not amid:
        target = tmp_path / f"{struck}.db"
        while (struck < blows or not amid) and _kill_at_random("import", target, file, longest):
            struck += 1
            with closing(sqlite3.connect(target)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                rows = connection.execute(
                    "SELECT event_id FROM dead_letter_queue WHERE event_id >= ?", (FIRST,)
                ).fetchall()
            assert len(rows) == len(set(rows))
            amid += 0 < len(rows) < LETTERS
        _finish("import", target, file)
        assert stored(target) == stored(database)
    attack.struck("SIGKILL of an import at a random instant", struck)


@NEEDS_SIGKILL
@pytest.mark.parametrize("name", ["letters.jsonl", "letters.jsonl.gz"])
def test_an_export_that_is_killed_is_gone_on_with(
    database: Path, tmp_path: Path, attack: Attack, name: str
) -> None:
    longest = _finish("export", database, tmp_path / f"timed-{name}")
    letters = lines_of(tmp_path / f"timed-{name}")[1:]
    blows = attack.size(3, long=200)
    struck = amid = 0
    while struck < blows or not amid:
        file = tmp_path / f"{struck}-{name}"
        partial = file.with_name(f"{file.name}.partial")
        while (struck < blows or not amid) and _kill_at_random("export", database, file, longest):
            struck += 1
            assert not file.exists() or lines_of(file)[1:] == letters
            amid += partial.exists() and partial.stat().st_size > 1000
        if not file.exists():
            _finish("export", database, file)
        assert lines_of(file)[1:] == letters
    attack.struck("SIGKILL of an export at a random instant", struck)


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_another_writer_gets_its_turn_beside_an_import_and_an_export(
    database: Path, tmp_path: Path, attack: Attack, journal_mode: str
) -> None:
    """One that waits for no longer than others do."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
    file = tmp_path / "letters.jsonl"
    target = tmp_path / "b.db"
    DeadLetterQueue.open(target).close()
    written = 0
    for what, path in (("export", database), ("import", target)):
        program = Program("importer", what, str(path), str(file))
        program.wait_for("begins")
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as other:
            while not program.has_ended:
                other.execute("UPDATE dead_letter_queue SET retry_count = 1 WHERE id = 1")
                written += 1
                time.sleep(0.01)
        program.wait_for("done")
        assert program.wait() == 0
    assert written > 20
    attack.struck("write beside an export or import", written)


def test_two_imports_at_once_bring_each_letter_once(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "letters.jsonl"
    with DeadLetterQueue.open(database) as queue:
        queue.export_to(file)
    target = tmp_path / "b.db"
    DeadLetterQueue.open(target).close()
    programs = [Program("importer", "import", str(target), str(file)) for _ in range(2)]
    for program in programs:
        program.wait_for("done")
        assert program.wait() == 0
    assert sorted(map(repr, stored(target))) == sorted(map(repr, stored(database)))
