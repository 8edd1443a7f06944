"""Letters in memory as a whole, out of a store and into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from azoth_dlq.store.settlement import Attempted
from azoth_dlq.store.upkeep import FIRST_ID, Exchange
from azoth_dlq.store.whole import COLUMNS, Origins, Taken, WholeLetter
from tests.conformance.memory_database import (
    MemoryConnection,
    MemoryDatabase,
    ParkedRow,
    Row,
    Tables,
)


class MemoryExchange:
    """The letters of one connection's tables."""

    reading_blocks = False

    def __init__(
        self,
        identity: bytes,
        tables: Callable[[], Tables],
        writing: Callable[[], AbstractContextManager[Tables]],
    ) -> None:
        self.identity: bytes | None = identity
        self._tables = tables
        self._writing = writing
        self._origins = Origins(identity)

    @contextmanager
    def reading(self) -> Iterator[None]:
        yield

    def letters(
        self, *, parked: bool, ids: Sequence[int] | None = None, first: int = FIRST_ID
    ) -> Generator[WholeLetter, None, None]:
        tables = self._tables()
        rows: dict[int, Any] = tables.parked if parked else tables.letters
        for row_id in sorted(rows):
            if row_id >= first and (ids is None or row_id in ids):
                yield self._whole(row_id, rows[row_id], parked=parked)

    def _whole(self, row_id: int, found: Row | ParkedRow, *, parked: bool) -> WholeLetter:
        row = found.row if isinstance(found, ParkedRow) else found
        stored = _parked_columns(found) if isinstance(found, ParkedRow) else _dead_columns(row)
        values = tuple(_stored(stored[column]) for column in COLUMNS[parked])
        origin = row.origin or self._origins.of(row_id, values, parked=parked)
        history = [(*map(_stored, attempt[1:-1]), None) for attempt in row.history]
        return WholeLetter(parked, row_id, origin, values, history)

    def needed(self, *, parked: bool) -> frozenset[str]:  # noqa: ARG002 -- it takes anything
        return frozenset()

    def take_in(
        self, letters: Iterable[WholeLetter], *, again: bool = False, dry_run: bool = False
    ) -> Taken:
        with self._writing() as tables:
            written = tables.copy() if dry_run else tables
            counts = Counter(self._take_in(written, letter, again=again) for letter in letters)
            return Taken(**counts)

    def _take_in(self, tables: Tables, letter: WholeLetter, *, again: bool) -> str:
        returns = tables.origins.get(letter.origin)
        is_own = self._origins.are_of(letter.origin)
        if returns is False and not again:
            return "before"
        if returns is None and is_own and not again:
            return "gone"
        tables.origins[letter.origin] = False
        row = _row(letter)
        if letter.parked:
            is_free = is_own and letter.id not in tables.parked
            tables.last_parked_id += not is_free
            row_id = letter.id if is_free else tables.last_parked_id
            stored = dict(zip(COLUMNS[True], map(_plain, letter.values), strict=True))
            tables.parked[row_id] = ParkedRow(
                row,
                stored["marked_permanent_at"],
                stored["azoth_dead_letter_id"],
                stored["azoth_reason"],
            )
            return "parked"
        is_free = is_own and letter.id not in tables.letters
        tables.letters[letter.id if is_free else tables.next_id()] = row
        return "dead"

    def let_return(self, ids: Sequence[int], *, parked: bool = False) -> None:
        with self._writing() as tables:
            for letter in self.letters(parked=parked, ids=ids):
                tables.origins[letter.origin] = True


def _dead_columns(row: Row) -> dict[str, Any]:
    count, retry_at = row.not_before_of or (None, None)
    return {
        **row._asdict(),
        "azoth_last_error": row.last_error,
        "azoth_not_before": row.not_before,
        "azoth_not_before_count": count,
        "azoth_not_before_retry_at": retry_at,
        "azoth_alone": 1 if row.alone else None,
    }


def _parked_columns(parked: ParkedRow) -> dict[str, Any]:
    row = parked.row
    return {
        **row._asdict(),
        "marked_permanent_at": parked.marked_permanent_at,
        "azoth_dead_letter_id": parked.dead_letter_id,
        "azoth_last_retry_at": row.last_retry_at,
        "azoth_last_error": row.last_error,
        "azoth_reason": parked.reason,
    }


def _row(letter: WholeLetter) -> Row:
    stored = dict(zip(COLUMNS[letter.parked], map(_plain, letter.values), strict=True))
    of = (stored.get("azoth_not_before_count"), stored.get("azoth_not_before_retry_at"))
    return Row(
        stored["event_id"],
        stored["event_bytes"],
        stored["error_message"],
        stored["failed_at"],
        stored["retry_count"],
        stored["azoth_last_retry_at" if letter.parked else "last_retry_at"],
        stored["azoth_last_error"],
        stored.get("azoth_not_before"),
        of if of[0] is not None else None,
        tuple(Attempted(0, *map(_plain, one[:-1])) for one in letter.history),
        stored.get("azoth_alone") is not None,
        letter.origin,
    )


def _stored(value: Any) -> Any:
    return bytearray(value, "utf-8") if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytearray) else value


_: Exchange = MemoryExchange(b"x", Tables, MemoryConnection(MemoryDatabase()).writing)
