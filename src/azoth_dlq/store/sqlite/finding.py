"""Finding letters: SQL narrows, what SQL cannot read is decided here, and only ids are kept."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from azoth_dlq.clock import EPOCH, MICROSECOND
from azoth_dlq.errors import not_allowed
from azoth_dlq.kernels.eligibility import Rules, parse_timestamp, select
from azoth_dlq.kernels.templates import fingerprint
from azoth_dlq.store.sqlite import search_statements as sql
from azoth_dlq.store.sqlite.raw import own_cursor, raw_text, text_of

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from azoth_dlq.filters import LetterFilter

_Row = tuple[Any, ...]

_RUNS_A_STATEMENT = 200  # two variables each
_ROWS_AT_ONCE = 10_000
_GROUPS_NAMED = 3


class _Test(NamedTuple):
    """What a column of a row must pass."""

    column: str  # as `sql.find` names them
    passes: Callable[[Any], bool]


def find(
    connection: sqlite3.Connection,
    wanted: LetterFilter,
    now: int,
    *,
    migrated: bool,
    rules: Rules | None = None,
) -> array[int]:
    """The ids (int64, ascending) of the rows that fit; ages are reckoned from `now` (µs), and what
    is due is told by `rules`."""
    parked = bool(wanted.parked)
    if (parked and wanted.due is not None) or (not parked and wanted.min_parked_age is not None):
        return array("q")
    group = _Group(wanted.group)
    tests = _tests(wanted, now, group)
    by_state = None if wanted.due is None or rules is None else rules
    conditions = _conditions(wanted, parked=parked, migrated=migrated)
    values = [value for some in conditions.values() for value in some]
    columns = [test.column for test in tests]
    ids = array("q")
    with raw_text(connection), closing(own_cursor(connection)) as cursor:
        for bounds in _runs(wanted):
            statement = sql.find(
                list(conditions),
                columns,
                runs=len(bounds) // 2,
                parked=parked,
                migrated=migrated,
                with_state=by_state is not None,
            )
            rows: Iterable[_Row] = cursor.execute(statement, (*bounds, *values))
            if by_state is not None:
                rows = _of_state(rows, by_state, due=bool(wanted.due))
            ids.extend(_passing(rows, [test.passes for test in tests]))
    group.check()
    return ids


def _runs(wanted: LetterFilter) -> Iterator[list[int]]:
    """The bounds of the ids that are wanted, as many as a statement takes; none: of any id."""
    if wanted.ids is None:
        yield []
        return
    runs = iter(wanted.ids)
    while some := list(islice(runs, _RUNS_A_STATEMENT)):
        yield [bound for run in some for bound in run]


def _conditions(
    wanted: LetterFilter, *, parked: bool, migrated: bool
) -> dict[str, tuple[Any, ...]]:
    """The fields that SQL can decide, each with the values that its condition binds."""
    conditions: dict[str, tuple[Any, ...]] = {}
    if wanted.error is not None:
        columns = sql.error_columns(parked=parked, migrated=migrated)
        conditions["error"] = (wanted.error,) * len(columns)
    if wanted.event_type is not None:
        beginning = f"{wanted.event_type}:"
        as_bytes = beginning.encode()
        conditions["event_type"] = (len(as_bytes), as_bytes, beginning)
    if wanted.min_retry_count is not None:
        conditions["min_retry_count"] = (wanted.min_retry_count,)
    if wanted.max_retry_count is not None:
        conditions["max_retry_count"] = (wanted.max_retry_count,)
    return conditions


def _tests(wanted: LetterFilter, now: int, group: _Group) -> list[_Test]:
    tests = []
    # A time that lies ahead has age 0: it is old enough where 0 is, and never too old.
    latest = _least(_before(now, wanted.min_age or None), _instant(wanted.until))
    earliest = _most(_before(now, wanted.max_age), _instant(wanted.since))
    if wanted.min_age is not None or latest is not None or earliest is not None:
        tests.append(_Test("failed_at", _between(earliest, latest)))
    if wanted.min_parked_age is not None:
        parked_by = _before(now, wanted.min_parked_age)
        tests.append(_Test("marked_permanent_at", _between(None, parked_by)))
    if wanted.group is not None:
        tests.append(_Test("latest_error", group.has))
    return tests


def _before(now: int, age: timedelta | None) -> int | None:
    return None if age is None else now - age // MICROSECOND


def _instant(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - EPOCH) // MICROSECOND


def _least(*instants: int | None) -> int | None:
    return min((instant for instant in instants if instant is not None), default=None)


def _most(*instants: int | None) -> int | None:
    return max((instant for instant in instants if instant is not None), default=None)


def _between(earliest: int | None, latest: int | None) -> Callable[[object], bool]:
    def passes(stored: object) -> bool:
        if not isinstance(stored, bytearray):  # all but TEXT
            return False
        try:
            instant = parse_timestamp(stored)
        except ValueError:
            return False
        return (earliest is None or earliest <= instant) and (latest is None or instant <= latest)

    return passes


class _Group:
    """The group whose fingerprint begins with these digits."""

    def __init__(self, digits: str | None) -> None:
        self._digits = digits or ""
        self._found: set[str] = set()

    def has(self, error: object) -> bool:
        text = error if isinstance(error, (bytes, bytearray)) else text_of(error)
        found = fingerprint(text)
        if not found.startswith(self._digits):
            return False
        self._found.add(found)
        return True

    def check(self) -> None:
        """Errors: ConfigError where there are several."""
        if len(self._found) > 1:
            some = ", ".join(sorted(self._found)[:_GROUPS_NAMED])
            allowed = f"digits that only one group begins with, not several ({some})"
            raise not_allowed("group", self._digits, allowed)


def _of_state(rows: Iterable[_Row], rules: Rules, *, due: bool) -> Iterator[_Row]:
    """Rows that are due, or that wait; what `select` reads stands behind their ids, and is left
    out."""
    rows = iter(rows)
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        selection = select([row[: sql.STATE_COLUMNS] for row in some], rules)
        attempted = set(selection.ids())
        others = {letter_id for letter_id, _ in selection.unfit()}
        for row in some:
            if row[0] in attempted if due else not (row[0] in attempted or row[0] in others):
                yield (row[0], *row[sql.STATE_COLUMNS :])


def _passing(rows: Iterable[_Row], tests: Sequence[Callable[[Any], bool]]) -> Iterator[int]:
    if not tests:
        return (row[0] for row in rows)
    return (
        row[0]
        for row in rows
        if all(passes(value) for passes, value in zip(tests, row[1:], strict=True))
    )
