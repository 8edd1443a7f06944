"""Every SQL statement that finds letters; see `statements` for how they are written."""

from __future__ import annotations

from collections.abc import Sequence

from azoth_dlq.store.sqlite.statements import TABLES_OF, latest_error, not_before, places

_HAS_TEXT = "typeof({0}) IN ('text', 'blob') AND instr(lower({0}), lower(?)) > 0"
# One condition for each field of a filter that SQL can decide. `lower` folds ASCII letters alone;
# TEXT that is not UTF-8 is compared as its bytes.
_FITS = {
    "event_type": (
        "CASE typeof(event_bytes) WHEN 'blob' THEN substr(event_bytes, 1, ?) = ? "
        "WHEN 'text' THEN instr(event_bytes, ?) = 1 END"
    ),
    "min_retry_count": "typeof(retry_count) = 'integer' AND retry_count >= ?",
    "max_retry_count": "typeof(retry_count) = 'integer' AND retry_count <= ?",
}
STATE_COLUMNS = 5  # the id, and what tells whether a letter is due


def error_columns(*, parked: bool, migrated: bool) -> list[str]:
    """Where texts of errors stand."""
    ours = ["azoth_last_error", *(["azoth_reason"] if parked else [])]
    return ["error_message", *(ours if migrated else [])]


def find(  # noqa: PLR0913 -- one keyword a part of the statement
    fields: Sequence[str],
    columns: Sequence[str] = (),
    *,
    runs: int = 0,
    parked: bool,
    migrated: bool,
    with_state: bool = False,
) -> str:
    """Ids ascending of rows that fit each of `fields`, in order, and whose id is in one of `runs`
    runs, bound first (0: any); behind them, on demand, the state of `select`, and `columns`:
    `failed_at`, `marked_permanent_at`, `latest_error`."""
    fits = [_condition(field, parked=parked, migrated=migrated) for field in fields]
    where = f"WHERE {' AND '.join(fits)} " if fits else ""
    state = ["+retry_count", "+failed_at", "+last_retry_at", not_before(migrated=migrated)]
    found = {
        "failed_at": "+failed_at",
        "marked_permanent_at": "+marked_permanent_at",
        "latest_error": latest_error(migrated=migrated),
    }
    read = ["+id", *(state if with_state else []), *(found[column] for column in columns)]
    columns_read = ", ".join(read)
    if not runs:
        return f"SELECT {columns_read} FROM main.{TABLES_OF[parked]} {where}ORDER BY id"
    # The CTE drives the join (CROSS JOIN fixes that): ascending runs give ascending ids.
    values = ",".join(["(?,?)"] * runs)
    return (
        f"WITH wanted(run_first, run_last) AS (VALUES {values}) SELECT {columns_read} "
        f"FROM wanted CROSS JOIN main.{TABLES_OF[parked]} "
        f"ON id BETWEEN run_first AND run_last {where}"
    )


def _condition(field: str, *, parked: bool, migrated: bool) -> str:
    if field != "error":
        return _FITS[field]
    columns = error_columns(parked=parked, migrated=migrated)
    return f"({' OR '.join(_HAS_TEXT.format(column) for column in columns)})"


def errors(ids: int | None, *, parked: bool, migrated: bool) -> str:
    """Columns of `errors` of the port; bound first: how much of the event."""
    where = "" if ids is None else f" WHERE id IN ({places(ids)})"
    return (
        f"SELECT +id, {latest_error(migrated=migrated)}, +failed_at, +retry_count, "
        f"substr(event_bytes, 1, ?) FROM main.{TABLES_OF[parked]}{where}"
    )
