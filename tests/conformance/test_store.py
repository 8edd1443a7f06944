"""What every store promises of the queue's verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from azoth_dlq.errors import StorageError
from azoth_dlq.kernels.eligibility import parse_timestamp
from azoth_dlq.store.base import Figures, NewLetter, Store
from azoth_dlq.store.settlement import Parking, Retry, Settlement
from azoth_dlq.types import FailedEvent, PermanentFailure
from tests.conformance.backend import Backend
from tests.conformance.letters import NEW, NOW


def _counts(backend: Backend) -> tuple[int, int]:
    """Of dead letters and of permanent failures."""
    figures = backend.store.figures()
    return figures.dead, figures.parked


def park(store: Store, *letters: int, reason: str = "poison") -> list[int]:
    """Park letters; ids of the permanent failures, in order."""
    before = store.figures().parked
    store.begin()
    store.settle(Settlement(parked=[Parking(i, NOW, reason) for i in letters]))
    store.end(commit=True)
    parked = store.read(parked=True, limit=len(letters))
    assert store.figures().parked == before + len(letters)
    return [row.id for row in reversed(parked)]


# Adding and reading


def test_letters_get_ascending_ids_in_the_order_given(backend: Backend) -> None:
    ids = backend.store.add(NEW._replace(event_id=n) for n in range(3))
    assert ids == sorted(ids)
    assert [backend.store.read(ids=[i])[0].event_id for i in ids] == [0, 1, 2]


def test_a_letter_reads_as_it_was_added(backend: Backend) -> None:
    (letter_id,) = backend.store.add([NEW])
    assert backend.store.read() == [
        FailedEvent(letter_id, 42, b"ok:payload", "boom", "2026-11-24 12:00:00", 0)
    ]


def test_the_id_of_a_deleted_letter_is_not_given_again(backend: Backend) -> None:
    ids = backend.store.add([NEW, NEW])
    backend.store.delete(ids)
    assert backend.store.add([NEW]) > ids[-1:]


def test_letters_read_newest_first_up_to_the_limit(backend: Backend) -> None:
    first, second, third = backend.store.add([NEW] * 3)
    assert [letter.id for letter in backend.store.read()] == [third, second, first]
    assert [letter.id for letter in backend.store.read(limit=2)] == [third, second]
    assert backend.store.read(limit=0) == []


def test_only_ids_that_are_there_are_read(backend: Backend) -> None:
    ids = backend.store.add([NEW] * 3)
    read = backend.store.read(ids=[ids[2], ids[0], ids[0], 10**6])
    assert [letter.id for letter in read] == [ids[2], ids[0]]
    assert backend.store.read(ids=[]) == []


def test_many_ids_read_newest_first_up_to_the_limit(backend: Backend) -> None:
    ids = backend.store.add([NEW] * 1200)
    assert [letter.id for letter in backend.store.read(ids=ids)] == ids[::-1]
    assert [letter.id for letter in backend.store.read(ids=[*ids, *ids], limit=700)] == (
        ids[: -700 - 1 : -1]
    )


def test_another_programs_columns_read_as_they_are(backend: Backend) -> None:
    letter_id = backend.insert(failed_at="yesterday", retry_count=-3, last_retry_at="later")
    (letter,) = backend.store.read()
    assert letter == FailedEvent(
        letter_id, 42, b"ok:payload", "boom", "yesterday", -3, last_retry_at="later"
    )


@pytest.mark.parametrize(
    ("column", "value"), [("event_id", "x"), ("retry_count", "many"), ("retry_count", 1.5)]
)
def test_what_should_be_an_integer_reads_as_it_is(
    backend: Backend, column: str, value: object
) -> None:
    letter_id = backend.insert(**{column: value})
    assert getattr(backend.store.read()[0], column) == value
    park(backend.store, letter_id)
    assert getattr(backend.store.read(parked=True)[0], column) == value


def test_the_two_kinds_of_ids_are_two_spaces(backend: Backend) -> None:
    store = backend.store
    first, second = store.add([NEW, NEW])
    (parked,) = park(store, second)
    assert store.delete([parked], parked=True) == 1
    assert [letter.id for letter in store.read()] == [first]


def test_counts_tell_the_tables_apart(backend: Backend) -> None:
    ids = backend.store.add([NEW] * 3)
    park(backend.store, ids[0])
    assert (backend.store.figures().dead, backend.store.figures().parked) == (2, 1)


def test_a_permanent_failure_keeps_what_the_letter_had(backend: Backend) -> None:
    letter_id = backend.insert(retry_count=4, last_retry_at="2026-11-24T11:00:00.000000Z")
    (parked,) = park(backend.store, letter_id)
    assert backend.store.read(parked=True) == [
        PermanentFailure(
            parked,
            42,
            b"ok:payload",
            "boom",
            "2026-11-24 10:00:00",
            4,
            "2026-11-24 12:00:00",
            dead_letter_id=letter_id,
            last_retry_at="2026-11-24T11:00:00.000000Z",
            reason="poison",
        )
    ]
    assert backend.store.read(parked=True, ids=[parked + 1]) == []


# Deleting


@pytest.mark.parametrize("parked", [False, True])
def test_delete_counts_only_what_was_there(backend: Backend, parked: bool) -> None:
    ids = backend.store.add([NEW] * 3)
    if parked:
        ids = park(backend.store, *ids)
    assert backend.store.delete([ids[0], ids[0], ids[2], 10**6], parked=parked) == 2
    assert _counts(backend)[parked] == 1


@pytest.mark.parametrize("parked", [False, True])
def test_delete_without_ids_empties_one_table(backend: Backend, parked: bool) -> None:
    ids = backend.store.add([NEW] * 5)
    park(backend.store, *ids[:2])
    assert backend.store.delete(None, parked=parked) == (2 if parked else 3)
    assert _counts(backend)[parked] == 0
    assert _counts(backend)[not parked] == (3 if parked else 2)


def test_many_ids_are_deleted_at_once(backend: Backend) -> None:
    ids = backend.store.add([NEW] * 1200)
    assert backend.store.delete(ids[:1100]) == 1100
    assert backend.ids() == ids[1100:]


# Requeueing


def test_a_requeued_letter_starts_afresh_under_its_old_id(backend: Backend) -> None:
    store = backend.store
    first, letter_id = store.add([NEW, NEW])
    store.begin()
    store.settle(Settlement(retries=[Retry(letter_id, 3, NOW, "down", not_before=NOW + 1)]))
    store.end(commit=True)
    (parked,) = park(store, letter_id)
    assert store.requeue([parked], NOW + 60_000_000) == 1
    assert store.figures().parked == 0
    assert store.read() == [
        FailedEvent(
            letter_id, 42, b"ok:payload", "boom", "2026-11-24 12:00:00", 0, last_error="down"
        ),
        *store.read(ids=[first]),
    ]


def test_a_requeued_letter_gets_a_new_id_where_its_old_one_is_taken(backend: Backend) -> None:
    (letter_id,) = backend.store.add([NEW])
    (parked,) = park(backend.store, letter_id)
    backend.insert(id=letter_id, event_id=7)
    assert backend.store.requeue([parked], NOW) == 1
    newer, older = backend.store.read()
    assert (older.id, older.event_id) == (letter_id, 7)
    assert newer.event_id == 42
    assert newer.id > letter_id


@pytest.mark.parametrize("failed_at", ["yesterday", "", "2026-13-01 00:00:00"])
def test_an_unreadable_failed_at_becomes_now(backend: Backend, failed_at: str) -> None:
    letter_id = backend.insert(failed_at=failed_at)
    backend.store.requeue(park(backend.store, letter_id), NOW)
    assert backend.store.read()[0].failed_at == "2026-11-24 12:00:00"


def test_requeue_counts_each_permanent_failure_once(backend: Backend) -> None:
    (parked,) = park(backend.store, *backend.store.add([NEW]))
    assert backend.store.requeue([parked, parked, parked + 1], NOW) == 1
    assert backend.store.figures().dead == 1


# Figures


def test_figures_of_an_empty_store(backend: Backend) -> None:
    assert backend.store.figures(5) == Figures(0, 0, [], None)


def test_figures_count_letters_and_their_commonest_errors(backend: Backend) -> None:
    errors = ["b", "a", "c" * 300, "c" * 201, "c" * 200, "a", "b", "d"]
    ids = backend.store.add(NEW._replace(error_message=text) for text in errors)
    park(backend.store, ids[-1])
    figures = backend.store.figures(2)
    assert (figures.dead, figures.parked) == (7, 1)
    assert figures.by_error == [("c" * 200, 3), ("a", 2)]


def test_a_letter_counts_for_its_latest_error(backend: Backend) -> None:
    failed, *_ = backend.store.add([NEW._replace(error_message=text) for text in ("a", "a", "b")])
    backend.store.begin()
    backend.store.settle(Settlement(retries=[Retry(failed, 1, NOW, "b")]))
    backend.store.end(commit=True)
    assert backend.store.figures(2).by_error == [("b", 2), ("a", 1)]


# Transactions

VERBS: dict[str, Callable[[Store, int, int], object]] = {
    "add": lambda store, _letter, _parked: store.add([NEW]),
    "delete": lambda store, letter, _parked: store.delete([letter]),
    "delete all": lambda store, _letter, _parked: store.delete(None),
    "delete parked": lambda store, _letter, parked: store.delete([parked], parked=True),
    "requeue": lambda store, _letter, parked: store.requeue([parked], NOW),
}


def everything(store: Store) -> tuple[Any, ...]:
    return store.read(), store.read(parked=True)


@pytest.fixture(params=VERBS)
def verb(request: pytest.FixtureRequest, backend: Backend) -> Callable[[], object]:
    """A verb that changes something, to be called once."""
    letter, to_park = backend.store.add([NEW, NEW])
    (parked,) = park(backend.store, to_park)
    return lambda: VERBS[request.param](backend.store, letter, parked)


def test_a_verb_commits_by_itself(backend: Backend, verb: Callable[[], object]) -> None:
    before = everything(backend.store)
    verb()
    after = everything(backend.store)
    assert after != before
    assert backend.others_can_write()


def test_a_verb_leaves_an_open_transaction_to_its_owner(
    backend: Backend, verb: Callable[[], object]
) -> None:
    before, ids = everything(backend.store), backend.ids()
    backend.begin()
    backend.write(backend.store.connection, 1)
    verb()
    assert everything(backend.store) != before
    assert backend.ids() == ids
    backend.roll_back()
    assert everything(backend.store) == before
    assert backend.effects() == []


def test_a_verb_is_committed_with_the_transaction_that_it_joins(
    backend: Backend, verb: Callable[[], object]
) -> None:
    backend.begin()
    verb()
    inside = everything(backend.store)
    backend.commit()
    assert everything(backend.store) == inside
    assert backend.ids() == sorted(letter.id for letter in inside[0])


def broken_letters() -> Iterator[NewLetter]:
    yield NEW
    raise ZeroDivisionError


def test_letters_are_added_all_or_none(backend: Backend) -> None:
    with pytest.raises(ZeroDivisionError):
        backend.store.add(broken_letters())
    assert backend.store.figures().dead == 0
    assert backend.others_can_write()


def test_a_failed_verb_undoes_itself_alone_in_an_open_transaction(backend: Backend) -> None:
    backend.begin()
    kept = backend.store.add([NEW])
    with pytest.raises(ZeroDivisionError):
        backend.store.add(broken_letters())
    backend.commit()
    assert backend.ids() == kept


def test_a_verb_says_that_another_program_holds_the_lock(backend: Backend) -> None:
    with backend.another_writes(), pytest.raises(StorageError, match="locked"):
        backend.store.add([NEW])
    backend.store.add([NEW])
    assert backend.store.figures().dead == 1


# Attempts made elsewhere


def test_an_attempt_that_failed_elsewhere_is_counted(backend: Backend) -> None:
    first, second = backend.store.add([NEW, NEW])
    assert backend.store.mark_retry(first, NOW)
    assert backend.store.mark_retry(first, NOW)
    (marked,) = backend.store.read(ids=[first])
    (other,) = backend.store.read(ids=[second])
    assert marked.retry_count == 2
    assert parse_timestamp(str(marked.last_retry_at)) == NOW
    assert (other.retry_count, other.last_retry_at) == (0, None)


def test_an_attempt_for_no_letter_is_told(backend: Backend) -> None:
    assert not backend.store.mark_retry(77, NOW)
