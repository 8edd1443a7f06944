"""What every store promises of the group in which a drain works on letters."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.base import ALONE, Busy, Opened, StorageFault, Store, TransactionLost
from azoth_dlq.store.settlement import Retry, Settlement, Snoozed
from tests.conformance.backend import SETTINGS, Backend
from tests.conformance.letters import EPOCH, NEW, NOW, NOW_TEXT, call, candidates, commit, text_of

# Candidates


def test_every_letter_is_a_candidate(backend: Backend, store: Store) -> None:
    one = backend.insert(last_retry_at="2026-11-24T11:00:00Z", retry_count=2)
    two = backend.insert(failed_at="yesterday", error_message="nöpe")
    assert candidates(store) == [
        (one, 2, "2026-11-24 10:00:00", "2026-11-24T11:00:00Z", None),
        (two, 0, "yesterday", None, None),
    ]
    assert [row[5] for row in candidates(store, with_error=True)] == ["boom", "nöpe"]


def test_a_store_without_letters_has_no_candidates(store: Store) -> None:
    assert candidates(store) == []


@pytest.mark.parametrize("columns", [{"retry_count": 4}, {"last_retry_at": NOW_TEXT[:-1]}])
def test_a_not_before_counts_only_for_the_state_that_it_was_set_in(
    backend: Backend, store: Store, columns: dict[str, Any]
) -> None:
    retried, snoozed = store.add([NEW, NEW])
    store.begin()
    commit(
        store,
        retries=[Retry(retried, 3, NOW, "down", not_before=NOW + 1)],
        snoozed=[Snoozed(snoozed, NOW + 2)],
    )
    assert [row[4] for row in candidates(store)] == [NOW + 1, NOW + 2]
    assert [letter.not_before for letter in store.read()] == [
        EPOCH + timedelta(microseconds=NOW + n) for n in (2, 1)
    ]
    backend.update(retried, **columns)
    backend.update(snoozed, **columns)
    assert [row[4] for row in candidates(store)] == [None, None]
    assert [letter.not_before for letter in store.read()] == [None, None]


# Opening a group


def test_a_group_knows_that_nobody_wrote(store: Store) -> None:
    candidates(store)
    for _ in range(2):
        assert store.begin() == Opened(unchanged=True)
        store.end(commit=True)


def test_a_group_knows_that_somebody_wrote(backend: Backend, store: Store) -> None:
    candidates(store)
    backend.insert()
    for _ in range(2):
        assert store.begin() == Opened(unchanged=False)
        store.end(commit=True)
    candidates(store)
    assert store.begin().unchanged


def test_a_group_knows_that_a_handler_wrote_to_the_queue(store: Store) -> None:
    one, two = store.add([NEW, NEW])
    candidates(store)
    store.begin()
    store.isolate(one)
    store.delete([two])
    store.keep()
    commit(store)
    assert not store.begin().unchanged


def test_nobody_else_writes_while_a_group_is_open(backend: Backend, store: Store) -> None:
    assert backend.others_can_write()
    store.begin()
    assert not backend.others_can_write()
    store.end(commit=True)
    assert backend.others_can_write()


def test_a_group_waits_for_another_writer(backend: Backend, store: Store) -> None:
    with backend.another_writes(), pytest.raises(Busy):
        store.begin()
    store.begin()
    store.end(commit=True)


# Fetching


def test_rows_are_fetched_in_the_order_of_the_ids(backend: Backend, store: Store) -> None:
    ids = [backend.insert(event_id=n, retry_count=n) for n in range(4)]
    backend.remove(ids[1])
    store.begin()
    wanted = [ids[2], ids[0], ids[1], ids[3]]
    assert store.fetch(wanted, inline=100, verify=False) == [
        (ids[n], n, None, n, b"ok:payload") for n in (2, 0, 3)
    ]


@pytest.mark.parametrize(("inline", "is_there"), [(10, True), (9, False), (None, True)])
def test_long_event_bytes_are_left_out(
    backend: Backend, store: Store, inline: int | None, is_there: bool
) -> None:
    letter = backend.insert(event_bytes=b"0123456789")
    store.begin()
    ((*_, event_bytes),) = store.fetch([letter], inline=inline, verify=False)
    assert event_bytes == (b"0123456789" if is_there else None)


def test_rows_to_verify_carry_the_columns_of_the_candidates(backend: Backend, store: Store) -> None:
    backend.insert(failed_at="yesterday")
    backend.insert(retry_count=2, last_retry_at=NOW_TEXT)
    planned = candidates(store)
    store.begin()
    fetched = store.fetch([row[0] for row in planned], inline=0, verify=True)
    assert [tuple(text_of(value) for value in row[:5]) for row in fetched] == planned
    assert [row[5:] for row in fetched] == [(None, 42, None), (None, 42, None)]


# One letter after the other


def test_what_a_handler_wrote_is_committed_with_its_ack(backend: Backend, store: Store) -> None:
    ids = store.add([NEW, NEW])
    store.begin()
    for letter in ids:
        call(backend, letter)
    assert backend.effects() == []
    commit(store, acked=ids)
    assert backend.effects() == ids
    assert backend.ids() == []


def test_a_group_that_is_taken_back_leaves_nothing(backend: Backend, store: Store) -> None:
    ids = store.add([NEW, NEW])
    store.begin()
    call(backend, ids[0])
    store.settle(Settlement(acked=ids))
    store.end(commit=False)
    store.end(commit=False)
    assert backend.effects() == []
    assert backend.ids() == ids
    assert backend.others_can_write()


def test_undo_takes_back_the_letter_in_hand_alone(backend: Backend, store: Store) -> None:
    store.begin()
    call(backend, 1)
    store.isolate(2)
    backend.write(store.connection, 2)
    assert store.undo(ValueError("bad")) is None
    call(backend, 3)
    commit(store)
    assert backend.effects() == [1, 3]


@pytest.mark.parametrize(("unless", "left"), [(2, [1, 2]), (1, [1])])
def test_undo_spares_the_letter_that_is_done(
    backend: Backend, store: Store, unless: int, left: list[int]
) -> None:
    store.begin()
    call(backend, 1)
    call(backend, 2)
    store.undo(unless=unless)
    commit(store)
    assert backend.effects() == left


def test_undo_without_a_letter_in_hand_takes_back_nothing(backend: Backend, store: Store) -> None:
    store.begin()
    assert store.undo() is None
    call(backend, 1)
    store.isolate(2)
    store.undo()
    assert store.undo() is None
    commit(store)
    assert backend.effects() == [1]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_handler_cannot_end_the_transaction(backend: Backend, store: Store, end: str) -> None:
    store.begin()
    call(backend, 1)
    store.isolate(2)
    backend.write(store.connection, 2)
    with pytest.raises(Exception):  # noqa: B017, PT011 -- of whatever kind, it may be swallowed
        getattr(store.connection, end)()
    with pytest.raises(InvalidStateError, match="the handler tried to"):
        store.keep()
    assert "the handler tried to" in str(store.undo())
    assert backend.effects() == []
    call(backend, 3)
    commit(store)
    assert backend.effects() == [1, 3]


@pytest.mark.parametrize("raised", [False, True])
def test_a_lost_transaction_is_told(backend: Backend, store: Store, raised: bool) -> None:
    store.begin()
    call(backend, 1)
    store.isolate(2)
    backend.lose_transaction(store.connection)
    with pytest.raises(TransactionLost) as lost:
        store.undo(ValueError("bad")) if raised else store.keep()
    assert (lost.value.by_letter_in_hand, lost.value.committed) == (True, False)
    assert store.begin().died_in == ()
    call(backend, 3)
    commit(store)
    assert backend.effects() == [3]


def test_a_transaction_that_the_handler_committed_is_told(backend: Backend, store: Store) -> None:
    ids = store.add([NEW])
    store.begin()
    call(backend, 1)
    store.isolate(2)
    backend.commit_behind_the_guard(store.connection)
    with pytest.raises(TransactionLost) as lost:
        store.keep()
    assert (lost.value.by_letter_in_hand, lost.value.committed) == (True, True)
    assert store.begin().died_in == ()
    commit(store, acked=ids)
    assert backend.effects() == [1]
    assert backend.ids() == []


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_fault_of_the_database_is_nobodys_failure(
    backend: Backend, store: Store, wrapped: bool
) -> None:
    store.begin()
    store.isolate(1)
    error: Exception = backend.database_fault()
    if wrapped:
        cause, error = error, RuntimeError("it did not work")
        error.__cause__ = cause
    with pytest.raises(StorageFault):
        store.undo(error)
    store.end(commit=False)
    assert store.begin().died_in == ()


# Deaths


def test_a_letter_is_in_nobodys_hand_once_its_group_is_committed(
    backend: Backend, store: Store
) -> None:
    ids = store.add([NEW])
    store.begin()
    call(backend, ids[0])
    store.end(commit=True)
    assert store.begin().died_in == ()
    assert backend.effects() == ids


def test_a_death_in_a_handler_is_charged_once(backend: Backend, store: Store) -> None:
    ids = store.add([NEW, NEW])
    backend.die_in(ids[0])
    for _ in range(2):
        assert store.begin().died_in == (ids[0],)
        store.end(commit=False)
    assert store.begin().died_in == (ids[0],)
    commit(store, retries=[Retry(ids[0], 1, NOW, "died")])
    assert store.begin().died_in == ()
    assert backend.effects() == []
    assert [letter.retry_count for letter in store.read()] == [0, 1]


def test_a_second_death_in_the_same_letter_is_charged_too(backend: Backend, store: Store) -> None:
    ids = store.add([NEW])
    for count in (1, 2):
        backend.die_in(ids[0])
        assert store.begin().died_in == (ids[0],)
        commit(store, retries=[Retry(ids[0], count, NOW, "died")])


def test_a_death_in_a_batch_is_told_with_all_its_letters(backend: Backend, store: Store) -> None:
    ids = store.add([NEW] * 4)
    backend.die_in(*ids[1:])
    opened = store.begin()
    assert (opened.died_in, opened.in_batch) == (tuple(ids[1:]), True)
    commit(store, alone=ids[1:])
    assert store.begin().died_in == ()
    rows = store.fetch(ids, inline=0, verify=False)
    assert [(row[2] or 0) & ALONE for row in rows] == [0, ALONE, ALONE, ALONE]
    assert backend.effects() == []


def test_undo_takes_back_what_a_batch_wrote(backend: Backend, store: Store) -> None:
    store.begin()
    call(backend, 1)
    store.isolate(2)
    assert all(map(store.join, (2, 3, 4)))
    backend.write(store.connection, 2)
    backend.write(store.connection, 3)
    assert store.undo(ValueError("bad")) is None
    commit(store)
    assert backend.effects() == [1]


def test_a_batch_is_done_once_its_last_letter_is(backend: Backend, store: Store) -> None:
    store.begin()
    store.isolate(2)
    assert all(map(store.join, (2, 3, 4)))
    backend.write(store.connection, 2)
    assert store.keep() is False
    store.undo(unless=4)
    commit(store)
    assert backend.effects() == [2]


# The whole drain


def test_the_last_drains_settings_are_kept_with_its_first_group(backend: Backend) -> None:
    store = backend.store
    with store.draining(SETTINGS):
        store.begin()
        store.end(commit=False)
        assert store.figures(1).settings is None
        store.begin()
        store.end(commit=True)
    assert store.figures(1).settings == SETTINGS.settings


def test_an_open_transaction_cannot_be_drained_in(backend: Backend) -> None:
    backend.begin()
    kept = backend.store.add([NEW])
    with pytest.raises(InvalidStateError), backend.store.draining(SETTINGS):
        pass
    backend.commit()
    assert backend.ids() == kept


def test_a_drain_within_a_drain_is_refused_and_does_no_harm(backend: Backend, store: Store) -> None:
    with pytest.raises(InvalidStateError), store.draining(SETTINGS):
        pass
    ids = store.add([NEW])
    store.begin()
    call(backend, 1)
    commit(store, acked=ids)
    assert backend.effects() == [1]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_drain_that_breaks_off_leaves_no_transaction(
    backend: Backend, error: type[BaseException]
) -> None:
    def break_off() -> None:
        with backend.store.draining(SETTINGS):
            backend.store.begin()
            backend.store.isolate(1)
            backend.write(backend.store.connection, 1)
            raise error

    with pytest.raises(error):
        break_off()
    assert backend.others_can_write()
    assert backend.effects() == []
    backend.begin()
    backend.write(backend.store.connection, 2)
    backend.commit()
    assert backend.effects() == [2]
    with backend.store.draining(SETTINGS):
        assert backend.store.begin().died_in == ()
