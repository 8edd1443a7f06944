"""Letters to add, and the steps of a group that most tests take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from azoth_dlq.store.base import Abandoned, NewLetter, Store
from azoth_dlq.store.settlement import Settlement
from tests.conformance.backend import Backend

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = (datetime(2026, 11, 24, 12, 0, 0, 123_456, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
NOW_TEXT = "2026-11-24T12:00:00.123456Z"
NONE = Abandoned([], [])
NEW = NewLetter(42, b"ok:payload", "boom", NOW)


def candidates(store: Store, *, with_error: bool = False) -> list[tuple[Any, ...]]:
    """In the order of ids, texts as `str`."""
    with store.candidates(with_error=with_error) as rows:
        return sorted(tuple(text_of(value) for value in row) for row in rows)


def text_of(value: object) -> object:
    assert not isinstance(value, bytes), "bytes would be a BLOB, which is no text"
    return value.decode() if isinstance(value, bytearray) else value


def call(backend: Backend, letter_id: int, *, effect: int | None = None) -> None:
    """A handler's call that goes well."""
    backend.store.isolate(letter_id)
    backend.write(backend.store.connection, letter_id if effect is None else effect)
    backend.store.keep()


def commit(store: Store, **settled: Any) -> None:
    store.settle(Settlement(**settled))
    store.end(commit=True)


@contextmanager
def group(store: Store, *, committed: bool = True) -> Iterator[None]:
    store.begin()
    yield
    store.end(commit=committed)


def seen(store: Store) -> tuple[set[int], Abandoned]:
    """The claims of others; nothing is changed."""
    with group(store, committed=False):
        return store.claimed(), store.abandoned()
