"""What every store promises of letters that a drain has claimed for several calls at once."""

from __future__ import annotations

import pytest

from azoth_dlq.store.base import NOT_STARTED, Abandoned, StorageFault, Store
from azoth_dlq.store.settlement import Retry, Settlement
from tests.conformance.backend import SETTINGS, Backend
from tests.conformance.letters import NONE, NOW, call, group, seen


def test_a_death_charges_those_alone_whose_calls_had_started(
    backend: Backend, store: Store
) -> None:
    backend.die_with_claims(singly=[4, 2, 3, 5], started=[4, 2])
    assert seen(store) == ({2, 3, 4, 5}, Abandoned([2, 4], []))
    backend.die_with_claims(in_batch=[6, 7], started=[6])
    with group(store):
        assert store.abandoned() == Abandoned([2, 4], [6])
    assert seen(store) == (set(), NONE)


def test_a_letter_that_is_held_stays_claimed_and_is_charged_no_more(
    store: Store, another: Store
) -> None:
    with group(another):
        marks = another.start_marks(2)
        another.claim([1, 2], batch=False, slots=[0, 1])
    marks[0] = marks[1] = 1
    with group(another):
        another.settle(Settlement(retries=[Retry(1, 1, NOW, "too slow")], acked=[2], held=[1]))
    assert seen(store) == ({1}, NONE)
    assert seen(another) == (set(), NONE)


def test_claims_may_outlive_their_drain(backend: Backend, store: Store) -> None:
    with backend.another_store() as another:
        with another.draining(SETTINGS):
            with group(another):
                another.start_marks(1)
                another.claim([1], batch=False, slots=[0])
            end = another.outlive()
        with another.draining(SETTINGS):
            assert seen(another) == ({1}, NONE)
            with group(another):
                assert another.abandoned() == NONE
        assert seen(store) == ({1}, NONE)
        assert len(backend.store.figures().draining) == 1
        end()
        assert backend.store.figures().draining == []
        with group(store):
            assert store.abandoned() == NONE
        assert seen(store) == (set(), NONE)


def test_a_claim_that_has_a_slot_can_be_made_without_one(store: Store, another: Store) -> None:
    with group(another):
        another.start_marks(3)[1] = 1
        another.claim([1], batch=True, slots=[1])
    with group(another):
        another.claim([1], batch=False, slots=[NOT_STARTED])
    assert seen(store) == ({1}, NONE)
    with group(another):
        another.settle(Settlement(acked=[1]))
    assert seen(store) == (set(), NONE)


def test_each_reader_is_its_own(backend: Backend, store: Store) -> None:
    readers = [store.open_reader() for _ in range(2)]
    with group(store):
        call(backend, 1)
    connections = [reader.connection() for reader in readers]
    assert [backend.effects_through(c) for c in connections] == [[1], [1]]
    assert len({id(c) for c in (*connections, store.connection, store.reader())}) == 4
    with pytest.raises(backend.read_only_error) as caught:
        backend.write(connections[0], 2)
    assert readers[0].tidy(caught.value) is None
    assert readers[0].tidy() is None
    with pytest.raises(StorageFault, match="disk is full"):
        readers[1].tidy(backend.database_fault())
    for reader in readers:
        reader.close()
