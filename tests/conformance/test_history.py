"""What every store promises of the history: it goes with its letter, and goes when it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from azoth_dlq.store.base import ALONE, Store
from azoth_dlq.store.settlement import Attempted, Parking, Retry, Settlement, Snoozed
from azoth_dlq.types import AttemptRecord
from tests.conformance.backend import SETTINGS, Backend
from tests.conformance.letters import EPOCH, NEW, NOW, commit


def attempt(letter_id: int, number: int = 1) -> Attempted:
    return Attempted(
        letter_id, NOW + number, "failed", "builtins.OSError", f"no. {number}", "File …", 1_500_000
    )


def fail(store: Store, *letter_ids: int, number: int = 1) -> None:
    """A group in which all of these fail."""
    store.begin()
    commit(
        store,
        retries=[Retry(letter_id, number, NOW, "down") for letter_id in letter_ids],
        history=[attempt(letter_id, number) for letter_id in letter_ids],
    )


def park(store: Store, letter_id: int, *, last: int | None = None) -> int:
    """Park a letter, perhaps with its last attempt; the id of the permanent failure."""
    store.begin()
    history = [] if last is None else [attempt(letter_id, last)]
    commit(store, parked=[Parking(letter_id, NOW, "poison", 5, NOW, "down")], history=history)
    return store.read(parked=True)[0].id


def messages(store: Store, row_id: int, *, parked: bool = False) -> list[str]:
    return [record.message for record in store.history(row_id, parked=parked)]


def test_an_attempt_is_kept_as_it_was_made(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    failed = attempt(letter_id)
    snoozed = failed._replace(outcome="snoozed", message="", traceback="", duration=0)
    died = failed._replace(outcome="died", message="größer 😀", duration=None)
    store.begin()
    commit(store, snoozed=[Snoozed(letter_id, NOW)], history=[failed, snoozed, died])
    kept = AttemptRecord(
        at=EPOCH + timedelta(microseconds=NOW + 1),
        outcome="failed",
        error_type="builtins.OSError",
        message="no. 1",
        traceback="File …",
        duration=timedelta(seconds=1.5),
    )
    assert store.history(letter_id) == [
        kept,
        replace(kept, outcome="snoozed", message="", traceback="", duration=timedelta(0)),
        replace(kept, outcome="died", message="größer 😀", duration=None),
    ]


def test_a_letter_that_never_failed_or_is_not_there_has_none(store: Store) -> None:
    failing, other = store.add([NEW, NEW])
    fail(store, failing)
    assert store.history(other) == store.history(other + 1) == []
    assert store.history(failing, parked=True) == []


def test_the_last_attempts_of_each_letter_are_kept(backend: Backend) -> None:
    store = backend.store
    often, seldom = store.add([NEW, NEW])
    with store.draining(SETTINGS._replace(history_limit=2)):
        fail(store, seldom)
        for number in (1, 2, 3):
            fail(store, often, number=number)
        assert messages(store, often) == ["no. 2", "no. 3"]
        store.begin()
        commit(store, history=[attempt(often, number) for number in (4, 5, 6)])
        assert messages(store, often) == ["no. 5", "no. 6"]
        assert messages(store, seldom) == ["no. 1"]


def test_a_limit_of_none_keeps_none(backend: Backend) -> None:
    store = backend.store
    (letter_id,) = store.add([NEW])
    with store.draining(SETTINGS):
        fail(store, letter_id)
    with store.draining(SETTINGS._replace(history_limit=0)):
        assert messages(store, letter_id) == ["no. 1"]
        fail(store, letter_id, number=2)
        assert messages(store, letter_id) == []


def test_a_group_that_is_taken_back_leaves_none(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    store.begin()
    store.settle(Settlement(history=[attempt(letter_id)]))
    store.end(commit=False)
    assert store.history(letter_id) == []


def test_it_goes_with_the_ack(store: Store) -> None:
    acked, other = store.add([NEW, NEW])
    fail(store, acked, other)
    store.begin()
    commit(store, acked=[acked], recorded=[acked])
    assert store.history(acked) == []
    assert messages(store, other) == ["no. 1"]


def test_many_go_with_their_acks(store: Store) -> None:
    ids = store.add([NEW] * 1100)
    fail(store, *ids)
    store.begin()
    commit(store, acked=ids[1099::-1], recorded=ids[1099:3:-1])
    with_history = [letter_id for letter_id in ids[4:] if store.history(letter_id)]
    assert with_history == []


def test_an_attempt_of_a_letter_that_is_gone_is_not_kept(backend: Backend, store: Store) -> None:
    letter_id, other = store.add([NEW, NEW])
    fail(store, other)
    store.begin()
    commit(store, acked=[letter_id], history=[attempt(letter_id)])
    backend.insert(id=letter_id)
    assert store.history(letter_id) == []


def test_it_is_kept_with_the_park_and_so_is_the_last_attempt(store: Store) -> None:
    first, second = store.add([NEW, NEW])
    fail(store, first, second)
    parked_ids = park(store, second, last=2), park(store, first)
    assert messages(store, parked_ids[0], parked=True) == ["no. 1", "no. 2"]
    assert messages(store, parked_ids[1], parked=True) == ["no. 1"]
    assert store.history(first) == store.history(second) == []


def test_it_comes_back_with_the_requeue(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    fail(store, letter_id)
    parked_id = park(store, letter_id, last=2)
    assert store.requeue([parked_id], NOW) == 1
    assert messages(store, letter_id) == ["no. 1", "no. 2"]
    assert store.history(parked_id, parked=True) == []
    fail(store, letter_id, number=3)
    assert messages(store, letter_id) == ["no. 1", "no. 2", "no. 3"]


def test_it_comes_back_to_the_id_that_the_letter_gets(backend: Backend, store: Store) -> None:
    (letter_id,) = store.add([NEW])
    parked_id = park(store, letter_id, last=1)
    backend.insert(id=letter_id)
    store.requeue([parked_id], NOW)
    (requeued, _taken) = store.read()
    assert requeued.id != letter_id
    assert messages(store, requeued.id) == ["no. 1"]
    assert store.history(letter_id) == []


DELETIONS: dict[str, Callable[[int], list[int] | None]] = {
    "some": lambda row_id: [row_id],
    "all": lambda _row_id: None,
}


@pytest.mark.parametrize("which", DELETIONS)
@pytest.mark.parametrize("parked", [False, True], ids=["dead", "parked"])
def test_it_goes_where_the_letter_is_deleted(
    backend: Backend, store: Store, which: str, *, parked: bool
) -> None:
    """Of a dead letter and a permanent failure with the same id, one is deleted."""
    ids = store.add([NEW, NEW])
    fail(store, *ids)
    parked_id = park(store, ids[1])
    dead_id = ids[0]
    assert parked_id == dead_id
    assert store.delete(DELETIONS[which](dead_id), parked=parked) == 1
    assert store.history(dead_id, parked=parked) == []
    assert messages(store, dead_id, parked=not parked) == ["no. 1"]
    if not parked:
        backend.insert(id=dead_id)
        assert store.history(dead_id) == []


def test_a_deletion_that_is_taken_back_keeps_it(backend: Backend) -> None:
    store = backend.store
    (letter_id,) = store.add([NEW])
    with store.draining(SETTINGS):
        fail(store, letter_id)
    backend.begin()
    store.delete([letter_id])
    assert store.history(letter_id) == []
    backend.roll_back()
    assert messages(store, letter_id) == ["no. 1"]


def test_a_handler_sees_and_deletes_it(backend: Backend, store: Store) -> None:
    first, second = store.add([NEW, NEW])
    fail(store, first, second)
    store.begin()
    store.isolate(first)
    seen = messages(store, first), store.delete([second])
    assert store.keep()
    commit(store, acked=[first], recorded=[first])
    assert seen == (["no. 1"], 1)
    for letter_id in (first, second):
        backend.insert(id=letter_id)
        assert store.history(letter_id) == []


def test_a_letter_kept_alone_says_so(store: Store) -> None:
    first, second = store.add([NEW, NEW])
    fail(store, second)
    store.begin()
    commit(store, alone=[first, second, second + 1])
    store.begin()
    rows = store.fetch([first, second], inline=None, verify=False)
    assert [row[2] & ALONE for row in rows] == [ALONE, ALONE]
    assert [row[1] for row in rows] == [0, 1]
    commit(store, parked=[Parking(first, NOW, "poison")])
    store.requeue([store.read(parked=True)[0].id], NOW)
    store.begin()
    assert [row[2] for row in store.fetch([first], inline=None, verify=False)] == [None]
