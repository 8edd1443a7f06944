"""Files as nobody makes them, through the command line: no traceback, no hang, nothing lost."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.attacks import Attack
from tests.crash import naughty
from tests.crash.commands import Commands, Done
from tests.crash.naughty import GOOD, UNREADABLE, VALUES

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the files are such as Linux has"
)
DRAIN = ("drain", "{}", "--handlers", "handlers:registry", "--json", "--now", "--min-age", "0")
LOOKS = (
    ("status", "{}", "--json"),
    ("list", "{}", "--json"),
    ("list", "{}", "--parked", "--json"),
)
CHANGES = (
    ("show", "{}", "1", "--json"),
    ("requeue", "{}", "1"),
    ("discard", "{}", "1"),
    ("discard", "{}", "--all", "--yes"),
)


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands() as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be: none of these files is to outlive anything."""
    memory = Path("/dev/shm")  # noqa: S108 -- the folder in it has a name of its own
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as made:
        yield Path(made)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "projection.db"


def _run(commands: Commands, path: Path, command: tuple[str, ...]) -> Done:
    """An error is told in one clear line; what is printed as JSON is."""
    done = commands.run(path.parent, *[str(path) if word == "{}" else word for word in command])
    assert done.status in (0, 1), (command, done)
    assert "Traceback" not in done.stderr
    assert "please report it as a defect" not in done.stderr, done
    if done.status == 0 and "--json" in command:
        json.loads(done.stdout)
    if done.status == 1:
        assert done.stderr.splitlines()[-1].startswith("azoth-dlq: ")
    return done


def _done(commands: Commands, path: Path, command: tuple[str, ...] = DRAIN) -> Any:
    """The document of a command that succeeds."""
    done = _run(commands, path, command)
    assert done.status == 0, (command, done)
    return json.loads(done.stdout)


def _query(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        return connection.execute(statement).fetchall()


def _change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def _effects(path: Path) -> list[int]:
    return [e for (e,) in _query(path, "SELECT event_id FROM effects ORDER BY 1")]


def _places(path: Path) -> int:
    """Letters that are left, parked or done."""
    tables = ("dead_letter_queue", "permanent_failures", "effects")
    return sum(_query(path, f"SELECT count(*) FROM {table}")[0][0] for table in tables)  # noqa: S608 -- ours


# What rows hold


@pytest.mark.parametrize(
    ("table", "column"),
    [(table, column) for table, columns in naughty.COLUMNS.items() for column in columns.split()],
)
def test_a_column_may_hold_anything(
    commands: Commands, path: Path, attack: Attack, table: str, column: str
) -> None:
    taken = naughty.fill_column(path, table, column)
    assert taken > len(VALUES) * 0.8
    before = _places(path)
    for look in LOOKS:
        _done(commands, path, look)
    report = _done(commands, path)
    assert report["unreadable"] + report["exhausted"] == report["parked"]
    assert _places(path) == before
    assert len(_effects(path)) == report["succeeded"]
    assert {1001, 1002} <= set(_effects(path))
    # Where a letter gets that id again, AUTOINCREMENT has none for the next one.
    _change(path, "DELETE FROM permanent_failures WHERE azoth_dead_letter_id = 9223372036854775807")
    assert _run(commands, path, ("requeue", "{}", "--all", "--yes")).status == 0
    assert _done(commands, path)["skipped"] == 0
    assert len(set(_effects(path)) & {1001, 1002}) == 2
    attack.struck("naughty file", taken)


def test_a_letter_may_have_any_id_and_any_size(
    commands: Commands, path: Path, attack: Attack
) -> None:
    ids = [-(2**63), -1, 0, 1, 2**63 - 2, 2**63 - 1]
    payloads = [b"ok:", b"ok:" + bytes(10 * 2**20), b"", b":", b"ok", b"ok:" + bytes(2**14 - 3)]
    naughty.make_queue(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        for number, (letter, payload) in enumerate(zip(ids, payloads, strict=True)):
            connection.execute(
                naughty.LETTER.replace("(event_id", "(id, event_id").replace("?, ?", "?, ?, ?"),
                (letter, number, payload),
            )
    for look in LOOKS:
        _done(commands, path, look)
    report = _done(commands, path)
    # Those without a type and a separator have no handler.
    assert (report["succeeded"], report["failed"]) == (3, 3)
    assert _effects(path) == [0, 1, 5]
    assert _query(path, "SELECT id FROM dead_letter_queue ORDER BY 1") == [(0,), (1,), (2**63 - 2,)]
    attack.struck("naughty file")


@pytest.mark.parametrize("key", ["charged", "group", "settings", "stopped", "swept", "another"])
def test_what_a_drain_notes_may_be_anything(
    commands: Commands, path: Path, attack: Attack, key: str
) -> None:
    naughty.make_queue(path)
    values = VALUES[:: attack.size(3, long=1)]
    for number, value in enumerate(values, 1):
        expression, bindable = naughty.bound(value)
        with closing(sqlite3.connect(path)) as connection, connection:
            state = f"INSERT OR REPLACE INTO azoth_dlq_state VALUES (?, {expression})"  # noqa: S608 -- an expression of our own
            connection.execute(state, (key, bindable))
            connection.execute(naughty.LETTER, (number, b"ok:"))
        assert _done(commands, path)["succeeded"] == 1, value
        attack.struck("naughty file")
    _done(commands, path, LOOKS[0])
    assert _effects(path) == list(range(1, len(values) + 1))


# What tables are


def _assert_that_the_rest_is_kept(path: Path) -> None:
    assert _query(path, "SELECT x FROM app") == [(b"kept",)]
    assert _query(path, "PRAGMA integrity_check") == [(b"ok",)]


@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("name", naughty.DRAINED)
def test_tables_of_another_making_are_drained(
    commands: Commands, path: Path, attack: Attack, name: str, journal_mode: str
) -> None:
    naughty.make_schema(path, naughty.DRAINED[name])
    _query(path, f"PRAGMA journal_mode = {journal_mode}")
    for look in LOOKS:
        _done(commands, path, look)
    report = _done(commands, path)
    assert (report["succeeded"], report["failed"], report["unreadable"]) == (len(GOOD), 2, 1)
    assert _effects(path) == GOOD
    assert _run(commands, path, ("requeue", "{}", "--all", "--yes")).status == 0
    assert _done(commands, path)["succeeded"] == 1
    assert _effects(path) == [*GOOD, UNREADABLE]
    _assert_that_the_rest_is_kept(path)
    attack.struck("naughty file")


@pytest.mark.parametrize("name", naughty.REFUSED)
def test_tables_that_cannot_be_drained_are_told_and_left(
    commands: Commands, path: Path, attack: Attack, name: str
) -> None:
    statements, words = naughty.REFUSED[name]
    naughty.make_schema(path, statements)
    done = _run(commands, path, DRAIN)
    assert done.status == 1
    assert re.search(words, done.stderr), done
    assert "projection.db" in done.stderr or "the table" in done.stderr
    for command in (*LOOKS, *CHANGES):
        _run(commands, path, command)
    assert _effects(path) == []
    _assert_that_the_rest_is_kept(path)
    attack.struck("naughty file")


def _assert_nothing_is_lost(commands: Commands, path: Path, *, done: list[int]) -> None:
    """Two drains end with an error, or return; then those are done, and each letter has a place."""
    for _ in range(2):
        _run(commands, path, DRAIN)
    assert _effects(path) == done
    assert _places(path) == UNREADABLE
    _assert_that_the_rest_is_kept(path)


@pytest.mark.parametrize(
    "parked",
    [
        f"{naughty.P}, more TEXT NOT NULL",
        f"{naughty.P}, CHECK (failed_at <> 'never')",
        naughty.P.replace(", failed_at TEXT NOT NULL", ""),
    ],
    ids=["NOT NULL", "CHECK", "no column"],
)
def test_a_letter_that_cannot_be_parked_keeps_no_other_from_being_done(
    commands: Commands, path: Path, attack: Attack, parked: str
) -> None:
    naughty.make_schema(path, naughty.tables(naughty.Q, parked))
    done = _run(commands, path, DRAIN)
    assert done.status == 1
    assert "projection.db" in done.stderr
    _assert_nothing_is_lost(commands, path, done=GOOD)
    attack.struck("naughty file")


_WAYS = ("ABORT, 'no'", "FAIL, 'no'", "IGNORE", "ROLLBACK, 'no'")
_TABLES = ("dead_letter_queue", "permanent_failures")
TRIGGERS = list(product(("BEFORE", "AFTER"), ("DELETE", "UPDATE", "INSERT"), _TABLES, _WAYS))


@pytest.mark.parametrize("trigger", TRIGGERS, ids=" ".join)
def test_a_trigger_that_refuses_loses_and_doubles_nothing(
    commands: Commands, path: Path, attack: Attack, trigger: tuple[str, str, str, str]
) -> None:
    when, verb, table, way = trigger
    statement = f"CREATE TRIGGER t {when} {verb} ON {table} BEGIN SELECT RAISE({way}); END"
    naughty.make_schema(path, naughty.tables(naughty.Q, naughty.P, statement))
    refuses_acks = (verb, table) == ("DELETE", "dead_letter_queue")
    if when == "AFTER" and way == "IGNORE":  # what was done stays
        refuses_acks = False
    _assert_nothing_is_lost(commands, path, done=[] if refuses_acks else GOOD)
    attack.struck("naughty file")


# What files are


@pytest.mark.parametrize("name", naughty.NO_DATABASES)
def test_a_file_that_cannot_be_used_is_told(
    commands: Commands, path: Path, attack: Attack, name: str
) -> None:
    make, words = naughty.NO_DATABASES[name]
    precious = path.with_name("precious")
    precious.write_text("of another program")
    make(path)
    for command in (DRAIN, *LOOKS, *CHANGES[:3]):
        done = _run(commands, path, command)
        if command is DRAIN:
            assert done.status == 1
            assert re.search(words, done.stderr), done
            assert "projection.db" in done.stderr
    assert precious.read_text() == "of another program"
    attack.struck("naughty file")


@pytest.mark.parametrize("name", naughty.SOUND)
@pytest.mark.parametrize("command", [*LOOKS, DRAIN], ids=" ".join)
def test_a_file_that_looks_odd_is_used(
    commands: Commands, path: Path, attack: Attack, name: str, command: tuple[str, ...]
) -> None:
    naughty.SOUND[name](path)
    document = _done(commands, path, command)
    if command is DRAIN:
        assert document["succeeded"] == len(_effects(path)) == 200
    attack.struck("naughty file")


def test_scattered_damage_is_told_and_doubles_nothing(
    commands: Commands, path: Path, attack: Attack
) -> None:
    """Also where SQLite quotes from the file in what it says, and that is no UTF-8."""
    for seed in range(attack.size(12, long=500)):
        for command in (*LOOKS[:2], DRAIN):
            naughty.scattered(seed)(path)
            _run(commands, path, command)
            for file in path.parent.glob("projection.db*"):
                file.unlink()
        attack.struck("naughty file")


NAMES = [
    *("a b", "a'b\"c", "a\nb", "a?mode=ro", "a#b", "a%20b", "file:a", ":memory:", "größe\u202e 😀"),
    *("-a", "--all", os.fsdecode(b"l\xe9"), "a;b", "$HOME", "*", "a" * 220, "/".join(["d"] * 1900)),
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_a_file_of_any_name_is_drained(
    commands: Commands, folder: Path, attack: Attack, name: str
) -> None:
    naughty.make_queue(folder / "plain.db", letters=3)
    if len(name) > 1000:
        done = commands.run(folder, "status", f"{name}.db")
        assert (done.status, "there is no file" in done.stderr) == (1, True)
        return
    (folder / "plain.db-azoth").unlink()
    (folder / "plain.db").rename(folder / f"{name}.db")
    shown = os.fsencode(f"{name}.db").decode("utf-8", "surrogateescape")
    words = [word for word in DRAIN if word != "{}"]
    done = commands.run(folder, *words, "--", shown)
    assert done.status == 0, done
    assert json.loads(done.stdout)["succeeded"] == 3
    others = {"handlers.py", "stdout", "stderr", "__pycache__"}
    left = {file.name for file in folder.iterdir()} - others
    assert left == {f"{name}.db", f"{name}.db-azoth"}
    attack.struck("naughty file")
