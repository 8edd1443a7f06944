"""What every store promises of outcomes: written together, committed together."""

from __future__ import annotations

from datetime import timedelta

import pytest

from azoth_dlq.store.base import Busy, CommitRefused, Store
from azoth_dlq.store.settlement import Parking, Retry, Settlement, Snoozed
from tests.conformance.backend import Backend
from tests.conformance.letters import EPOCH, NEW, NOW, NOW_TEXT, call, candidates, commit


def test_a_failed_letter_keeps_its_count_time_and_latest_error(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    for count, error in [(1, "first"), (2, "second")]:
        store.begin()
        commit(store, retries=[Retry(letter_id, count, NOW, error)])
        (letter,) = store.read()
        assert (letter.retry_count, letter.last_retry_at) == (count, NOW_TEXT)
        assert (letter.error_message, letter.last_error) == ("boom", error)
        assert letter.not_before is None


def test_a_later_failure_ends_what_a_handler_asked_for(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    for not_before in (NOW + 1, None):
        store.begin()
        commit(store, retries=[Retry(letter_id, 1, NOW, "down", not_before)])
    assert [row[4] for row in candidates(store)] == [None]


def test_a_snoozed_letter_has_spent_nothing(backend: Backend, store: Store) -> None:
    letter_id = backend.insert(retry_count=2, last_retry_at=NOW_TEXT)
    store.begin()
    commit(store, snoozed=[Snoozed(letter_id, NOW + 5)])
    (letter,) = store.read()
    assert (letter.retry_count, letter.last_retry_at, letter.last_error) == (2, NOW_TEXT, None)
    assert letter.not_before == EPOCH + timedelta(microseconds=NOW + 5)


def test_a_letter_is_parked_with_its_last_attempt(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    store.begin()
    commit(store, parked=[Parking(letter_id, NOW, "poison", 5, NOW, "down")])
    assert store.figures().dead == 0
    (parked,) = store.read(parked=True)
    assert (parked.retry_count, parked.last_retry_at) == (5, NOW_TEXT)
    assert (parked.error_message, parked.last_error, parked.reason) == ("boom", "down", "poison")
    assert parked.dead_letter_id == letter_id
    assert parked.marked_permanent_at == "2026-11-24 12:00:00"


def test_a_letter_parked_unattempted_keeps_its_columns(backend: Backend, store: Store) -> None:
    letter_id = backend.insert(retry_count=-1, failed_at="never", last_retry_at="hm")
    store.begin()
    commit(store, parked=[Parking(letter_id, NOW, "unreadable")])
    (parked,) = store.read(parked=True)
    assert (parked.retry_count, parked.failed_at, parked.last_retry_at) == (-1, "never", "hm")


def test_letters_that_are_gone_are_settled_without_effect(store: Store) -> None:
    kept = store.add([NEW])
    gone = kept[0] + 5
    store.begin()
    commit(
        store,
        acked=[gone],
        retries=[Retry(gone, 1, NOW, "down")],
        snoozed=[Snoozed(gone, NOW)],
        parked=[Parking(gone, NOW, "poison")],
    )
    assert [letter.id for letter in store.read()] == kept
    assert store.figures().parked == 0


def test_many_letters_are_settled_together(store: Store) -> None:
    ids = store.add([NEW] * 1500)
    store.begin()
    commit(store, acked=ids[1200::-1], parked=[Parking(i, NOW, "poison") for i in ids[1201:1450]])
    assert [letter.id for letter in store.read()] == ids[:1449:-1]
    assert store.figures().parked == 249


def test_a_commit_that_has_to_wait_can_be_asked_for_again(backend: Backend, store: Store) -> None:
    ids = store.add([NEW])
    store.begin()
    call(backend, 1)
    store.settle(Settlement(acked=ids))
    with backend.another_reads():
        for _ in range(2):
            with pytest.raises(Busy):
                store.end(commit=True)
    store.end(commit=True)
    assert backend.effects() == [1]
    assert backend.ids() == []


def test_a_group_that_cannot_be_committed_is_told(backend: Backend, store: Store) -> None:
    ids = store.add([NEW])
    store.begin()
    store.isolate(ids[0])
    backend.make_uncommittable(store.connection)
    store.keep()
    with pytest.raises(CommitRefused):
        commit(store, acked=ids)
    store.end(commit=False)
    assert backend.ids() == ids
    store.begin()
    call(backend, 1)
    commit(store, acked=ids)
    assert backend.effects() == [1]
