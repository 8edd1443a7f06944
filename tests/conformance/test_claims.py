"""What every store promises of letters whose handlers run outside any transaction."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.base import Abandoned, DrainSettings, StorageFault, Store
from azoth_dlq.store.settlement import Parking, Retry, Settlement, Snoozed
from azoth_dlq.types import Drainer
from tests.conformance.backend import SETTINGS, Backend
from tests.conformance.letters import NONE, NOW, call, commit, group, seen


def claim(store: Store, *ids: int, batch: bool = False) -> None:
    with group(store):
        store.claim(ids, batch=batch)


# Claims of others


def test_nothing_is_claimed_at_first(store: Store) -> None:
    assert seen(store) == (set(), NONE)


def test_others_see_what_a_drain_has_claimed(store: Store, another: Store) -> None:
    claim(another, 1, 3)
    claim(another, 5, 6, batch=True)
    assert seen(store) == ({1, 3, 5, 6}, NONE)
    assert seen(another) == (set(), NONE)


def test_a_claim_begins_with_the_commit(store: Store, another: Store) -> None:
    with group(another, committed=False):
        another.claim([1], batch=False)
    assert seen(store) == (set(), NONE)


def test_a_letter_of_another_cannot_be_claimed(store: Store, another: Store) -> None:
    claim(another, 2)
    store.begin()
    with pytest.raises(InvalidStateError, match="another drain"):
        store.claim([1, 2], batch=False)
    store.end(commit=False)
    assert seen(store) == ({2}, NONE)
    assert seen(another) == (set(), NONE)


def test_letters_claimed_for_a_batch_can_be_claimed_singly(backend: Backend, store: Store) -> None:
    backend.die_with_claims(in_batch=[1, 2], singly=[2])
    assert seen(store) == ({1, 2}, Abandoned([2], [1]))


def test_claims_and_writes_of_one_group_are_committed_together(
    backend: Backend, store: Store, another: Store
) -> None:
    with group(another):
        another.isolate(7)
        backend.write(another.connection, 7)
        another.keep()
        another.claim([1], batch=False)
        another.isolate(8)
        backend.write(another.connection, 8)
        another.undo()
    assert backend.effects() == [7]
    assert seen(store) == ({1}, NONE)


# Their end


@pytest.mark.parametrize(
    "settled",
    [
        Settlement(acked=[1]),
        Settlement(retries=[Retry(1, 1, NOW, "down")]),
        Settlement(snoozed=[Snoozed(1, NOW)]),
        Settlement(parked=[Parking(1, NOW, "poison")]),
        Settlement(released=[1]),
    ],
)
def test_a_claim_ends_with_what_becomes_of_its_letter(
    store: Store, another: Store, settled: Settlement
) -> None:
    claim(another, 1, 2)
    with group(another, committed=False):
        another.settle(settled)
    assert seen(store) == ({1, 2}, NONE)
    with group(another):
        another.settle(settled)
    assert seen(store) == ({2}, NONE)


def test_a_settlement_ends_no_claim_of_another_drain(store: Store, another: Store) -> None:
    claim(another, 1)
    claim(store, 2)
    with group(store):
        store.settle(Settlement(released=[1, 2]))
    assert seen(store) == ({1}, NONE)


def test_a_settlement_ends_no_claim_that_another_drain_has_made_since(
    store: Store, another: Store
) -> None:
    with group(store, committed=False):
        store.claim([1], batch=False)
    claim(another, 1)
    with group(store):
        store.settle(Settlement(released=[1]))
    assert seen(store) == ({1}, NONE)


def test_a_letter_can_be_claimed_again_in_the_group_that_ends_its_claim(
    store: Store, another: Store
) -> None:
    claim(another, 1)
    with group(another):
        another.settle(Settlement(released=[1]))
        another.claim([1], batch=False)
    assert seen(store) == ({1}, NONE)
    with group(another):
        another.settle(Settlement(released=[1]))
    assert seen(store) == (set(), NONE)


def test_many_claims_end_together(store: Store, another: Store) -> None:
    claim(another, *range(1, 1800))
    with group(another):
        another.settle(Settlement(acked=list(range(1200, 0, -1)), released=list(range(1201, 1700))))
    assert seen(store) == (set(range(1700, 1800)), NONE)


# Claims that are abandoned


def test_the_claims_of_a_dead_process_are_abandoned(backend: Backend, store: Store) -> None:
    backend.die_with_claims(singly=[4, 2])
    backend.die_with_claims(in_batch=[3])
    assert seen(store) == ({2, 3, 4}, Abandoned([2, 4], [3]))


def test_abandoned_claims_are_handed_out_once(backend: Backend, store: Store) -> None:
    backend.die_with_claims(singly=[1, 2])
    with group(store, committed=False):
        assert store.abandoned() == Abandoned([1, 2], [])
        assert store.abandoned() == NONE
    with group(store):
        assert store.abandoned() == Abandoned([1, 2], [])
    assert seen(store) == (set(), NONE)


def test_claims_of_the_dead_are_told_from_those_of_the_living(
    backend: Backend, store: Store, another: Store
) -> None:
    claim(another, 1)
    backend.die_with_claims(singly=[2])
    claim(store, 3)
    with group(store):
        assert store.claimed() == {1, 2}
        assert store.abandoned() == Abandoned([2], [])
        assert store.claimed() == {1}


def test_what_an_earlier_drain_of_the_same_store_left_ends_and_charges_nobody(
    backend: Backend,
) -> None:
    def drain_into_an_error() -> None:
        with backend.store.draining(SETTINGS):
            claim(backend.store, 1)
            raise ValueError("in the engine")

    with pytest.raises(ValueError, match="in the engine"):
        drain_into_an_error()
    with backend.store.draining(SETTINGS):
        assert seen(backend.store) == ({1}, NONE)
        with group(backend.store):
            assert backend.store.abandoned() == NONE
        assert seen(backend.store) == (set(), NONE)


# The connections of handlers outside


def test_the_reader_sees_what_is_committed(backend: Backend, store: Store) -> None:
    store.begin()
    call(backend, 1)
    assert backend.effects_through(store.reader()) == []
    commit(store)
    assert backend.effects_through(store.reader()) == [1]
    assert store.reader() is store.reader()
    assert store.reader() is not store.connection


def test_nothing_can_be_written_through_the_reader(backend: Backend, store: Store) -> None:
    with pytest.raises(backend.read_only_error) as caught:
        backend.write(store.reader(), 1)
    assert backend.effects() == []
    # It says nothing about the store.
    assert store.tidy(caught.value) is None


def test_a_handler_that_left_nothing_open_is_told_nothing(backend: Backend, store: Store) -> None:
    assert store.tidy() is None
    backend.write(store.connection, 1)
    assert store.tidy() is None
    assert backend.effects() == [1]


def test_a_transaction_that_a_handler_left_open_is_taken_back(
    backend: Backend, store: Store
) -> None:
    backend.begin_on(store.connection)
    backend.write(store.connection, 1)
    assert "left a transaction open" in (store.tidy() or "")
    assert backend.effects() == []
    assert backend.others_can_write()
    with group(store):
        call(backend, 2)
    assert backend.effects() == [2]


def test_a_fault_of_the_database_is_told_and_what_was_left_open_taken_back(
    backend: Backend, store: Store
) -> None:
    backend.begin_on(store.connection)
    with pytest.raises(StorageFault, match="disk is full"):
        store.tidy(backend.database_fault())
    assert backend.others_can_write()
    assert store.tidy(ValueError("of a letter")) is None


# Figures


def test_figures_tell_who_drains_from_the_first_group_on(backend: Backend) -> None:
    began = datetime(2026, 11, 24, 12, 0, 0, 123_456, tzinfo=UTC)
    settings = SETTINGS._replace(started_at=NOW)
    me = Drainer(host=platform.node(), pid=os.getpid(), since=began)
    with backend.another_store() as another:
        with another.draining(settings):
            assert backend.store.figures().draining == []
            claim(another, 1)
            me = replace(me, in_hand=1)
            assert backend.store.figures().draining == [me]
            assert another.figures().draining == [me]
        assert backend.store.figures().draining == []


def test_figures_tell_of_drains_at_once(backend: Backend, another: Store) -> None:
    with backend.store.draining(SETTINGS._replace(started_at=1_000_000)):
        claim(another)
        claim(backend.store)
        since = [drainer.since.second for drainer in backend.store.figures().draining]
        assert since == [0, 1]


def test_the_dead_drain_no_more(backend: Backend) -> None:
    backend.die_with_claims(singly=[1])
    assert backend.store.figures().draining == []


def test_a_drain_that_loses_its_first_group_is_told_of_after_the_next(
    backend: Backend, another: Store
) -> None:
    with group(another, committed=False):
        pass
    assert backend.store.figures().draining == []
    claim(another)
    assert len(backend.store.figures().draining) == 1


def test_a_drain_that_begins_by_charging_a_death_is_told_of(
    backend: Backend, another: Store
) -> None:
    backend.die_in(backend.insert())
    assert another.begin().died_in
    commit(another)
    assert len(backend.store.figures().draining) == 1
    assert backend.store.figures().settings == SETTINGS.settings


def test_a_stop_by_failures_is_remembered_until_a_letter_succeeds(store: Store) -> None:
    def stopped_after(**settled: object) -> int | None:
        store.begin()
        commit(store, **settled)
        return store.figures().stopped_at

    assert stopped_after(resumed=True) is None
    assert stopped_after(stopped_at=NOW) == NOW
    assert stopped_after() == NOW
    assert stopped_after(stopped_at=NOW + 1) == NOW
    assert stopped_after(resumed=True) is None
    assert stopped_after(resumed=True, stopped_at=NOW + 1) == NOW + 1
    with group(store, committed=False):
        store.settle(Settlement(resumed=True))
    assert store.figures().stopped_at == NOW + 1


def test_a_group_is_told_of_a_stop_as_long_as_it_is_recorded(store: Store) -> None:
    def told_after(**settled: object) -> bool:
        store.begin()
        commit(store, **settled)
        opened = store.begin()
        store.end(commit=False)
        return opened.stopped

    assert not told_after()
    assert told_after(stopped_at=NOW)
    assert told_after()
    assert not told_after(resumed=True)


def test_a_stop_outlives_its_drain(backend: Backend) -> None:
    with backend.store.draining(DrainSettings(0.2, "{}")):
        backend.store.begin()
        commit(backend.store, stopped_at=NOW)
    assert backend.store.figures().stopped_at == NOW
