"""What a handler writes, or raises of whatever type, concerns its own letter alone."""

from __future__ import annotations

import dataclasses
import sqlite3

import pytest

from azoth_dlq import RetryAfter
from azoth_dlq.store.sqlite import statements as sql
from tests.conftest import Scene


def test_ddl_of_a_good_letter_survives_a_later_failure(any_scene: Scene) -> None:
    def make_table(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute(f"CREATE TABLE made_by_{event_id} (x)")

    any_scene.registry.register("ddl", make_table)
    first = any_scene.letter("ddl")
    any_scene.letter("fails")
    second = any_scene.letter("ddl")
    any_scene.drain()
    tables = {n for (n,) in any_scene.conn.execute("SELECT name FROM sqlite_master")}
    assert {f"made_by_{first}", f"made_by_{second}"} <= tables


def test_a_failing_handler_leaves_nothing_of_its_own(any_scene: Scene) -> None:
    ok = [any_scene.letter("fails" if n % 3 == 1 else "ok") for n in range(9)]
    any_scene.drain()
    assert any_scene.effects() == [letter for n, letter in enumerate(ok) if n % 3 != 1]
    assert any_scene.left() == [letter for n, letter in enumerate(ok) if n % 3 == 1]


def test_a_failing_letter_with_the_id_zero_leaves_nothing(any_scene: Scene) -> None:
    any_scene.letter("fails", id=0, event_id=7)
    report = any_scene.drain()
    assert (report.failed, any_scene.effects(), any_scene.left()) == (1, [], [0])


def test_a_blob_written_by_a_good_letter_survives_a_later_failure(scene: Scene) -> None:
    scene.conn.execute("CREATE TABLE blobs (id INTEGER PRIMARY KEY, b BLOB)")
    scene.conn.execute("INSERT INTO blobs VALUES (1, zeroblob(3))")

    def write_blob(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        with conn.blobopen("blobs", "b", 1) as blob:
            blob.write(b"abc")

    scene.registry.register("blob", write_blob)
    scene.letter("blob")
    scene.letter("fails")
    scene.drain()
    assert scene.conn.execute("SELECT b FROM blobs").fetchone() == (b"abc",)


# Nothing is taken back where no handler of the group can have written


def _undone(scene: Scene) -> int:
    """How often a drain takes writes back."""
    statements: list[str] = []
    scene.conn.set_trace_callback(statements.append)
    scene.drain()
    scene.conn.set_trace_callback(None)
    return statements.count(sql.UNDO_LETTER)


def test_where_no_handler_writes_nothing_is_taken_back(scene: Scene) -> None:
    def reads(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        conn.execute("SELECT count(*) FROM effects").fetchone()
        raise ValueError

    scene.registry.register("reads", reads)
    for _ in range(5):
        scene.letter("reads")
    assert _undone(scene) == 0


@pytest.mark.parametrize("before", ["ok", "fails"])
def test_a_write_of_a_statement_that_is_known_is_taken_back(scene: Scene, before: str) -> None:
    """In a drain whose handlers have written it before, and in the next one."""
    for kind in (before, "fails", "fails"):
        scene.letter(kind)
    for _ in range(2):
        assert _undone(scene) >= 2
        assert scene.effects() == ([1] if before == "ok" else [])
        scene.clock.move(days=1)


def test_what_a_half_read_statement_wrote_is_taken_back(scene: Scene) -> None:
    """Its rows are not counted as changes before it is at its end."""
    cursors = []

    def half_reads(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        insert = "INSERT INTO effects VALUES (?), (?) RETURNING *"
        cursors.append(conn.execute(insert, (event_id, -event_id)))
        raise ValueError

    scene.registry.register("half", half_reads)
    letters = [scene.letter(kind) for kind in ("ok", "half", "ok", "half")]
    scene.drain()
    assert scene.effects() == [letters[0], letters[2]]
    assert scene.left() == [letters[1], letters[3]]


def test_letters_that_a_failing_handler_added_are_taken_back(scene: Scene) -> None:
    def adds(_conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.queue.add(1000 + event_id, b"ok:", "boom")
        raise ValueError

    scene.registry.register("adds", adds)
    letter = scene.letter("adds")
    scene.drain()
    assert scene.left() == [letter]


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    reason: str


class Undelayed(RetryAfter):
    def __init__(self) -> None:
        Exception.__init__(self, "no delay")


class Strange(sqlite3.OperationalError):
    sqlite_errorcode = "none"  # type: ignore[assignment]  # what errors of others may have


@pytest.mark.parametrize("error", [Frozen("x"), Undelayed(), Strange("x")], ids=repr)
def test_an_error_of_an_odd_type_fails_its_letter_alone(scene: Scene, error: Exception) -> None:
    def raise_(_conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        raise error

    scene.registry.register("odd", raise_)
    odd = scene.letter("odd")
    good = scene.letter()
    report = scene.drain()
    assert (report.succeeded, report.failed, scene.left()) == (1, 1, [odd])
    assert scene.effects() == [good]
