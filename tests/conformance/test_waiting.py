"""What every store promises of looks for those letters alone that may be due."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from azoth_dlq import BackoffStrategy, DlqReplayConfig, InvalidStateError
from azoth_dlq.kernels.eligibility import select
from azoth_dlq.store.base import Store, Suspects
from azoth_dlq.store.settlement import Parking, Retry, Snoozed
from tests.conformance.backend import Backend
from tests.conformance.letters import NOW, NOW_TEXT, candidates, commit

SECOND = 1_000_000
CONFIG = DlqReplayConfig(backoff=BackoffStrategy.fixed(60), min_age=0)


def due(store: Store, now: int) -> tuple[list[int], int | None]:
    """The ids of the letters that a look for suspects finds due, and a bound of the next one."""
    suspects = Suspects(now, CONFIG.least_wait)
    with store.candidates(with_error=False, suspects=suspects) as rows:
        selection = select(rows, CONFIG.rules(now))
    bounds = [at for at in (selection.next_due, suspects.next_due) if at is not None]
    return sorted(selection.ids()), min(bounds, default=None)


def all_noted(store: Store) -> None:
    candidates(store)
    while not store.catch_up():
        pass


def test_candidates_of_ids_are_of_these_alone(backend: Backend, store: Store) -> None:
    ids = [backend.insert() for _ in range(1100)]
    wanted = [ids[0], ids[1050], ids[3], 10**9, ids[3]]
    with store.candidates(with_error=True, ids=wanted) as rows:
        found = sorted(rows)
    assert [row[0] for row in found] == [ids[0], ids[3], ids[1050]]
    assert len(found[0]) == 6
    with store.candidates(with_error=False, ids=[]) as rows:
        assert list(rows) == []


def test_a_look_at_ids_notes_no_others(backend: Backend, store: Store) -> None:
    first, second = backend.insert(failed_at=NOW_TEXT), backend.insert(failed_at=NOW_TEXT)
    with store.candidates(with_error=False, ids=[first]) as rows:
        list(rows)
    assert store.catch_up()
    assert due(store, NOW + 60 * SECOND)[0] == [first, second]


def test_a_letter_noted_is_found_when_it_is_due(backend: Backend, store: Store) -> None:
    letter = backend.insert(failed_at=NOW_TEXT)
    all_noted(store)
    assert due(store, NOW + 60 * SECOND - 1) == ([], NOW + 60 * SECOND)
    assert due(store, NOW + 60 * SECOND) == ([letter], None)


def test_of_an_empty_store_nothing_is_due(store: Store) -> None:
    all_noted(store)
    assert due(store, NOW) == ([], None)


@pytest.mark.parametrize(
    "change",
    [
        lambda backend, letter: backend.update(letter, failed_at="2026-11-24 09:00:00"),
        lambda backend, letter: backend.update(letter, last_retry_at="2026-11-24 09:00:00"),
        lambda backend, letter: backend.update(
            letter, retry_count=4, last_retry_at="2026-11-24T09:00:00Z"
        ),
        lambda backend, _: backend.insert(failed_at="2026-11-24 09:00:00"),
    ],
    ids=["failed_at", "last_retry_at", "count and last_retry_at", "a letter more"],
)
def test_what_another_program_makes_due_is_found(
    backend: Backend, store: Store, change: Callable[[Backend, int], int | None]
) -> None:
    letter = backend.insert(failed_at=NOW_TEXT)
    all_noted(store)
    wanted = change(backend, letter) or letter
    assert due(store, NOW)[0] == [wanted]
    while not store.catch_up():
        pass
    assert due(store, NOW)[0] == [wanted]


@pytest.mark.parametrize("caught_up", [False, True])
def test_retries_and_snoozes_are_found_when_they_are_due(
    backend: Backend, store: Store, *, caught_up: bool
) -> None:
    letters = [backend.insert() for _ in range(3)]
    all_noted(store)
    store.begin()
    commit(
        store,
        retries=[
            Retry(letters[0], 1, NOW, "boom"),
            Retry(letters[1], 1, NOW, "boom", NOW + 2 * SECOND),
        ],
        snoozed=[Snoozed(letters[2], NOW + SECOND)],
    )
    if caught_up:
        all_noted(store)
    assert due(store, NOW) == ([], NOW + SECOND)
    assert due(store, NOW + SECOND) == (letters[2:], NOW + 2 * SECOND)
    assert due(store, NOW + 2 * SECOND) == (letters[1:], NOW + 60 * SECOND)
    assert due(store, NOW + 60 * SECOND) == (letters, None)


def test_a_letter_put_off_and_then_changed_is_found(backend: Backend, store: Store) -> None:
    letter = backend.insert()
    store.begin()
    commit(store, snoozed=[Snoozed(letter, NOW + 10**6 * SECOND)])
    all_noted(store)
    backend.update(letter, retry_count=1)
    assert due(store, NOW)[0] == [letter]
    all_noted(store)
    assert due(store, NOW)[0] == [letter]


def test_a_letter_that_was_requeued_is_found(backend: Backend, store: Store) -> None:
    letter = backend.insert()
    backend.insert()
    store.begin()
    commit(store, parked=[Parking(letter, NOW, "poison")])
    all_noted(store)
    (parked,) = store.read(parked=True)
    store.requeue([parked.id], NOW)
    assert letter in due(store, NOW)[0]


def test_a_letter_marked_as_retried_is_found(backend: Backend, store: Store) -> None:
    letter = backend.insert(failed_at=NOW_TEXT)
    all_noted(store)
    store.mark_retry(letter, NOW - 100 * SECOND)
    assert due(store, NOW)[0] == [letter]


def test_letters_are_noted_in_no_transaction_of_others(backend: Backend) -> None:
    backend.begin()
    with pytest.raises(InvalidStateError, match="transaction"):
        backend.store.catch_up()
    backend.roll_back()
    assert backend.store.catch_up()


def test_what_was_seen_is_no_more_once_anybody_has_written(backend: Backend, store: Store) -> None:
    """A store that cannot tell says so at once."""
    letter = backend.insert(failed_at=NOW_TEXT)
    writes: list[Callable[[], object]] = [
        lambda: backend.insert(failed_at=NOW_TEXT),
        lambda: store.delete([letter]),
    ]
    for write in writes:
        all_noted(store)
        due(store, NOW)
        write()
        assert not store.is_as_seen()
