"""Letters as a whole: out of every store and into every other, each once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq.store.base import Store
from azoth_dlq.store.settlement import Attempted, Parking, Retry, Snoozed
from azoth_dlq.store.upkeep import Exchange
from azoth_dlq.store.whole import Taken, WholeLetter
from tests.conformance.backend import SETTINGS, Backend
from tests.conformance.backends import BACKENDS
from tests.conformance.letters import NEW, NOW, commit


@pytest.fixture(params=BACKENDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    folder = tmp_path / "target"
    folder.mkdir()
    with closing(BACKENDS[request.param](folder)) as backend:
        yield backend


def _all(exchange: Exchange) -> list[WholeLetter]:
    with exchange.reading():
        return [letter for parked in (False, True) for letter in exchange.letters(parked=parked)]


def _without_ids(letters: list[WholeLetter]) -> list[WholeLetter]:
    return [letter._replace(id=0) for letter in letters]


def _attempt(letter_id: int) -> Attempted:
    return Attempted(letter_id, NOW, "failed", "ValueError", "no", "a\nb", 7, is_first=True)


def _fill(backend: Backend) -> list[int]:
    """Letters that nothing has happened to, that failed, was snoozed, was in a deadly batch, and
    that was parked."""
    store = backend.store
    ids = store.add([NEW] * 5)
    with store.draining(SETTINGS):
        store.begin()
        commit(
            store,
            retries=[Retry(ids[1], 1, NOW, "ValueError: no")],
            snoozed=[Snoozed(ids[2], NOW + 5)],
            alone=[ids[3]],
            parked=[Parking(ids[4], NOW, "poison", 1, NOW, "ValueError: no")],
            history=[_attempt(ids[1]), _attempt(ids[4])],
        )
    return ids


def test_a_letter_arrives_with_all_that_is_kept_of_it(backend: Backend, target: Backend) -> None:
    _fill(backend)
    letters = _all(backend.store.exchange)
    assert target.store.exchange.take_in(letters) == Taken(dead=4, parked=1)
    assert _without_ids(_all(target.store.exchange)) == _without_ids(letters)
    assert target.store.read()[-2].last_error == "ValueError: no"
    assert [one.message for one in target.store.history(target.ids()[1])] == ["no"]
    assert [one.reason for one in target.store.read(parked=True)] == ["poison"]


def test_what_came_in_does_not_come_in_again_also_when_it_is_gone(
    backend: Backend, target: Backend
) -> None:
    _fill(backend)
    letters = _all(backend.store.exchange)
    target.store.exchange.take_in(letters[:2])
    target.store.delete(None)
    assert target.store.exchange.take_in(letters) == Taken(dead=2, parked=1, before=2)
    assert target.store.exchange.take_in(letters) == Taken(before=5)
    assert target.store.exchange.take_in(letters, again=True) == Taken(dead=4, parked=1)


def test_of_an_own_letter_that_is_gone_nothing_tells_that_it_was_not_replayed(
    backend: Backend,
) -> None:
    store = backend.store
    ids = _fill(backend)
    letters = _all(store.exchange)
    store.delete(ids[:1])
    assert store.exchange.take_in(letters[:1]) == Taken(gone=1)
    assert store.exchange.take_in(letters[:1], again=True) == Taken(dead=1)
    assert store.read(ids=ids[:1])[0].event_bytes == NEW.event_bytes
    assert store.exchange.take_in(letters[:1]) == Taken(before=1)


def test_an_own_letter_that_may_return_comes_back_once_by_its_old_id(backend: Backend) -> None:
    store = backend.store
    ids = _fill(backend)
    letters = _all(store.exchange)
    store.exchange.let_return(ids[:2])
    parked = [letter.id for letter in store.read(parked=True)]
    store.exchange.let_return(parked, parked=True)
    store.delete(ids[:2])
    store.delete(parked, parked=True)
    taken = Taken(dead=2, parked=1)
    assert store.exchange.take_in([*letters[:2], letters[4]]) == taken
    assert _all(store.exchange) == letters
    store.delete(ids[:2])
    assert store.exchange.take_in(letters[:2]) == Taken(before=2)


def test_a_letter_that_came_in_and_may_return_does(backend: Backend, target: Backend) -> None:
    _fill(backend)
    letters = _all(backend.store.exchange)[:1]
    store = target.store
    store.exchange.take_in(letters)
    ids = target.ids()
    store.exchange.let_return(ids)
    store.delete(ids)
    assert store.exchange.take_in(letters) == Taken(dead=1)
    assert store.exchange.take_in(letters) == Taken(before=1)


def test_a_dry_look_tells_the_same_and_writes_nothing(backend: Backend, target: Backend) -> None:
    _fill(backend)
    letters = _all(backend.store.exchange)
    for _ in range(2):
        told = target.store.exchange.take_in(letters, dry_run=True)
        assert told == Taken(dead=4, parked=1)
    assert target.ids() == []
    assert target.store.exchange.take_in(letters) == told


def test_the_origin_stays_when_a_letter_is_parked_and_requeued(backend: Backend) -> None:
    store = backend.store
    ids = _fill(backend)
    before = {letter.origin for letter in _all(store.exchange)}
    assert len(before) == len(ids)
    with store.draining(SETTINGS):
        store.begin()
        commit(store, parked=[Parking(row_id, NOW, "poison") for row_id in ids[:4]])
    assert {letter.origin for letter in _all(store.exchange)} == before
    store.requeue([letter.id for letter in store.read(parked=True)], NOW)
    assert {letter.origin for letter in _all(store.exchange)} == before


def test_an_origin_from_elsewhere_stays_too(backend: Backend, target: Backend) -> None:
    _fill(backend)
    letters = _all(backend.store.exchange)
    target.store.exchange.take_in(letters)
    store = target.store
    with store.draining(SETTINGS):
        store.begin()
        commit(store, parked=[Parking(row_id, NOW, "poison") for row_id in target.ids()])
    store.requeue([letter.id for letter in store.read(parked=True)], NOW)
    origins = {letter.origin for letter in letters}
    assert {letter.origin for letter in _all(store.exchange)} == origins


def test_ids_and_the_first_of_them_narrow_what_is_read(backend: Backend) -> None:
    ids = backend.store.add([NEW] * 5)
    exchange = backend.store.exchange
    with exchange.reading():
        some = [ids[0], ids[2], ids[4], ids[4] + 7]
        assert [one.id for one in exchange.letters(parked=False, ids=some)] == some[:3]
        behind = exchange.letters(parked=False, ids=some, first=ids[1])
        assert [one.id for one in behind] == some[1:3]
        assert [one.id for one in exchange.letters(parked=False, first=ids[3])] == ids[3:]
        assert list(exchange.letters(parked=True)) == []


def test_taking_in_joins_an_open_transaction(backend: Backend, target: Backend) -> None:
    _fill(backend)
    letters = _all(backend.store.exchange)
    target.begin()
    target.store.exchange.take_in(letters)
    target.roll_back()
    assert target.ids() == []
    assert target.store.exchange.take_in(letters) == Taken(dead=4, parked=1)


def test_two_stores_have_identities_of_their_own(backend: Backend) -> None:
    store: Store = backend.store
    assert store.exchange.identity
    with backend.another_store() as another:
        assert another.exchange.identity == store.exchange.identity
