"""The SQL of letters that go from one file to another, and of what is remembered of them."""

from __future__ import annotations

from azoth_dlq.store.sqlite.statements import HISTORY_OF, NOTED
from azoth_dlq.store.whole import COLUMNS, HISTORY_COLUMNS

_TABLES = {False: "dead_letter_queue", True: "permanent_failures"}


def letters(ids: int | None, *, parked: bool, migrated: bool) -> str:
    """By id: id, whether there may be a history, origin, and the columns of a letter; those of
    `ids` ids, or from an id on."""
    shown = [
        f"+{column}" if migrated or not column.startswith("azoth_") else "NULL"
        for column in ("azoth_origin", *COLUMNS[parked])
    ]
    # Of a dead letter it tells whether the history of its id is its own.
    noted = NOTED if migrated and not parked else "1"
    where = "id >= ?" if ids is None else f"id IN ({','.join('?' * ids)})"
    return (
        f"SELECT +id, {noted}, {', '.join(shown)} FROM main.{_TABLES[parked]} AS d "
        f"WHERE {where} ORDER BY id"
    )


def history(*, parked: bool, with_bytes: bool) -> str:
    """The attempts of a letter, oldest first; without the payloads of before an edit where the file
    cannot have any."""
    columns = [
        "NULL" if column == "event_bytes" and not with_bytes else f"+{column}"
        for column in HISTORY_COLUMNS
    ]
    return (
        f"SELECT {', '.join(columns)} FROM main.azoth_dlq_history "
        f"WHERE {HISTORY_OF[parked]} = ? ORDER BY id"
    )


def _insert(*, parked: bool) -> str:
    # -1: polls look at it in any case, also where its id is one that they have passed.
    names, values = (
        ("id, azoth_origin", "?, ?")
        if parked
        else (
            "id, azoth_origin, azoth_base",
            "?, ?, -1",
        )
    )
    columns = COLUMNS[parked]
    return (
        f"INSERT INTO main.{_TABLES[parked]} ({names}, {', '.join(columns)}) "
        f"VALUES ({values}, {','.join('?' * len(columns))})"
    )


IS_THERE = {parked: f"SELECT 1 FROM main.{table} WHERE id = ?" for parked, table in _TABLES.items()}
INSERT = {parked: _insert(parked=parked) for parked in _TABLES}
# TEXT that is no UTF-8: Python binds none, so its bytes are put in the place of another one.
PUT_TEXT = {
    (table, column): f"UPDATE main.{table} SET {column} = CAST(? AS TEXT) WHERE id = ?"
    for table, columns in (
        (_TABLES[False], COLUMNS[False]),
        (_TABLES[True], COLUMNS[True]),
        ("azoth_dlq_history", HISTORY_COLUMNS),
    )
    for column in columns
}
INSERT_HISTORY = {
    parked: f"INSERT INTO main.azoth_dlq_history ({of}, {', '.join(HISTORY_COLUMNS)}) "
    f"VALUES (?, {','.join('?' * len(HISTORY_COLUMNS))})"
    for parked, of in HISTORY_OF.items()
}
NEEDED = "SELECT +name FROM pragma_table_info(?, 'main') WHERE \"notnull\""


def known_origins(origins: int) -> str:
    """Of `origins` of them, those that are recorded, and whether they may come in again."""
    places = ",".join("?" * origins)
    return f"SELECT +origin, +returns FROM main.azoth_dlq_origins WHERE origin IN ({places})"


ANY_BETWEEN = "SELECT 1 FROM main.azoth_dlq_origins WHERE origin BETWEEN ? AND ? LIMIT 1"
RECORD_ORIGIN = (
    "INSERT INTO main.azoth_dlq_origins (origin, returns) VALUES (?, ?) "
    "ON CONFLICT (origin) DO UPDATE SET returns = excluded.returns"
)

# A set of origins that may be larger than memory, in a database of its own

BEGIN = "BEGIN"
MAKE_SET = "CREATE TABLE origins (origin BLOB PRIMARY KEY) WITHOUT ROWID"
ADD_TO_SET = "INSERT OR IGNORE INTO origins VALUES (?)"
IN_SET = "SELECT 1 FROM origins WHERE origin = ?"
