"""What every store promises of reading the errors of its letters."""

from __future__ import annotations

from typing import Any

import pytest

from azoth_dlq.event_type import EVENT_START
from azoth_dlq.store.settlement import Parking, Retry, Settlement
from tests.conformance.backend import Backend
from tests.conformance.letters import NEW, NOW


def errors(backend: Backend, ids: list[int] | None = None, *, parked: bool = False) -> list[Any]:
    """The rows by id, texts as `str`."""
    with backend.store.errors(ids, parked=parked) as rows:
        return sorted(tuple(_readable(value) for value in row) for row in rows)


def _readable(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytearray) else value


def settle(backend: Backend, settlement: Settlement) -> None:
    backend.store.begin()
    backend.store.settle(settlement)
    backend.store.end(commit=True)


def test_each_letter_is_told_with_its_columns(backend: Backend) -> None:
    assert errors(backend) == []
    first = backend.insert(retry_count=2, event_bytes=b"ok:payload")
    second = backend.insert(error_message="bang", failed_at="2026-11-24T11:00:00Z")
    assert errors(backend) == [
        (first, "boom", "2026-11-24 10:00:00", 2, b"ok:payload"),
        (second, "bang", "2026-11-24T11:00:00Z", 0, b"ok:payload"),
    ]


def test_the_latest_error_counts_also_of_parked_letters(backend: Backend) -> None:
    first, second = backend.store.add([NEW, NEW])
    settle(backend, Settlement(retries=[Retry(first, 1, NOW, error="later")]))
    assert [row[:2] for row in errors(backend)] == [(first, "later"), (second, "boom")]
    settle(backend, Settlement(parked=[Parking(first, NOW, "poison"), Parking(second, NOW, "no")]))
    assert errors(backend) == []
    (one, other) = errors(backend, parked=True)
    assert (one[1], other[1]) == ("later", "boom")
    parked = [row.id for row in backend.store.read(parked=True)]
    assert sorted(parked) == [one[0], other[0]]


def test_those_of_some_ids_are_told_and_no_others(backend: Backend) -> None:
    ids = [backend.insert(error_message=f"error {n}") for n in range(1200)]
    wanted = [*ids[::2], 10**9]
    assert [row[0] for row in errors(backend, wanted)] == ids[::2]
    assert errors(backend, []) == []
    assert len(errors(backend)) == 1200


def test_no_more_of_an_event_is_told_than_its_start(backend: Backend) -> None:
    backend.insert(event_bytes=b"ok:" + b"x" * 10**6)
    ((_, _, _, _, start),) = errors(backend)
    assert start == b"ok:" + b"x" * (EVENT_START - 3)


@pytest.mark.parametrize(
    "columns",
    [
        {"error_message": b"a blob"},
        {"error_message": "a\0b"},
        {"error_message": "x" * 10**6},
        {"retry_count": "many"},
        {"failed_at": b"2026-11-24 10:00:00"},
        {"event_bytes": "a text: ü"},
    ],
)
def test_columns_are_told_as_they_are_stored(backend: Backend, columns: dict[str, Any]) -> None:
    stored = {"error_message": "boom", "failed_at": "2026-11-24 10:00:00", "retry_count": 0}
    letter_id = backend.insert(**columns)
    expected = {**stored, "event_bytes": b"ok:payload", **columns}
    assert errors(backend) == [(letter_id, *expected.values())]


def test_reading_errors_sees_the_open_transaction_and_leaves_it_open(backend: Backend) -> None:
    (first,) = backend.store.add([NEW])
    backend.begin()
    (second,) = backend.store.add([NEW])
    assert [row[0] for row in errors(backend)] == [first, second]
    backend.roll_back()
    assert [row[0] for row in errors(backend)] == [first]


def test_reading_errors_locks_nobody_out(backend: Backend) -> None:
    backend.store.add([NEW])
    assert len(errors(backend)) == 1
    assert backend.others_can_write()
    with backend.another_writes():
        assert len(errors(backend)) == 1
