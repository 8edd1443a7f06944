"""What handlers may do with the connection and the queue while a drain runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, InvalidStateError
from tests.conftest import Scene
from tests.engine.changes import CHANGES


def _upper(text: bytes) -> str:
    return text.decode("latin-1").upper()


@pytest.mark.parametrize("row_factory", [sqlite3.Row, lambda _cursor, row: ["mine", *row]])
def test_a_handler_sees_its_own_factories_and_the_drain_is_not_moved_by_them(
    any_scene: Scene, row_factory: Any
) -> None:
    seen: list[Any] = []

    def look(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        seen.append(conn.execute("SELECT 'a' AS letter, 1 AS number").fetchone())

    any_scene.registry.register("looks", look)
    letters = [any_scene.letter("looks") for _ in range(2)]
    any_scene.letter(retry_count=9)
    any_scene.letter(failed_at="?")
    any_scene.conn.row_factory = row_factory
    any_scene.conn.text_factory = _upper
    report = any_scene.drain()
    assert (report.succeeded, report.exhausted, report.unreadable) == (2, 1, 1)
    assert len(seen) == len(letters)
    if row_factory is sqlite3.Row:
        assert all(tuple(row) == ("A", 1) and row["number"] == 1 for row in seen)
    else:
        assert seen == [["mine", "A", 1]] * 2
    assert any_scene.conn.row_factory is row_factory
    assert any_scene.conn.text_factory is _upper
    any_scene.conn.row_factory = None


def test_a_text_factory_that_raises_does_not_stop_a_drain(scene: Scene) -> None:
    def refuse(_text: bytes) -> str:
        raise AssertionError("text was read with the user's factory")

    letter = scene.letter()
    scene.letter("fails")
    scene.letter(retry_count=9)
    scene.conn.text_factory = refuse
    report = scene.drain()
    assert (report.succeeded, report.failed, report.parked) == (1, 1, 1)
    assert scene.calls[0] == letter


# A queue without a file


@pytest.fixture
def memory_scene() -> Iterator[Scene]:
    with DeadLetterQueue.open(":memory:") as queue:
        queue.add(1, b"ok:", "boom")
        queue.clear()
        yield Scene(queue, None)


def test_a_queue_in_memory_drains(memory_scene: Scene) -> None:
    good = [memory_scene.letter() for _ in range(3)]
    failed = memory_scene.letter("fails")
    exhausted = memory_scene.letter(retry_count=5)
    report = memory_scene.drain(max_transaction_time=1e-6)
    assert (report.succeeded, report.failed, report.exhausted) == (3, 1, 1)
    assert memory_scene.effects() == good
    assert memory_scene.left() == [failed]
    assert list(memory_scene.parked()) == [exhausted]


def test_an_empty_queue_in_memory_drains() -> None:
    with DeadLetterQueue.open(":memory:") as queue:
        report = Scene(queue, None).drain()
    assert (report.attempted, report.parked) == (0, 0)


# Handlers that use the queue


def _register_using(scene: Scene, use: Callable[[], object], *, fails: bool = False) -> None:
    def handle(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        use()
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        if fails:
            raise ValueError("it failed")

    scene.registry.register("uses", handle)


def test_letters_that_a_handler_adds_are_committed_with_its_own_and_wait(
    any_scene: Scene,
) -> None:
    added: list[int] = []
    _register_using(
        any_scene, lambda: added.append(any_scene.queue.add(-5, b"ok:added", ValueError("later")))
    )
    user = any_scene.letter("uses")
    any_scene.letter()
    report = any_scene.drain()
    assert (report.succeeded, any_scene.calls) == (2, [user, user + 1])
    assert any_scene.left() == added
    letter = any_scene.queue.get(added[0])
    assert letter is not None
    assert (letter.event_id, letter.event_bytes) == (-5, b"ok:added")
    assert letter.error_message == "ValueError: later"


def test_letters_that_a_failing_handler_adds_are_rolled_back_with_it(any_scene: Scene) -> None:
    _register_using(
        any_scene,
        lambda: any_scene.queue.add_many([(1, b"ok:", "a"), (2, b"ok:", "b")]),
        fails=True,
    )
    before = any_scene.letter()
    user = any_scene.letter("uses")
    after = any_scene.letter()
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (2, 1)
    assert any_scene.left() == [user]
    assert any_scene.effects() == [before, after]


def test_every_handler_of_a_drain_may_add_letters(scene: Scene) -> None:
    _register_using(scene, lambda: scene.queue.add(-1, b"ok:added", "later"))
    users = [scene.letter("uses") for _ in range(1200)]
    report = scene.drain()
    assert report.succeeded == 1200
    assert scene.calls == users
    assert len(scene.left()) == 1200


USES: dict[str, Callable[[Scene, int], object]] = {
    **CHANGES,
    "upsert": lambda scene, other: scene.conn.execute(
        "INSERT INTO dead_letter_queue (id, event_id, event_bytes, error_message) "
        "VALUES (?, 1, 'ok:', 'another') ON CONFLICT DO UPDATE SET retry_count = 3",
        (other,),
    ),
    "REPLACE": lambda scene, other: scene.conn.execute(
        "REPLACE INTO dead_letter_queue (id, event_id, event_bytes, error_message) "
        "VALUES (?, 1, 'ok:', 'another')",
        (other,),
    ),
}


def test_letters_that_are_changed_between_groups_by_the_same_connection_are_skipped(
    any_scene: Scene,
) -> None:
    letters = [any_scene.letter() for _ in range(3)]

    def meanwhile(_report: object) -> None:
        any_scene.queue.remove(letters[1])

    report = any_scene.replay(max_transaction_time=1e-6).drain(on_progress=meanwhile)
    assert any_scene.effects() == [letters[0], letters[2]]
    assert (report.succeeded, report.skipped) == (2, 1)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("group", [1e-6, 30], ids=["a group each", "one group"])
def test_a_planned_letter_that_a_handler_removes_or_changes_is_skipped(
    any_scene: Scene, use: str, group: float
) -> None:
    """Twice, since SQLite checks a statement that it knows already no more."""
    others: list[int] = []
    _register_using(any_scene, lambda: USES[use](any_scene, others.pop(0)))
    first = any_scene.letter("uses")
    others.append(any_scene.letter())
    middle = any_scene.letter()
    second = any_scene.letter("uses")
    others.append(any_scene.letter())
    last = any_scene.letter()
    report = any_scene.drain(max_transaction_time=group)
    assert any_scene.calls == [first, middle, second, last]
    assert (report.succeeded, report.skipped, report.failed) == (4, 2, 0)


@pytest.mark.parametrize("use", USES)
def test_a_planned_letter_that_a_failing_handler_removed_or_changed_is_attempted(
    any_scene: Scene, use: str
) -> None:
    other: list[int] = []
    _register_using(any_scene, lambda: USES[use](any_scene, other[0]), fails=True)
    user = any_scene.letter("uses")
    other.append(any_scene.letter())
    report = any_scene.drain()
    assert any_scene.calls == [user, other[0]]
    assert (report.succeeded, report.failed, report.skipped) == (1, 1, 0)


def test_letters_stay_cheap_when_handlers_change_others(scene: Scene) -> None:
    """Letters that may have changed are read anew: not hundreds of them for each call."""
    _register_using(scene, lambda: scene.queue.remove(-1))
    for _ in range(1000):
        scene.letter("uses")
    read = 0

    def count(statement: str) -> None:
        nonlocal read
        if statement.startswith("WITH wanted"):
            read += statement.count("(")

    scene.conn.set_trace_callback(count)
    assert scene.drain().succeeded == 1000
    assert read < 20_000


def test_a_trigger_that_removes_planned_letters_is_seen(scene: Scene) -> None:
    scene.conn.execute(
        "CREATE TRIGGER gone AFTER INSERT ON effects BEGIN "
        "DELETE FROM dead_letter_queue WHERE id = new.event_id + 1; END"
    )
    letters = [scene.letter() for _ in range(6)]
    report = scene.drain()
    assert scene.calls == letters[::2]
    assert (report.succeeded, report.skipped) == (3, 3)


def test_a_long_letter_that_is_removed_behind_the_guard_is_skipped(plain_scene: Scene) -> None:
    def remove(conn: sqlite3.Connection, *_args: object) -> None:
        conn.set_authorizer(None)
        conn.execute("DELETE FROM dead_letter_queue WHERE id = ?", (long,))

    plain_scene.registry.register("remove", remove)
    plain_scene.letter("remove")
    long = plain_scene.letter(event_bytes=b"ok:" + b"x" * 20_000)
    report = plain_scene.drain()
    assert (report.succeeded, report.skipped) == (1, 1)
    assert (plain_scene.calls, plain_scene.left()) == ([], [])


def test_a_handler_may_remove_its_own_letter(scene: Scene) -> None:
    def remove(_conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.queue.remove(event_id)

    scene.registry.register("removes", remove)
    scene.letter("removes")
    good = scene.letter()
    report = scene.drain()
    assert (report.succeeded, report.skipped) == (2, 0)
    assert (scene.left(), scene.effects()) == ([], [good])


def test_a_handler_may_look_at_its_own_letter(scene: Scene) -> None:
    seen: list[object] = []

    def look(_conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        seen.append(scene.queue.get(event_id))
        seen.append(scene.queue.count())

    scene.registry.register("looks", look)
    letter = scene.letter("looks")
    expected = scene.queue.get(letter)
    assert scene.drain().succeeded == 1
    assert seen == [expected, 1]


@pytest.mark.parametrize("verb", ["drain", "run_replay_cycle"])
def test_a_drain_within_a_drain_is_refused(any_scene: Scene, verb: str) -> None:
    replayer = any_scene.replay()
    errors: list[Exception] = []

    def nest(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        try:
            getattr(replayer, verb)()
        except InvalidStateError as error:
            errors.append(error)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    any_scene.registry.register("nests", nest)
    letters = [any_scene.letter(), any_scene.letter("nests"), any_scene.letter("nests")]
    letters.append(any_scene.letter())
    report = replayer.drain()
    assert report.succeeded == 4
    assert any_scene.effects() == letters
    assert len(errors) == 2
    assert "a drain is running on this connection" in str(errors[0])


def test_a_second_queue_on_the_connection_cannot_drain_within_a_drain_either(
    scene: Scene,
) -> None:
    def nest(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        Scene.drain(_Other(DeadLetterQueue(conn), scene))

    scene.registry.register("nests", nest)
    letter = scene.letter("nests")
    good = scene.letter()
    assert scene.drain().failed == 1
    failed = scene.queue.get(letter)
    assert failed is not None
    assert "InvalidStateError: a drain is running" in str(failed.last_error)
    assert scene.effects() == [good]


class _Other(Scene):
    """The same scene through another queue."""

    def __init__(self, queue: DeadLetterQueue, scene: Scene) -> None:
        self.queue, self.registry, self.clock, self.slept = queue, scene.registry, scene.clock, []


def test_letters_discarded_through_another_queue_on_the_connection_are_skipped(
    scene: Scene,
) -> None:
    def discard(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        DeadLetterQueue(conn).discard([event_id + 1])

    scene.registry.register("discards", discard)
    scene.letter("discards")
    scene.letter()
    last = scene.letter()
    assert scene.drain(max_transaction_time=30).skipped == 1
    assert scene.calls == [last]
