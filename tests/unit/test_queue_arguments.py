"""What the queue does not take, and what it stores of errors that cannot be stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    ConfigError,
    DeadLetterQueue,
    DlqReplayer,
    EventHandlerRegistry,
    InvalidStateError,
    LetterFilter,
    StorageError,
)

PAST = "2020-01-01 00:00:00"


def add(queue: DeadLetterQueue, count: int = 1) -> list[int]:
    return queue.add_many((n, b"ok:x", "boom") for n in range(1, count + 1))


def everything(queue: DeadLetterQueue) -> tuple[Any, ...]:
    return queue.letters(), queue.permanent_failures()


@pytest.mark.parametrize("event_id", ["1", 1.0, True, None, 2**63, -(2**63) - 1])
def test_an_event_id_that_sqlite_cannot_keep_is_refused(
    queue: DeadLetterQueue, event_id: Any
) -> None:
    with pytest.raises(ConfigError, match=r"^event_id=.*must be an int"):
        queue.add(event_id, b"ok:x", "boom")


@pytest.mark.parametrize("event_bytes", ["ok:x", None, 5, [1]])
def test_event_bytes_are_bytes(queue: DeadLetterQueue, event_bytes: Any) -> None:
    with pytest.raises(ConfigError, match=r"event_bytes is of type \w+: must be bytes"):
        queue.add(1, event_bytes, "boom")


@pytest.mark.parametrize("error", [None, b"boom", 5, ValueError])
def test_an_error_is_an_exception_or_a_text(queue: DeadLetterQueue, error: Any) -> None:
    with pytest.raises(ConfigError, match=r"error=.*must be an exception or a text"):
        queue.add(1, b"ok:x", error)


@pytest.mark.parametrize("limit", [-1, "5", 1.0, True, None, 2**63])
@pytest.mark.parametrize("listing", ["letters", "permanent_failures"])
def test_a_limit_is_a_number_of_letters(queue: DeadLetterQueue, listing: str, limit: Any) -> None:
    with pytest.raises(ConfigError, match="limit="):
        getattr(queue, listing)(limit)


BY_ID: dict[str, Callable[[DeadLetterQueue, Any], object]] = {
    "get": lambda queue, bad: queue.get(bad),
    "history": lambda queue, bad: queue.history(bad),
    "history parked": lambda queue, bad: queue.history(bad, parked=True),
    "mark_retry": lambda queue, bad: queue.mark_retry(bad),
    "remove": lambda queue, bad: queue.remove(bad),
    "requeue": lambda queue, bad: queue.requeue([bad]),
    "discard": lambda queue, bad: queue.discard([bad]),
    "discard parked": lambda queue, bad: queue.discard([bad], parked=True),
}


@pytest.mark.parametrize("bad", ["1", 1.0, True, None, b"1", 2**63, -(2**63) - 1], ids=repr)
@pytest.mark.parametrize("verb", BY_ID)
def test_an_id_is_an_int(queue: DeadLetterQueue, verb: str, bad: Any) -> None:
    add(queue, 2)
    queue.connection.execute(
        "INSERT INTO permanent_failures (event_id, event_bytes, error_message, failed_at, "
        "retry_count) VALUES (7, x'00', 'boom', '2020-01-01 00:00:00', 5)"
    )
    before = everything(queue)
    with pytest.raises(ConfigError, match="id"):
        BY_ID[verb](queue, bad)
    assert everything(queue) == before


@pytest.mark.parametrize("verb", ["requeue", "discard"])
@pytest.mark.parametrize("ids", ["12", b"\1\2", 1, None, [1.0], [True]])
def test_ids_are_a_collection_of_ints(queue: DeadLetterQueue, verb: str, ids: Any) -> None:
    add(queue, 2)
    with pytest.raises(ConfigError, match="ids"):
        getattr(queue, verb)(ids)
    assert queue.count() == 2


@pytest.mark.parametrize("parked", [1, 0, None, "yes"])
@pytest.mark.parametrize("verb", ["discard", "history", "original", "put_back", "show"])
def test_which_space_is_a_bool(queue: DeadLetterQueue, verb: str, parked: Any) -> None:
    letter = queue.add(1, b"ok:x", "boom")
    with pytest.raises(ConfigError, match=f"^parked={parked!r}: must be True .* or False"):
        getattr(queue, verb)([letter] if verb == "discard" else letter, parked=parked)
    assert queue.get(letter) is not None


@pytest.mark.parametrize("connection", [None, "letters.db", sqlite3])
def test_a_queue_needs_a_connection(connection: Any) -> None:
    with pytest.raises(ConfigError, match=r"DeadLetterQueue\.open"):
        DeadLetterQueue(connection)


def test_a_closed_connection_is_told(path: Path) -> None:
    queue = DeadLetterQueue.open(path)
    queue.close()
    queue.close()
    for verb in (queue.count, queue.letters, queue.clear, lambda: add(queue)):
        with pytest.raises(InvalidStateError, match=r"letters\.db: the queue is closed"):
            verb()


def test_a_connection_that_is_closed_makes_no_queue() -> None:
    connection = sqlite3.connect(":memory:")
    connection.close()
    with pytest.raises(InvalidStateError, match="closed"):
        DeadLetterQueue(connection)


def test_a_closed_queue_is_not_drained(queue: DeadLetterQueue) -> None:
    replayer = DlqReplayer(queue, EventHandlerRegistry())
    queue.close()
    with pytest.raises(InvalidStateError, match=r"letters\.db: the queue is closed"):
        replayer.drain()


IN_A_THREAD: dict[str, Callable[[DeadLetterQueue], object]] = {
    "count": lambda queue: queue.count(),
    "add": lambda queue: queue.add(1, b"ok:x", "boom"),
    "close": lambda queue: queue.close(),
    "drain": lambda queue: DlqReplayer(queue, EventHandlerRegistry()).drain(),
}


@pytest.mark.parametrize("verb", IN_A_THREAD)
def test_another_thread_is_told_to_open_a_queue_of_its_own(
    queue: DeadLetterQueue, verb: str
) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(InvalidStateError, match=r"letters\.db: a queue belongs to the thread"),
    ):
        pool.submit(IN_A_THREAD[verb], queue).result()
    assert queue.count() == 0


@pytest.mark.parametrize("path", [3, None, b"letters.db", "", "letters.db\0", [], Path])
def test_a_path_that_names_no_file_is_refused(path: Any) -> None:
    with pytest.raises(ConfigError, match=r"^path=.*must be the path of a file, a str or"):
        DeadLetterQueue.open(path)


@pytest.mark.parametrize(
    ("letters", "told"),
    [
        ([(1, b"a:b", "boom"), (1, b"a:b")], r"^letters\[1\] has 2 items: must be a tuple \("),
        ([(1, b"a:b", "boom", 1)], r"^letters\[0\] has 4 items: must be a tuple \("),
        ([1, 2], r"^letters\[0\] is of type int: must be a tuple \("),
        (["abc"], r"^letters\[0\] is of type str: must be a tuple \("),
        (3, r"^letters=3: must be a collection, each a tuple \("),
        (
            [(1, b"a:b", "boom"), (1, "a:b", "boom")],
            r"^letters\[1\]: event_bytes is of type str: must be",
        ),
        ([("1", b"a:b", "boom")], r"^letters\[0\]: event_id='1': must be"),
        ([(1, b"a:b", None)], r"^letters\[0\]: error=None: must be"),
    ],
)
def test_letters_that_are_none_are_refused_by_their_place(
    queue: DeadLetterQueue, letters: Any, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        queue.add_many(letters)
    assert queue.count() == 0


# Errors that cannot be stored as they are


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Odd(Exception):
    def __str__(self) -> str:
        wrong: Any = 5
        return wrong  # type: ignore[no-any-return]  # the error under test


@pytest.mark.parametrize(
    ("error", "stored"),
    [
        (ValueError("boom"), "ValueError: boom"),
        (ValueError(), "ValueError"),
        ("boom", "boom"),
        ("", ""),
        (KeyboardInterrupt("stop"), "KeyboardInterrupt: stop"),
        (ValueError("a\0b"), "ValueError: a␀b"),
        ("a\0b", "a␀b"),
        (ValueError("a\ud800b"), "ValueError: a\\ud800b"),
        ("\udfff", "\\udfff"),
        (Mute(), "Mute: (its __str__ raised RuntimeError)"),
        (Odd(), "Odd: (its __str__ raised TypeError)"),
        ("größer 😀", "größer 😀"),
    ],
)
def test_an_error_is_stored_in_a_form_that_can_be_read(
    queue: DeadLetterQueue, error: Any, stored: str
) -> None:
    letter_id = queue.add(1, b"ok:x", error)
    letter = queue.get(letter_id)
    assert letter is not None
    assert letter.error_message == stored
    assert queue.connection.execute(
        "SELECT typeof(error_message), error_message FROM dead_letter_queue"
    ).fetchone() == ("text", stored)


@pytest.mark.parametrize("character", ["x", "\ud800", "\0"])
@pytest.mark.parametrize("kind", [str, ValueError])
def test_an_error_of_100_mb_is_cut(
    queue: DeadLetterQueue, kind: Callable[[str], Any], character: str
) -> None:
    queue.add(1, b"ok:x", kind(character * 100_000_000))
    (letter,) = queue.letters()
    assert 4000 < len(letter.error_message.encode()) <= 4096
    assert letter.error_message.endswith("(cut)")


def test_a_table_with_other_columns_is_told(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE dead_letter_queue (id INTEGER PRIMARY KEY)")
        queue = DeadLetterQueue(connection)
        for verb in (queue.letters, lambda: queue.get(1), lambda: add(queue)):
            with pytest.raises(StorageError, match=r"letters\.db.*column"):
                verb()


@pytest.mark.parametrize("verb", ["requeue", "discard"])
def test_a_filter_that_narrows_nothing_changes_nothing(queue: DeadLetterQueue, verb: str) -> None:
    add(queue, 2)
    for wanted in (LetterFilter(), LetterFilter(parked=verb == "requeue")):
        with pytest.raises(ConfigError, match=r"^which=.*must be a filter that narrows"):
            getattr(queue, verb)(wanted)
    assert queue.count() == 2
