"""The history in an SQLite file: what it costs, what sweeps it, and files that have none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue
from azoth_dlq.store.base import CommitRefused, DrainSettings
from azoth_dlq.store.settlement import Attempted, Parking, Retry, Settlement, Snoozed
from azoth_dlq.store.sqlite import SqliteStore, history, migrations, open_for_looking
from tests.store.conftest import execute

NOW = 1_790_000_000_000_000
SETTINGS = DrainSettings(busy_timeout=0.2, settings="{}")
ROWS = "SELECT coalesce(letter_id, -parked_id), message FROM azoth_dlq_history ORDER BY id"
SWEPT = "SELECT value FROM azoth_dlq_state WHERE key = 'swept'"


def add(queue: DeadLetterQueue, count: int = 1) -> list[int]:
    return queue.add_many((n, b"ok:x", "boom") for n in range(count))


def attempt(letter_id: int, message: str = "down") -> Attempted:
    return Attempted(letter_id, NOW, "failed", "OSError", message, "", 5)


def drain(store: SqliteStore, *settlements: Settlement, history_limit: int = 20) -> None:
    """A drain in which each settlement is a group."""
    with store.draining(SETTINGS._replace(history_limit=history_limit)):
        for settlement in settlements:
            store.begin()
            store.settle(settlement)
            store.end(commit=True)


def failed(*letter_ids: int) -> Settlement:
    return Settlement(
        retries=[Retry(letter_id, 1, NOW, "down") for letter_id in letter_ids],
        history=[attempt(letter_id) for letter_id in letter_ids],
    )


@contextmanager
def traced(connection: sqlite3.Connection) -> Iterator[list[str]]:
    """The statements executed within that have to do with the history."""
    statements: list[str] = []

    def note(text: str) -> None:
        if "azoth_dlq_history" in text:
            statements.append(text)

    connection.set_trace_callback(note)
    yield statements
    connection.set_trace_callback(None)


# What it costs


def test_an_ack_without_a_history_costs_nothing(queue: DeadLetterQueue) -> None:
    ids = add(queue, 3)
    with queue.store.draining(SETTINGS):
        for place, letter_id in enumerate(ids):
            with traced(queue.connection) as statements:
                queue.store.begin()
                queue.store.settle(Settlement(acked=[letter_id]))
                queue.store.end(commit=True)
            # The first group looks whether there is anything to sweep.
            assert [text.split()[0] for text in statements] == ["SELECT"] * (place == 0)


def test_many_histories_go_by_few_statements(queue: DeadLetterQueue) -> None:
    ids = add(queue, 1000)
    drain(queue.store, failed(*ids))
    with queue.store.draining(SETTINGS):
        queue.store.begin()
        with traced(queue.connection) as statements:
            queue.store.settle(Settlement(acked=ids, recorded=ids))
        queue.store.end(commit=True)
    deleting = [text for text in statements if text.startswith("DELETE")]
    assert len(deleting) == 2
    assert queue.connection.execute(ROWS).fetchall() == []


def test_a_drain_that_writes_nothing_sweeps_nothing(queue: DeadLetterQueue) -> None:
    (letter_id,) = add(queue)
    drain(queue.store, failed(letter_id))
    with (
        traced(queue.connection) as statements,
        queue.store.draining(SETTINGS),
        queue.store.candidates(with_error=False) as rows,
    ):
        assert len(list(rows)) == 1
    assert statements == []


# What another program deleted


def test_what_another_program_deleted_is_swept(queue: DeadLetterQueue, path: Path) -> None:
    gone, cleared, kept, parked, other = add(queue, 5)
    drain(
        queue.store,
        failed(gone, cleared, kept, parked, other),
        Settlement(parked=[Parking(i, NOW, "poison") for i in (cleared, parked)]),
    )
    execute(path, "DELETE FROM dead_letter_queue WHERE id = ?", gone)
    execute(path, "DELETE FROM permanent_failures WHERE azoth_dead_letter_id = ?", cleared)
    assert len(execute(path, ROWS)) == 5
    drain(queue.store, Settlement(acked=[other], recorded=[other]))
    (left,) = queue.permanent_failures()
    assert execute(path, ROWS) == [(kept, "down"), (-left.id, "down")]
    assert execute(path, SWEPT) == []


def test_an_id_that_is_used_anew_inherits_no_history_once_it_was_swept(
    queue: DeadLetterQueue, path: Path
) -> None:
    gone, other = add(queue, 2)
    drain(queue.store, failed(gone))
    execute(path, "DELETE FROM dead_letter_queue WHERE id = ?", gone)
    drain(queue.store, Settlement(acked=[other]))
    execute(
        path,
        "INSERT INTO dead_letter_queue (id, event_id, event_bytes, error_message) "
        "VALUES (?, 7, x'00', 'boom')",
        gone,
    )
    assert queue.history(gone) == []


def test_a_sweep_looks_at_a_bounded_number_of_rows_and_the_next_goes_on(
    queue: DeadLetterQueue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add(queue, 10)
    drain(queue.store, failed(*ids))
    monkeypatch.setattr(history, "SWEEP_ROWS", 4)
    left = []
    execute(path, "DELETE FROM dead_letter_queue WHERE id <> ?", ids[0])
    for _ in range(4):
        drain(queue.store, failed())
        left.append((len(execute(path, ROWS)), *(value for (value,) in execute(path, SWEPT))))
    # The last one begins anew, with the one that is left.
    assert left == [(7, 4), (3, 8), (1, 0), (1, 0)]


def test_a_sweep_is_taken_back_with_its_group_and_done_again(
    queue: DeadLetterQueue, path: Path
) -> None:
    (letter_id, other) = add(queue, 2)
    drain(queue.store, failed(letter_id))
    execute(path, "DELETE FROM dead_letter_queue WHERE id = ?", letter_id)
    with queue.store.draining(SETTINGS):
        for commit, left in ((False, 1), (True, 0)):
            queue.store.begin()
            queue.store.settle(Settlement(acked=[other]))
            queue.store.end(commit=commit)
            assert len(execute(path, ROWS)) == left


def test_thousands_of_rows_are_swept_in_a_moment(queue: DeadLetterQueue) -> None:
    """At most that many rows are looked at while others wait for the lock."""
    assert history.SWEEP_ROWS <= 5000
    (letter_id,) = add(queue)
    queue.connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) "
        "INSERT INTO azoth_dlq_history (letter_id, at, outcome, error_type, message, traceback) "
        "SELECT i + 100, 0, 'failed', '', '', '' FROM n"
    )
    drain(queue.store, failed(letter_id))
    ((left,),) = queue.connection.execute("SELECT count(*) FROM azoth_dlq_history").fetchall()
    assert left == 6001 - history.SWEEP_ROWS


# Files of before


def test_a_file_of_the_crate_has_no_history_and_gets_none_by_looking(crate_file: Path) -> None:
    before = crate_file.read_bytes()
    with DeadLetterQueue.open(crate_file) as queue:
        assert queue.history(1) == queue.history(1, parked=True) == []
    with closing(open_for_looking(crate_file)) as looking:
        assert SqliteStore(looking).history(1) == []
    assert crate_file.read_bytes() == before


def test_a_file_of_the_first_step_has_no_history_until_it_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", migrations.STEPS[:1])
        with DeadLetterQueue.open(path) as queue:
            add(queue)
    with DeadLetterQueue.open(path) as queue:
        assert queue.history(1) == queue.history(1, parked=True) == []
        assert execute(path, "SELECT 1 FROM sqlite_master WHERE name LIKE '%history%'") == []
        drain(queue.store, failed(1))
        assert [record.message for record in queue.history(1)] == ["down"]


# The queue's verbs


def test_the_queue_gives_the_history_of_either_space_of_ids(queue: DeadLetterQueue) -> None:
    first, second = add(queue, 2)
    drain(queue.store, failed(first))
    drain(
        queue.store, Settlement(parked=[Parking(second, NOW, "x")], history=[attempt(second, "x")])
    )
    (parked,) = queue.permanent_failures()
    assert parked.id == first
    assert [record.message for record in queue.history(first)] == ["down"]
    assert [record.message for record in queue.history(parked.id, parked=True)] == ["x"]


def test_a_verb_that_is_rolled_back_by_its_caller_keeps_the_history(
    queue: DeadLetterQueue,
) -> None:
    first, second = add(queue, 2)
    drain(queue.store, failed(first, second), Settlement(parked=[Parking(second, NOW, "x")]))
    (parked,) = queue.permanent_failures()
    before = queue.connection.execute(ROWS).fetchall()
    verbs: list[Callable[[], int]] = [
        lambda: queue.discard([first]),
        lambda: queue.discard([parked.id], parked=True),
        queue.clear,
        queue.clear_permanent_failures,
        lambda: queue.requeue([parked.id]),
    ]
    for verb in verbs:
        queue.connection.execute("BEGIN")
        assert verb() == 1
        assert queue.connection.execute(ROWS).fetchall() != before
        queue.connection.execute("ROLLBACK")
        assert queue.connection.execute(ROWS).fetchall() == before


def test_the_factories_of_a_connections_owner_change_nothing(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        queue = DeadLetterQueue(connection)
        (letter_id,) = add(queue)
        drain(queue.store, failed(letter_id), failed(letter_id))
        before = queue.history(letter_id)
        connection.text_factory = bytes
        connection.row_factory = sqlite3.Row
        assert queue.history(letter_id) == before
        assert len(before) == 2


def test_text_that_others_spoiled_is_shown_all_the_same(queue: DeadLetterQueue) -> None:
    (letter_id,) = add(queue)
    drain(queue.store, failed(letter_id))
    queue.connection.execute("UPDATE azoth_dlq_history SET message = CAST(x'61ff' AS TEXT)")
    assert [record.message for record in queue.history(letter_id)] == ["a\ufffd"]


def test_a_history_that_snoozes_left_goes_with_the_ack(queue: DeadLetterQueue) -> None:
    """The store itself says which letters may have one."""
    (letter_id,) = add(queue)
    snooze = attempt(letter_id)._replace(outcome="snoozed")
    drain(queue.store, Settlement(snoozed=[Snoozed(letter_id, NOW)], history=[snooze]))
    with queue.store.draining(SETTINGS):
        queue.store.begin()
        ((_, _, notes, *_),) = queue.store.fetch([letter_id], inline=0, verify=False)
        assert notes == 1
        queue.store.settle(Settlement(acked=[letter_id], recorded=[letter_id]))
        queue.store.end(commit=True)
    assert queue.connection.execute(ROWS).fetchall() == []


@pytest.mark.parametrize("column", ["azoth_alone", "retry_count"])
def test_a_trigger_that_keeps_a_letter_from_being_updated_is_told(
    queue: DeadLetterQueue, column: str
) -> None:
    (letter_id,) = add(queue)
    settlements: dict[str, Any] = {
        "azoth_alone": Settlement(alone=[letter_id]),
        "retry_count": failed(letter_id),
    }
    queue.connection.execute(
        f"CREATE TRIGGER keep BEFORE UPDATE OF {column} ON dead_letter_queue "
        "BEGIN SELECT RAISE(IGNORE); END"
    )
    with pytest.raises(CommitRefused, match="kept from being updated"):
        drain(queue.store, settlements[column])


def test_histories_that_another_program_leaves_behind_do_not_grow_without_bound(
    path: Path, queue: DeadLetterQueue
) -> None:
    for _ in range(6):
        ids = add(queue, 4000)
        drain(queue.store, Settlement(history=[attempt(i) for i in ids]))
        execute(path, "DELETE FROM dead_letter_queue")
    ((left,),) = execute(path, "SELECT count(*) FROM azoth_dlq_history")
    assert left <= 2 * 4000
