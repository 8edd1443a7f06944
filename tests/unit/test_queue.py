"""The queue of dead letters, as programs use it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import ConfigError, DeadLetterQueue, InvalidStateError, StorageError
from azoth_dlq.store.sqlite.statements import RELEASE_VERB
from azoth_dlq.types import FailedEvent

PAST = "2020-01-01 00:00:00"


@pytest.fixture(params=["", None, "IMMEDIATE"])
def given(request: pytest.FixtureRequest, path: Path) -> Iterator[DeadLetterQueue]:
    """Over a connection of the user's, to a file without any table."""
    with closing(sqlite3.connect(path, isolation_level=request.param)) as connection:
        yield DeadLetterQueue(connection)


def add(queue: DeadLetterQueue, count: int = 1) -> list[int]:
    return queue.add_many((n, b"ok:x", "boom") for n in range(1, count + 1))


def park(queue: DeadLetterQueue, letter_id: int, **columns: Any) -> int:
    """Park a letter as a drain does, some columns changed; the id of the permanent failure."""
    row = {"failed_at": PAST, "retry_count": 5, "azoth_last_error": "down", **columns}
    with queue.connection as connection:
        cursor = connection.execute(
            "INSERT INTO permanent_failures (event_id, event_bytes, error_message, failed_at, "
            "retry_count, azoth_dead_letter_id, azoth_last_error) "
            "SELECT event_id, event_bytes, error_message, ?, ?, id, ? FROM dead_letter_queue "
            "WHERE id = ?",
            (*row.values(), letter_id),
        )
        connection.execute("DELETE FROM dead_letter_queue WHERE id = ?", (letter_id,))
    return cursor.lastrowid or 0


def others_see(path: Path, table: str) -> int:
    """Rows that are committed; 0 where there is no table."""
    with closing(sqlite3.connect(path)) as other:
        known = other.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        statement = f"SELECT count(*) FROM {table}"  # noqa: S608 -- a name of our own
        return int(other.execute(statement).fetchone()[0]) if known else 0


# Dead letters


def test_a_letter_reads_as_it_was_added(queue: DeadLetterQueue) -> None:
    letter_id = queue.add(42, b"deposit:100", "boom")
    letter = queue.get(letter_id)
    assert letter is not None
    assert letter == FailedEvent(letter_id, 42, b"deposit:100", "boom", letter.failed_at, 0)
    assert queue.letters() == [letter]


def test_failed_at_is_now_to_the_second(queue: DeadLetterQueue) -> None:
    before, _, after = (
        queue.connection.execute("SELECT datetime('now')").fetchone()[0],
        queue.add(42, b"deposit:100", "boom"),
        queue.connection.execute("SELECT datetime('now')").fetchone()[0],
    )
    assert before <= queue.letters()[0].failed_at <= after


@pytest.mark.parametrize("event_id", [-(2**63), 0, 2**63 - 1])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_event_ids_and_bytes_of_every_kind_are_kept(
    queue: DeadLetterQueue, event_id: int, kind: Callable[[bytes], Any]
) -> None:
    letter = queue.get(queue.add(event_id, kind(b"\0\xff:x"), "boom"))
    assert letter is not None
    assert (letter.event_id, letter.event_bytes) == (event_id, b"\0\xff:x")


def test_letters_are_added_in_order(queue: DeadLetterQueue) -> None:
    ids = add(queue, 3)
    assert ids == sorted(ids)
    assert [(letter.id, letter.event_id) for letter in queue.letters()] == [
        (ids[2], 3),
        (ids[1], 2),
        (ids[0], 1),
    ]
    assert queue.add_many([]) == []


def test_the_newest_letters_are_listed_first_up_to_the_limit(queue: DeadLetterQueue) -> None:
    ids = add(queue, 120)
    assert [letter.id for letter in queue.letters()] == ids[:19:-1]
    assert [letter.id for letter in queue.letters(limit=1)] == [ids[-1]]
    assert queue.letters(limit=0) == []


def test_a_letter_that_is_not_there_is_none(queue: DeadLetterQueue) -> None:
    assert queue.get(7) is None


def test_a_retry_made_elsewhere_is_counted(queue: DeadLetterQueue) -> None:
    kept, marked = add(queue, 2)
    assert queue.mark_retry(marked)
    assert queue.mark_retry(marked)
    letter = queue.get(marked)
    assert letter is not None
    assert letter.retry_count == 2
    seconds = "strftime('%Y-%m-%dT%H:%M:%f', 'now', ?)"
    first, last = queue.connection.execute(
        f"SELECT {seconds}, {seconds}", ("-60 seconds", "+1 seconds")
    ).fetchone()
    assert letter.last_retry_at is not None
    assert first < letter.last_retry_at < last
    assert len(letter.last_retry_at) == len("2026-11-24T03:46:00.123456Z")
    assert queue.get(kept) == FailedEvent(kept, 1, b"ok:x", "boom", letter.failed_at, 0)
    assert not queue.mark_retry(marked + 1)


def test_a_removed_letter_is_gone(queue: DeadLetterQueue) -> None:
    kept, removed = add(queue, 2)
    assert queue.remove(removed)
    assert not queue.remove(removed)
    assert [letter.id for letter in queue.letters()] == [kept]


def test_clear_deletes_the_dead_letters_alone(queue: DeadLetterQueue) -> None:
    first, *_ = add(queue, 3)
    park(queue, first)
    assert (queue.count(), queue.clear(), queue.count()) == (2, 2, 0)
    assert queue.permanent_failure_count() == 1


# Permanent failures


def test_permanent_failures_are_listed_counted_and_cleared(queue: DeadLetterQueue) -> None:
    first, second, _ = add(queue, 3)
    older, newer = park(queue, first), park(queue, second)
    listed = queue.permanent_failures()
    assert [(row.id, row.dead_letter_id) for row in listed] == [(newer, second), (older, first)]
    assert [row.id for row in queue.permanent_failures(limit=1)] == [newer]
    assert queue.permanent_failure_count() == 2
    assert queue.clear_permanent_failures() == 2
    assert queue.permanent_failures() == []
    assert queue.count() == 1


def test_a_requeued_letter_is_attempted_afresh(queue: DeadLetterQueue) -> None:
    first, second = add(queue, 2)
    parked = park(queue, first)
    assert queue.requeue([parked]) == 1
    assert queue.get(first) == FailedEvent(
        first, 1, b"ok:x", "boom", PAST, 0, last_retry_at=None, last_error="down", not_before=None
    )
    assert [letter.id for letter in queue.letters()] == [second, first]
    assert queue.permanent_failures() == []


def test_a_taken_id_is_not_given_to_a_requeued_letter(queue: DeadLetterQueue) -> None:
    (letter_id,) = add(queue)
    parked = park(queue, letter_id)
    with queue.connection as connection:
        connection.execute(
            "INSERT INTO dead_letter_queue (id, event_id, event_bytes, error_message) "
            "VALUES (?, 7, x'00', 'other')",
            (letter_id,),
        )
    assert queue.requeue([parked]) == 1
    newer, older = queue.letters()
    assert (older.id, older.event_id, newer.event_id) == (letter_id, 7, 1)


@pytest.mark.parametrize(
    "failed_at", ["yesterday", "", 20201301, 2.5, b"2020-01-01 00:00:00", "2020-02-30 00:00:00"]
)
def test_an_unreadable_failed_at_becomes_now(queue: DeadLetterQueue, failed_at: object) -> None:
    (letter_id,) = add(queue)
    now = queue.letters()[0].failed_at
    queue.requeue([park(queue, letter_id, failed_at=failed_at)])
    assert now <= queue.letters()[0].failed_at < "9"


@pytest.mark.parametrize("failed_at", ["2020-01-01T00:00:00.5+02:00", "0001-01-01 00:00:00"])
def test_a_readable_failed_at_is_kept_as_it_is(queue: DeadLetterQueue, failed_at: str) -> None:
    (letter_id,) = add(queue)
    queue.requeue([park(queue, letter_id, failed_at=failed_at)])
    assert queue.letters()[0].failed_at == failed_at


def test_a_permanent_failure_of_the_crates_gets_a_new_id(queue: DeadLetterQueue) -> None:
    with queue.connection as connection:
        parked = connection.execute(
            "INSERT INTO permanent_failures (event_id, event_bytes, error_message, failed_at, "
            "retry_count) VALUES (7, x'00', 'boom', ?, 5)",
            (PAST,),
        ).lastrowid
    assert parked is not None
    assert queue.requeue([parked]) == 1
    assert [(letter.event_id, letter.failed_at) for letter in queue.letters()] == [(7, PAST)]


def test_discarding_counts_what_was_there_in_the_table_that_was_named(
    queue: DeadLetterQueue,
) -> None:
    first, second, third = add(queue, 3)
    parked = park(queue, first)
    assert queue.discard([second, second, 99]) == 1
    assert queue.discard([parked], parked=True) == 1
    assert [letter.id for letter in queue.letters()] == [third]
    assert queue.permanent_failure_count() == 0


# Transactions

CHANGES: dict[str, Callable[[DeadLetterQueue, int, int], object]] = {
    "add": lambda queue, _letter, _parked: queue.add(1, b"ok:x", "boom"),
    "add_many": lambda queue, _letter, _parked: add(queue, 3),
    "mark_retry": lambda queue, letter, _parked: queue.mark_retry(letter),
    "remove": lambda queue, letter, _parked: queue.remove(letter),
    "clear": lambda queue, _letter, _parked: queue.clear(),
    "clear_permanent_failures": lambda queue, _l, _parked: queue.clear_permanent_failures(),
    "requeue": lambda queue, _letter, parked: queue.requeue([parked]),
    "discard": lambda queue, letter, _parked: queue.discard([letter]),
    "discard parked": lambda queue, _l, parked: queue.discard([parked], parked=True),
}


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest, given: DeadLetterQueue) -> Callable[[], object]:
    letter, to_park = add(given, 2)
    parked = park(given, to_park)
    return lambda: CHANGES[request.param](given, letter, parked)


def everything(queue: DeadLetterQueue) -> tuple[Any, ...]:
    return queue.letters(), queue.permanent_failures()


def test_a_change_commits_by_itself(
    given: DeadLetterQueue, path: Path, change: Callable[[], object]
) -> None:
    before = everything(given)
    change()
    assert not given.connection.in_transaction
    with DeadLetterQueue.open(path) as other:
        assert everything(other) == everything(given) != before


def test_a_change_is_rolled_back_with_the_transaction_that_it_joined(
    given: DeadLetterQueue, path: Path, change: Callable[[], object]
) -> None:
    before = everything(given)
    given.connection.execute("BEGIN")
    change()
    assert everything(given) != before
    with DeadLetterQueue.open(path) as other:
        assert everything(other) == before
    given.connection.rollback()
    assert everything(given) == before


def test_tables_made_in_a_transaction_are_rolled_back_with_it(
    given: DeadLetterQueue, path: Path
) -> None:
    for _ in range(2):
        given.connection.execute("BEGIN")
        assert add(given) == [1]
        assert given.count() == 1
        given.connection.rollback()
        assert (given.count(), given.letters(), given.permanent_failures()) == (0, [], [])
        assert others_see(path, "sqlite_master") == 0
    assert add(given) == [1]
    assert others_see(path, "dead_letter_queue") == 1


def test_a_refused_change_leaves_the_open_transaction_as_it_was(
    given: DeadLetterQueue, path: Path
) -> None:
    add(given)
    given.connection.execute("CREATE TABLE orders (id)")
    given.connection.execute(
        "CREATE TRIGGER never BEFORE DELETE ON dead_letter_queue WHEN old.id = 3 "
        "BEGIN SELECT raise(ABORT, 'never'); END"
    )
    given.connection.execute("BEGIN")
    given.connection.execute("INSERT INTO orders VALUES (1)")
    add(given, 3)
    with pytest.raises(StorageError, match="never"):
        given.clear()
    given.connection.commit()
    assert others_see(path, "dead_letter_queue") == 4
    assert others_see(path, "orders") == 1


def test_a_row_that_is_swallowed_takes_its_whole_change_back(given: DeadLetterQueue) -> None:
    connection = given.connection
    add(given)
    given.clear()
    connection.execute(
        "CREATE TRIGGER swallows BEFORE INSERT ON dead_letter_queue WHEN new.event_id = 2 "
        "BEGIN SELECT raise(IGNORE); END"
    )
    for statement in ("BEGIN", "COMMIT"):
        with pytest.raises(StorageError, match="does not take a row into dead_letter_queue"):
            given.add_many([(event_id, b"ok:", "boom") for event_id in (1, 2, 3)])
        assert given.count() == 0
        with pytest.raises(sqlite3.OperationalError, match="no such savepoint"):
            connection.execute("RELEASE azoth_dlq_verb")
        connection.execute(statement)


def test_letters_that_came_before_a_refused_one_are_taken_back_with_it(
    given: DeadLetterQueue,
) -> None:
    add(given)
    given.connection.execute(
        "CREATE TRIGGER never BEFORE INSERT ON dead_letter_queue WHEN new.event_id = 2 "
        "BEGIN SELECT raise(ABORT, 'never'); END"
    )
    given.connection.execute("BEGIN")
    with pytest.raises(StorageError, match="never"):
        given.add_many([(1, b"", ""), (2, b"", "")])
    assert given.count() == 1
    with pytest.raises(sqlite3.OperationalError, match="no such savepoint"):
        given.connection.execute(RELEASE_VERB)
    given.connection.rollback()


def test_a_letter_that_is_no_letter_keeps_the_others_out(queue: DeadLetterQueue) -> None:
    with pytest.raises(ConfigError, match="event_id"):
        queue.add_many([(1, b"ok:x", "boom"), ("2", b"ok:x", "boom")])  # type: ignore[list-item]  # the error under test
    assert queue.count() == 0


# Whose connection it is


def test_a_connection_of_the_users_stays_open(given: DeadLetterQueue) -> None:
    with given:
        add(given)
    assert given.connection.execute("SELECT count(*) FROM dead_letter_queue").fetchone() == (1,)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_cannot_use_the_queue(queue: DeadLetterQueue) -> None:
    add(queue)
    child = os.fork()
    if child == 0:
        refused = 0
        for verb in (queue.count, queue.letters, queue.clear, lambda: add(queue)):
            try:
                verb()
            except InvalidStateError:
                refused += 1
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
    assert queue.count() == 1
