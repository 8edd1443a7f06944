"""What every store promises of finding letters."""

from __future__ import annotations

from array import array
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azoth_dlq import BackoffStrategy, DlqReplayConfig
from azoth_dlq.filters import LetterFilter
from azoth_dlq.kernels.eligibility import format_timestamp
from azoth_dlq.kernels.order import ErrorTypes
from azoth_dlq.kernels.templates import fingerprint
from azoth_dlq.store.settlement import Parking, Retry, Settlement
from tests.conformance.backend import Backend
from tests.conformance.letters import NEW, NOW

SECOND = 10**6
RULES = DlqReplayConfig(max_retries=3, min_age=60, backoff=BackoffStrategy.fixed(600)).rules(NOW)


def find(backend: Backend, **fields: Any) -> list[int]:
    return list(backend.store.find(LetterFilter(**fields), NOW, RULES))


def park(backend: Backend, *letters: int) -> None:
    backend.store.begin()
    backend.store.settle(Settlement(parked=[Parking(i, NOW, "poison") for i in letters]))
    backend.store.end(commit=True)


def fail(backend: Backend, letter_id: int, *, error: str) -> None:
    backend.store.begin()
    backend.store.settle(Settlement(retries=[Retry(letter_id, 1, NOW, error)]))
    backend.store.end(commit=True)


def test_an_empty_filter_finds_every_letter_in_the_order_of_ids(backend: Backend) -> None:
    assert backend.store.find(LetterFilter(), NOW) == array("q")
    late = backend.insert(id=9, event_id=1)
    early = backend.insert(id=4, event_id=2)
    found = backend.store.find(LetterFilter(), NOW)
    assert found == array("q", [early, late])
    assert found.typecode == "q"


def test_all_conditions_must_fit(backend: Backend) -> None:
    wanted: dict[str, Any] = {
        "error": "boom",
        "event_type": "ok",
        "min_age": 0,
        "min_retry_count": 2,
    }
    fitting = backend.insert(retry_count=2)
    backend.insert(retry_count=2, error_message="bang")
    backend.insert(retry_count=2, event_bytes=b"no:payload")
    backend.insert(retry_count=2, failed_at="?")
    backend.insert(retry_count=1)
    assert find(backend, **wanted) == [fitting]


def test_permanent_failures_are_found_by_their_own_ids(backend: Backend) -> None:
    first, second, third = backend.store.add([NEW, NEW._replace(error_message="bang"), NEW])
    park(backend, second, third)
    other, parked = (row.id for row in reversed(backend.store.read(parked=True)))
    assert find(backend, parked=True, error="BOOM") == [parked]
    assert find(backend, parked=True, event_type="ok", min_age=0, max_retry_count=0) == [
        other,
        parked,
    ]
    assert find(backend, error="boom") == [first]


# Errors


@pytest.mark.parametrize("message", ["Timeout", "a TIMEOUT", b"timeout", "x\0timeout"])
def test_an_error_is_found_anywhere_in_any_ascii_case(backend: Backend, message: object) -> None:
    letter_id = backend.insert(error_message=message)
    assert find(backend, error="timeOut") == [letter_id]


@pytest.mark.parametrize(
    ("message", "error"), [("axb", "a_b"), ("axb", "a%b"), ("É", "é"), ("", "a"), ("ab", "abc")]
)
def test_an_error_is_literal(backend: Backend, message: str, error: str) -> None:
    backend.insert(error_message=message)
    assert find(backend, error=error) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.text("aBé_-. É", min_size=1, max_size=3),
    st.lists(st.text("aAbBéÉ_-.% x'\0", max_size=8) | st.binary(max_size=6), max_size=8),
)
def test_errors_are_found_as_priorities_rank_them(
    backend: Backend, error: str, messages: list[str | bytes]
) -> None:
    backend.store.delete(None)
    ids = [backend.insert(error_message=message) for message in messages]
    matching = ErrorTypes([error])
    expected = [i for i, m in zip(ids, messages, strict=True) if matching.rank(m) == 0]
    assert find(backend, error=error) == expected


# Types of event


@pytest.mark.parametrize("event", [b"ok:", b"ok:a:b", "ok:payload", b"ok:\xff\0", "ok:\0"])
def test_an_event_type_stands_before_the_first_colon(backend: Backend, event: object) -> None:
    letter_id = backend.insert(event_bytes=event)
    assert find(backend, event_type="ok") == [letter_id]


@pytest.mark.parametrize(
    "event", [b"ok", b"okay:x", b"OK:x", b" ok:x", b"x:ok:y", "no ok:x", b"", b":ok:", b"o", "ok"]
)
def test_another_event_type_does_not_fit(backend: Backend, event: object) -> None:
    backend.insert(event_bytes=event)
    assert find(backend, event_type="ok") == []


@pytest.mark.parametrize("event_type", ["größe", "two words", "超时"])
def test_an_event_type_may_be_any_text(backend: Backend, event_type: str) -> None:
    ids = [backend.insert(event_bytes=f"{event_type}:ü".encode())]
    ids.append(backend.insert(event_bytes=f"{event_type}:ü"))
    backend.insert(event_bytes=f"{event_type}ü:x")
    assert find(backend, event_type=event_type) == ids


# Retry counts


def test_retry_counts_are_inclusive_at_both_ends(backend: Backend) -> None:
    ids = [backend.insert(retry_count=count) for count in range(5)]
    assert find(backend, min_retry_count=3) == ids[3:]
    assert find(backend, max_retry_count=1) == ids[:2]
    assert find(backend, min_retry_count=2, max_retry_count=2) == [ids[2]]
    assert find(backend, min_retry_count=2**63 - 1) == []


@pytest.mark.parametrize("count", ["many", 1.5, b"1"])
def test_a_count_that_is_none_fits_no_retry_count(backend: Backend, count: object) -> None:
    letter_id = backend.insert(retry_count=count)
    assert find(backend, min_retry_count=0) == []
    assert find(backend, max_retry_count=2**63 - 1) == []
    assert find(backend) == [letter_id]


# Ages


def _failed(backend: Backend, *, ago: int) -> int:
    return backend.insert(failed_at=format_timestamp(NOW - ago))


def test_ages_are_inclusive_at_both_ends_to_the_microsecond(backend: Backend) -> None:
    ids = [_failed(backend, ago=60 * SECOND + more) for more in (-1, 0, 1)]
    assert find(backend, min_age=60) == ids[1:]
    assert find(backend, max_age=60) == ids[:2]
    assert find(backend, min_age=60, max_age=timedelta(seconds=60, microseconds=1)) == ids[1:]


def test_ages_are_told_by_instants_not_by_texts(backend: Backend) -> None:
    offset = backend.insert(failed_at="2026-11-24T13:59:00+02:00")
    backend.insert(failed_at="2026-11-24 11:58:00")
    assert find(backend, max_age=61) == [offset]


def test_a_failure_ahead_has_age_zero(backend: Backend) -> None:
    letter_id = _failed(backend, ago=-3600 * SECOND)
    assert find(backend, max_age=0) == [letter_id]
    assert find(backend, min_age=0) == [letter_id]
    assert find(backend, min_age=timedelta(microseconds=1)) == []


@pytest.mark.parametrize("failed_at", ["yesterday", "", b"2026-11-24 10:00:00"])
def test_an_unreadable_failed_at_fits_no_age(backend: Backend, failed_at: object) -> None:
    letter_id = backend.insert(failed_at=failed_at)
    assert find(backend, min_age=0) == []
    assert find(backend, max_age=10**12) == []
    assert find(backend) == [letter_id]


# Transactions


def test_finding_sees_the_open_transaction_and_leaves_it_open(backend: Backend) -> None:
    (first,) = backend.store.add([NEW])
    backend.begin()
    (second,) = backend.store.add([NEW])
    assert find(backend, error="boom", min_age=0) == [first, second]
    backend.roll_back()
    assert find(backend) == [first]


def test_finding_locks_nobody_out(backend: Backend) -> None:
    (letter_id,) = backend.store.add([NEW])
    assert find(backend, min_age=0) == [letter_id]
    assert backend.others_can_write()
    with backend.another_writes():
        assert find(backend) == [letter_id]


# Ids


def test_ids_and_ranges_are_found_in_order(backend: Backend) -> None:
    ids = [backend.insert(id=i) for i in (2, 3, 5, 7, 11)]
    assert find(backend, ids=[11, 3, 4]) == [3, 11]
    assert find(backend, ids=[range(3, 8), 2]) == ids[:4]
    assert find(backend, ids=[]) == []
    assert find(backend, ids=[3, 5], event_type="no") == []


def test_many_scattered_ids_are_found(backend: Backend) -> None:
    for i in range(1, 1500):
        backend.insert(id=i)
    odd = list(range(1, 1500, 2))
    assert find(backend, ids=odd) == odd
    assert find(backend, ids=[*odd, 5000], error="boom", max_age=10**9) == odd


# Errors that came later, and reasons


def test_an_error_is_found_in_the_first_and_in_the_latest(backend: Backend) -> None:
    (first, second) = backend.store.add([NEW, NEW._replace(error_message="bang")])
    fail(backend, first, error="later trouble")
    assert find(backend, error="boom") == [first]
    assert find(backend, error="Later") == [first]
    assert find(backend, error="bang") == [second]


def test_a_permanent_failure_is_found_by_its_reason(backend: Backend) -> None:
    first, second = backend.store.add([NEW, NEW])
    park(backend, first)
    assert find(backend, parked=True, error="POISON") == [1]
    assert find(backend, error="poison") == []
    assert find(backend) == [second]


# Groups


def test_a_group_is_of_the_latest_error(backend: Backend) -> None:
    ids = backend.store.add([NEW._replace(error_message=f"row {n} is bad") for n in range(3)])
    other = backend.insert(error_message="timeout")
    fail(backend, ids[0], error="timeout")
    group = fingerprint("row 1 is bad")
    assert find(backend, group=group) == ids[1:]
    assert find(backend, group=group[:6]) == ids[1:]
    assert find(backend, group=fingerprint("timeout")) == [ids[0], other]
    assert find(backend, group="0" * 16) == []


@pytest.mark.parametrize("message", [b"row 5 is bad", "row 6 is bad"])
def test_a_group_holds_errors_of_any_type(backend: Backend, message: object) -> None:
    letter_id = backend.insert(error_message=message)
    assert find(backend, group=fingerprint("row 1 is bad")) == [letter_id]


# Instants


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_instants_are_inclusive_at_both_ends(backend: Backend) -> None:
    ids = [backend.insert(failed_at=f"2026-11-24 10:00:0{n}") for n in range(5)]
    lower, upper = _at("2026-11-24T11:00:01+01:00"), _at("2026-11-24T10:00:03Z")
    assert find(backend, since=lower, until=upper) == ids[1:4]
    assert find(backend, since=upper) == ids[3:]
    assert find(backend, until=lower) == ids[:2]
    assert find(backend, since=lower, max_age=10**9, min_age=0) == ids[1:]


def test_an_unreadable_failed_at_is_at_no_instant(backend: Backend) -> None:
    backend.insert(failed_at="yesterday")
    assert find(backend, since=_at("0001-01-01T00:00:00Z")) == []


def test_the_time_since_parking_is_of_permanent_failures(backend: Backend) -> None:
    first, _ = backend.store.add([NEW, NEW])
    backend.store.begin()
    backend.store.settle(Settlement(parked=[Parking(first, NOW - 60 * SECOND, "poison")]))
    backend.store.end(commit=True)
    assert find(backend, parked=True, min_parked_age=60) == [1]
    assert find(backend, parked=True, min_parked_age=62) == []  # it is kept in seconds
    assert find(backend, min_parked_age=0) == []


# Due or not


def test_due_letters_and_those_that_wait(backend: Backend) -> None:
    due = backend.insert(failed_at="2026-11-24 10:00:00")
    waiting = backend.insert(retry_count=1, last_retry_at=format_timestamp(NOW - 599 * SECOND))
    backend.insert(retry_count=3)  # exhausted
    backend.insert(failed_at="never")  # unreadable
    young = _failed(backend, ago=59 * SECOND)
    assert find(backend, due=True) == [due]
    assert find(backend, due=False) == [waiting, young]
    assert find(backend, due=True, error="bang") == []
    assert find(backend, due=False, max_age=60) == [young]
    park(backend, due)
    assert find(backend, due=True, parked=True) == find(backend, due=False, parked=True) == []
