"""What every store promises of edits, purges and the audit."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from azoth_dlq.acting import discard
from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.base import Store
from azoth_dlq.store.settlement import Parking
from azoth_dlq.store.upkeep import NewAction
from azoth_dlq.types import AuditRecord
from tests.conformance.backend import SETTINGS, Backend
from tests.conformance.letters import EPOCH, NEW, NOW, commit, group
from tests.conformance.test_history import fail, messages, park

ACTION = NewAction(0, "alice", "discard", {"error": "timeout", "parked": False}, 20, 5)


def payload(store: Store, letter_id: int) -> bytes:
    return store.read(ids=[letter_id])[0].event_bytes


# The audit


def test_actions_are_kept_newest_first(store: Store) -> None:
    assert store.actions() == []
    first = store.record(ACTION)
    second = store.record(ACTION._replace(who="bob", details={"to": "a.jsonl"}))
    kept = AuditRecord(
        id=first,
        at=EPOCH,
        who="alice",
        action="discard",
        filter={"error": "timeout", "parked": False},
        matched=20,
        done=5,
    )
    newer = replace(kept, id=second, who="bob", details={"to": "a.jsonl"})
    assert store.actions() == [newer, kept]
    assert store.actions(1) == [newer]
    assert store.actions(0) == []


def test_what_is_done_later_is_added(store: Store) -> None:
    action_id = store.record(ACTION)
    store.record_done(action_id, 7)
    store.record_done(action_id, 1, {"attempts": 3})
    store.record_done(action_id, 0, matched=21)
    (kept,) = store.actions()
    assert (kept.done, kept.matched, kept.details) == (13, 21, {"attempts": 3})


def test_an_action_is_a_part_of_the_transaction_that_does_it(backend: Backend) -> None:
    store = backend.store
    (letter_id,) = store.add([NEW])
    with suppress(RuntimeError), store.together():
        store.delete([letter_id])
        store.record(ACTION)
        raise RuntimeError
    assert (store.actions(), store.count()) == ([], 1)
    backend.begin()
    store.record(ACTION)
    backend.roll_back()
    assert store.actions() == []


# Edits


def test_an_edited_letter_has_other_bytes_and_keeps_the_first(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    assert store.original(letter_id) is None
    assert store.edit(letter_id, b"ok:second", NOW, "alice")
    assert store.edit(letter_id, b"ok:third", NOW, "bob")
    assert (payload(store, letter_id), store.original(letter_id)) == (b"ok:third", b"ok:payload")
    assert [(one.outcome, one.message) for one in store.history(letter_id)] == [
        ("edited", "by alice"),
        ("edited", "by bob"),
    ]


def test_an_edit_changes_nothing_else(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    fail(store, letter_id)
    (before,) = store.read(ids=[letter_id])
    store.edit(letter_id, b"x", NOW, "alice")
    (after,) = store.read(ids=[letter_id])
    assert replace(after, event_bytes=before.event_bytes) == before


def test_the_first_bytes_are_put_back(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    assert not store.put_back(letter_id, NOW, "alice")
    store.edit(letter_id, b"ok:second", NOW, "alice")
    store.edit(letter_id, b"ok:third", NOW, "alice")
    assert store.put_back(letter_id, NOW, "bob")
    assert payload(store, letter_id) == store.original(letter_id) == b"ok:payload"
    store.edit(letter_id, b"ok:fourth", NOW, "alice")
    assert store.put_back(letter_id, NOW, "bob")
    assert payload(store, letter_id) == b"ok:payload"
    outcomes = [one.outcome for one in store.history(letter_id)]
    assert outcomes == ["edited", "edited", "put back", "edited", "put back"]


def test_a_letter_that_is_not_there_is_not_edited(store: Store) -> None:
    for parked in (False, True):
        assert not store.edit(7, b"x", NOW, "alice", parked=parked)
        assert not store.put_back(7, NOW, "alice", parked=parked)
        assert store.original(7, parked=parked) is None


def test_the_original_goes_with_its_letter(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    store.edit(letter_id, b"ok:second", NOW, "alice")
    parked_id = park(store, letter_id)
    assert store.original(parked_id, parked=True) == b"ok:payload"
    store.edit(parked_id, b"ok:third", NOW, "bob", parked=True)
    assert store.read(parked=True)[0].event_bytes == b"ok:third"
    assert messages(store, parked_id, parked=True) == ["by alice", "by bob"]
    store.requeue([parked_id], NOW)
    assert payload(store, letter_id) == b"ok:third"
    assert store.put_back(letter_id, NOW, "carol")
    assert payload(store, letter_id) == b"ok:payload"


def test_the_original_is_gone_with_its_letter(store: Store) -> None:
    first, second = store.add([NEW, NEW])
    for letter_id in (first, second):
        store.edit(letter_id, b"ok:second", NOW, "alice")
    store.begin()
    commit(store, acked=[first], recorded=[first])
    store.delete([second])
    for letter_id in (first, second):
        assert (store.original(letter_id), store.history(letter_id)) == (None, [])


def test_attempts_that_are_trimmed_leave_the_original(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    store.edit(letter_id, b"ok:second", NOW, "alice")
    for number in range(SETTINGS.history_limit + 5):
        fail(store, letter_id, number=number)
    assert store.original(letter_id) == b"ok:payload"
    assert len(messages(store, letter_id)) <= SETTINGS.history_limit + 1


def test_a_letter_that_a_handler_has_in_hand_is_not_changed(store: Store, another: Store) -> None:
    first, second = store.add([NEW, NEW])
    store.edit(second, b"ok:second", NOW, "alice")
    with group(another):
        another.claim([first, second], batch=False)
    with pytest.raises(InvalidStateError, match="in the hands of a handler"):
        store.edit(first, b"x", NOW, "bob")
    with pytest.raises(InvalidStateError, match="in the hands of a handler"):
        store.put_back(second, NOW, "bob")
    assert (payload(store, first), payload(store, second)) == (b"ok:payload", b"ok:second")
    another.begin()
    commit(another, released=[first, second])
    assert store.edit(first, b"x", NOW, "bob")


def test_a_letter_that_a_dead_process_had_in_hand_is_changed(backend: Backend) -> None:
    (letter_id,) = backend.store.add([NEW])
    backend.die_with_claims(singly=[letter_id])
    assert backend.store.edit(letter_id, b"x", NOW, "bob")


def test_what_a_drain_that_runs_has_claimed_is_not_discarded(
    backend: Backend, another: Store
) -> None:
    store = backend.store
    first, second, third = store.add([NEW, NEW, NEW])
    assert store.in_hands() == set()
    with group(another):
        another.claim([first], batch=False)
        another.claim([second], batch=True)
    assert store.in_hands() == {first, second}
    assert discard(store, [first, second, third]) == 1
    assert discard(store, None) == 0
    another.begin()
    commit(another, released=[first, second])
    assert store.in_hands() == set()
    assert discard(store, None) == 2


def test_what_a_dead_process_had_claimed_is_discarded(backend: Backend) -> None:
    (letter_id,) = backend.store.add([NEW])
    backend.die_with_claims(singly=[letter_id])
    assert backend.store.in_hands() == set()
    assert discard(backend.store, [letter_id]) == 1


# Purges


def _purge(store: Store, until: int) -> int:
    deleted, after = 0, 0
    while after is not None:
        more, after = store.purge_attempts(until, after)  # type: ignore[assignment]  # the last
        deleted += more
    return deleted


def test_old_attempts_are_purged_and_newer_ones_stay(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    for number in (1, 2, 3):
        fail(store, letter_id, number=number)
    assert _purge(store, NOW) == 0
    assert _purge(store, NOW + 2) == 2
    assert messages(store, letter_id) == ["no. 3"]


def test_a_purge_of_attempts_leaves_originals_and_permanent_failures(store: Store) -> None:
    first, second = store.add([NEW, NEW])
    store.edit(first, b"x", NOW, "alice")
    fail(store, first)
    parked_id = park(store, second, last=1)
    assert _purge(store, NOW + 10) == 1
    assert store.original(first) == b"ok:payload"
    assert messages(store, parked_id, parked=True) == ["no. 1"]


def test_a_purge_goes_on_where_it_was(store: Store) -> None:
    ids = store.add([NEW] * 60)
    for number in range(1, 4):
        fail(store, *ids, number=number)
    assert _purge(store, NOW + 2) == 120


def test_parking_is_no_attempt(store: Store) -> None:
    (letter_id,) = store.add([NEW])
    store.begin()
    commit(store, parked=[Parking(letter_id, NOW, "poison")])
    assert _purge(store, NOW + 10) == 0
