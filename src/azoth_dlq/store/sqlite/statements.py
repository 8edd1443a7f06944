"""Every SQL statement of the SQLite store.

Tables are named with their schema, so that a TEMP table of the same name hides nothing. Texts that
end or nest a transaction carry a comment: the statement cache goes by text, and no handler's own
COMMIT may be taken for ours. A column that is read stands there as `+column`: an expression has no
declared type, so that converters of the connection's owner (`detect_types`) leave it alone.
"""

from __future__ import annotations

BEGIN = "BEGIN IMMEDIATE /* azoth-dlq */"
BEGIN_READING = "BEGIN /* azoth-dlq */"
COMMIT = "COMMIT /* azoth-dlq */"
ROLLBACK = "ROLLBACK /* azoth-dlq */"
LETTER = "azoth_dlq_letter"
SAVEPOINT_LETTER = f"SAVEPOINT {LETTER} /* azoth-dlq */"
RELEASE_LETTER = f"RELEASE {LETTER} /* azoth-dlq */"
UNDO_LETTER = f"ROLLBACK TO {LETTER} /* azoth-dlq */"
VERB = "azoth_dlq_verb"
SAVEPOINT_VERB = f"SAVEPOINT {VERB} /* azoth-dlq */"
RELEASE_VERB = f"RELEASE {VERB} /* azoth-dlq */"
UNDO_VERB = f"ROLLBACK TO {VERB} /* azoth-dlq */"
NOTHING = "SELECT 1 WHERE 0"

TABLES = "SELECT +name FROM main.sqlite_master WHERE type IN ('table', 'view')"
COLUMNS = "SELECT +name FROM pragma_table_info(?, 'main')"
ID_COLUMN = "SELECT +type, +pk FROM pragma_table_info(?, 'main') WHERE lower(name) = 'id'"
# A rowid by another name has none.
PRIMARY_KEY_INDEXES = "SELECT +name FROM pragma_index_list(?, 'main') WHERE origin = 'pk'"

# A handler's "not before" counts only while count and time of the last try are as it left them.
NOT_BEFORE = (
    "CASE WHEN {t}retry_count = {t}azoth_not_before_count "
    "AND {t}last_retry_at IS {t}azoth_not_before_retry_at THEN {t}azoth_not_before END"
)


def places(count: int) -> str:
    return ",".join("?" * count)


def not_before(*, migrated: bool, alias: str = "") -> str:
    return NOT_BEFORE.format(t=alias) if migrated else "NULL"


# By whether the letter is parked
TABLES_OF = {False: "dead_letter_queue", True: "permanent_failures"}
HISTORY_OF = {False: "letter_id", True: "parked_id"}

# The queue

ADD = (
    "INSERT INTO main.dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
    "VALUES (?, ?, ?, ?)"
)
COUNT = {parked: f"SELECT count(*) FROM main.{table}" for parked, table in TABLES_OF.items()}
CLEAR = {parked: f"DELETE FROM main.{table}" for parked, table in TABLES_OF.items()}


def latest_error(*, migrated: bool) -> str:
    """The first one where no attempt failed."""
    return "coalesce(azoth_last_error, error_message)" if migrated else "+error_message"


def by_error(*, migrated: bool) -> str:
    """The commonest latest errors, then a limit."""
    latest = latest_error(migrated=migrated)
    return (
        f"SELECT substr({latest}, 1, 200), count(*) FROM main.dead_letter_queue "
        "GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
    )


BY_REASON = (
    "SELECT substr(coalesce(azoth_reason, azoth_last_error, error_message), 1, 200), count(*) "
    "FROM main.permanent_failures GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
)
# What stands before the first colon, as bytes. Grouping by it here would sort whole events.
_COLON = "instr(substr(event_bytes, 1, 65), x'3a')"
_TYPE = f"coalesce(CAST(substr(event_bytes, 1, {_COLON} - 1) AS BLOB), x'')"
PARKED_FAILURES = f"SELECT +failed_at, {_TYPE} FROM main.permanent_failures"


def read_letters(ids: int | None, *, migrated: bool) -> str:
    """Columns of `FailedEvent`; newest first, or those of `ids` ids by id; then a limit."""
    last_error = "+azoth_last_error" if migrated else "NULL"
    where = "" if ids is None else f"WHERE id IN ({places(ids)}) "
    return (
        "SELECT +id, +event_id, +event_bytes, +error_message, +failed_at, +retry_count, "
        f"+last_retry_at, {last_error}, {not_before(migrated=migrated)} "
        f"FROM main.dead_letter_queue {where}ORDER BY id DESC LIMIT ?"
    )


def read_parked(ids: int | None, *, migrated: bool) -> str:
    """Columns of `PermanentFailure`; newest first, or those of `ids` ids by id; then a limit."""
    extra = (
        "+azoth_dead_letter_id, +azoth_last_retry_at, +azoth_last_error, +azoth_reason"
        if migrated
        else "NULL, NULL, NULL, NULL"
    )
    where = "" if ids is None else f"WHERE id IN ({places(ids)}) "
    return (
        "SELECT +id, +event_id, +event_bytes, +error_message, +failed_at, +retry_count, "
        f"+marked_permanent_at, {extra} FROM main.permanent_failures {where}"
        "ORDER BY id DESC LIMIT ?"
    )


def delete(ids: int, *, parked: bool) -> str:
    return f"{CLEAR[parked]} WHERE id IN ({places(ids)})"


HAS_LETTER = "SELECT 1 FROM main.dead_letter_queue WHERE id = ?"
PARKED_ORIGIN = "SELECT +azoth_dead_letter_id, +failed_at FROM main.permanent_failures WHERE id = ?"
# The old id again where it is free: NULL lets SQLite choose a new one. That id may be one that
# polls have passed, so the letter is put among those that they look at in any case.
REQUEUE = (
    "INSERT INTO main.dead_letter_queue "
    "(id, event_id, event_bytes, error_message, failed_at, retry_count, azoth_last_error, "
    "azoth_base, azoth_origin) "
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM main.dead_letter_queue AS d WHERE d.id = ?) "
    "THEN NULL ELSE ? END, event_id, event_bytes, error_message, coalesce(?, failed_at), 0, "
    "coalesce(azoth_last_error, (SELECT h.message FROM main.azoth_dlq_history AS h "
    "WHERE h.parked_id = p.id ORDER BY h.id DESC LIMIT 1)), -1, "
    "azoth_origin "
    "FROM main.permanent_failures AS p WHERE p.id = ?"
)
MARK_RETRY = (
    "UPDATE main.dead_letter_queue SET retry_count = retry_count + 1, last_retry_at = ? "
    "WHERE id = ?"
)

# A drain


def candidates(
    *, migrated: bool, with_error: bool, with_type: bool = False, among: str = ""
) -> str:
    """`among`: one of the `AMONG_…` clauses, or `among_ids`."""
    last = f"{not_before(migrated=migrated)}{', +error_message' if with_error else ''}"
    last += f", {_TYPE}" if with_type else ""
    return (
        f"SELECT +id, +retry_count, +failed_at, +last_retry_at, {last} "
        f"FROM main.dead_letter_queue {among}"
    )


def among_ids(ids: int) -> str:
    return f"WHERE id IN ({places(ids)})"


NOTED = "coalesce(d.azoth_last_error, d.azoth_not_before, d.azoth_alone) IS NOT NULL"
# RECORDED and ALONE of the port as bits, NULL where there are none: most letters have none.
_NOTES = f"CASE WHEN {NOTED} THEN 1 + 2 * (d.azoth_alone IS NOT NULL) END"

# Of TEXT, which sorts before every BLOB, length() counts the characters before the first NUL; a
# BLOB's reads none of it.
_LONGER = (
    "length(d.event_bytes) > {size} "
    "OR d.event_bytes < x'' AND length(CAST(d.event_bytes AS BLOB)) > {size}"
)


def fetch(ids: int, *, inline: int | None, verify: bool) -> str:
    """Rows of `ids` ids in the order given. The CTE drives the join (CROSS JOIN fixes that), so the
    order is the callers', and 500 letters cost one statement."""
    verified = (
        f"+d.failed_at, +d.last_retry_at, {not_before(migrated=True, alias='d.')}, "
        if verify
        else ""
    )
    event = (
        "+d.event_bytes"
        if inline is None
        else f"iif({_LONGER.format(size=int(inline))}, NULL, d.event_bytes)"
    )
    values = ",".join(["(?)"] * ids)
    return (
        f"WITH wanted(id) AS (VALUES {values}) "
        f"SELECT +d.id, +d.retry_count, {verified}{_NOTES}, +d.event_id, {event} "
        "FROM wanted CROSS JOIN main.dead_letter_queue AS d ON d.id = wanted.id"
    )


_FAILED = "main.dead_letter_queue SET retry_count = ?, last_retry_at = ?, azoth_last_error = ?, "
# A letter waits from its last try …
RETRY = (
    f"UPDATE {_FAILED}azoth_base = ?, azoth_base_of = ?, azoth_not_before = NULL, "
    "azoth_not_before_count = NULL, azoth_not_before_retry_at = NULL WHERE id = ?"
)
# … or until the instant that its handler asked for.
RETRY_LATER = (
    f"UPDATE {_FAILED}azoth_base = NULL, azoth_base_of = NULL, azoth_not_before = ?, "
    "azoth_not_before_count = ?, azoth_not_before_retry_at = ? WHERE id = ?"
)
SNOOZE = (
    "UPDATE main.dead_letter_queue SET azoth_not_before = ?, "
    "azoth_not_before_count = retry_count, azoth_not_before_retry_at = last_retry_at, "
    "azoth_base = NULL, azoth_base_of = NULL WHERE id = ?"
)
# The tables that other programs make may lack NOT NULL; a letter is parked all the same.
PARK = (
    "INSERT INTO main.permanent_failures (event_id, event_bytes, error_message, failed_at, "
    "retry_count, marked_permanent_at, azoth_dead_letter_id, azoth_last_retry_at, "
    "azoth_last_error, azoth_reason, azoth_origin) "
    "SELECT coalesce(event_id, 0), coalesce(event_bytes, x''), coalesce(error_message, ''), "
    "coalesce(failed_at, ''), coalesce(?, retry_count, 0), ?, id, coalesce(?, last_retry_at), "
    "coalesce(?, azoth_last_error), ?, azoth_origin FROM main.dead_letter_queue WHERE id = ?"
)


def there(ids: int) -> str:
    return f"SELECT +id FROM main.dead_letter_queue WHERE id IN ({places(ids)})"


# SQLite tells an AUTOINCREMENT that has no more numbers as a full disk.
WITHOUT_FREE_IDS = (
    "SELECT +name FROM main.sqlite_sequence WHERE seq = 9223372036854775807 AND name IN (?, ?)"
)

# A table without AUTOINCREMENT gives an id again: what is recorded of a letter that nothing has
# happened to is of one before it.
HAS_ATTEMPTS = f"SELECT 1 FROM main.dead_letter_queue AS d WHERE d.id = ? AND {NOTED}"
KEEP_ALONE = "UPDATE main.dead_letter_queue SET azoth_alone = 1 WHERE id = ?"

# The history


def record_attempts(count: int) -> str:
    columns = "letter_id, at, outcome, error_type, message, traceback, duration"
    rows = ",".join([f"({places(7)})"] * count)
    return f"INSERT INTO main.azoth_dlq_history ({columns}) VALUES {rows}"


# What was before an edit is kept.
TRIM_HISTORY = (
    "DELETE FROM main.azoth_dlq_history WHERE letter_id = ? AND event_bytes IS NULL AND id <= "
    "(SELECT id FROM main.azoth_dlq_history WHERE letter_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"
)
PARK_HISTORY = (
    "UPDATE main.azoth_dlq_history SET letter_id = NULL, parked_id = ? WHERE letter_id = ?"
)
REQUEUE_HISTORY = (
    "UPDATE main.azoth_dlq_history SET letter_id = ?, parked_id = NULL WHERE parked_id = ?"
)
NEXT_TO_SWEEP = (
    "SELECT count(*), max(id) FROM "
    "(SELECT id FROM main.azoth_dlq_history WHERE id > ? ORDER BY id LIMIT ?)"
)
# One of the two ids is NULL, which no row has.
SWEEP = (
    "DELETE FROM main.azoth_dlq_history WHERE id > ? AND id <= ? "
    "AND NOT EXISTS (SELECT 1 FROM main.dead_letter_queue AS d WHERE d.id = letter_id) "
    "AND NOT EXISTS (SELECT 1 FROM main.permanent_failures AS p WHERE p.id = parked_id)"
)


def read_history(*, parked: bool) -> str:
    """Columns of `AttemptRecord` of one letter, oldest first."""
    return (
        "SELECT +at, +outcome, +error_type, +message, +traceback, +duration "
        f"FROM main.azoth_dlq_history WHERE {HISTORY_OF[parked]} = ? ORDER BY id"
    )


def delete_history(ids: int | None, *, parked: bool) -> str:
    which = "IS NOT NULL" if ids is None else f"IN ({places(ids)})"
    return f"DELETE FROM main.azoth_dlq_history WHERE {HISTORY_OF[parked]} {which}"


GET_STATE = "SELECT +value FROM main.azoth_dlq_state WHERE key = ?"
SET_STATE = "INSERT OR REPLACE INTO main.azoth_dlq_state (key, value) VALUES (?, ?)"
ADD_STATE = "INSERT OR IGNORE INTO main.azoth_dlq_state (key, value) VALUES (?, ?)"
DELETE_STATE = "DELETE FROM main.azoth_dlq_state WHERE key = ?"

# Who drains, and which letters are in whose hands

BEGIN_EXCLUSIVE = "BEGIN EXCLUSIVE"
DRAINERS = "SELECT +name, +host, +pid, +since FROM main.azoth_dlq_drainers ORDER BY since, name"
SET_DRAINER = (
    "INSERT OR REPLACE INTO main.azoth_dlq_drainers (name, host, pid, since) VALUES (?, ?, ?, ?)"
)
DELETE_DRAINER = "DELETE FROM main.azoth_dlq_drainers WHERE name = ?"
# Again by the same drain: singly after all. A claim of another stays as it is.
CLAIM = (
    "INSERT INTO main.azoth_dlq_claims AS c (letter_id, drainer, batch, slot) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (letter_id) DO UPDATE SET batch = excluded.batch, slot = excluded.slot "
    "WHERE c.drainer = excluded.drainer"
)
CLAIMS = "SELECT +letter_id, +drainer FROM main.azoth_dlq_claims"
CLAIMING = "SELECT DISTINCT +drainer FROM main.azoth_dlq_claims"
CLAIMS_BY_DRAINER = "SELECT +drainer, count(*) FROM main.azoth_dlq_claims GROUP BY drainer"
CLAIMED_BY_OTHERS = (
    "SELECT +letter_id, +batch, +slot, +drainer FROM main.azoth_dlq_claims WHERE drainer <> ? "
    "ORDER BY 1"
)


def delete_claims(ids: int, *, of_drainer: bool) -> str:
    """Of `ids` letters; `of_drainer`: where it is the one whose name comes after them."""
    drainer = " AND drainer = ?" if of_drainer else ""
    return f"DELETE FROM main.azoth_dlq_claims WHERE letter_id IN ({places(ids)}){drainer}"


# Letters seen waiting: a row is in the one index or in the other. What stands behind `+` is kept
# from being searched by, where an index narrows more.

# The text from which a letter's waiting is counted: `azoth_base` is its instant, and holds as long
# as it is the text of `azoth_base_of`.
_BASE_TEXT = "coalesce(last_retry_at, failed_at)"
# Numbers are less than any text, and integers are divided without a fraction. With a function,
# such as typeof(), in an index, every statement that deletes letters would be journaled apart.
_HAS_COUNT = "retry_count < '' AND (2 * retry_count + 1) / 2 = retry_count"
# The keys of the index `azoth_dlq_waiting` are this and `azoth_base`; negative: look at the row.
WAITING_COUNT = (
    f"CASE WHEN {_HAS_COUNT} AND azoth_base_of IS {_BASE_TEXT} THEN retry_count ELSE -1 END"
)
IS_WAITING = "azoth_base IS NOT NULL"
# The key of the index `azoth_dlq_not_before`; -1: look at the row.
WAITING_UNTIL = f"coalesce({not_before(migrated=True)}, -1)"
IS_PUT_OFF = "azoth_not_before_count IS NOT NULL"

_WAITING = f"{IS_WAITING} AND azoth_not_before_count IS NULL"
AMONG_NEWER = "WHERE id > ?"
AMONG_CHANGED = f"WHERE {_WAITING} AND {WAITING_COUNT} < 0 AND +id <= ?"
AMONG_COUNT = f"WHERE {_WAITING} AND {WAITING_COUNT} = ? AND azoth_base <= ? AND +id <= ?"
AMONG_PUT_OFF = f"WHERE {IS_PUT_OFF} AND {WAITING_UNTIL} <= ? AND +id <= ?"
NEXT_COUNT = (
    f"SELECT {WAITING_COUNT} FROM main.dead_letter_queue "
    f"WHERE {IS_WAITING} AND {WAITING_COUNT} > ? ORDER BY {WAITING_COUNT} LIMIT 1"
)
NEXT_BASE = (
    "SELECT +azoth_base FROM main.dead_letter_queue "
    f"WHERE {_WAITING} AND {WAITING_COUNT} = ? AND azoth_base > ? ORDER BY azoth_base LIMIT 1"
)
NEXT_PUT_OFF = (
    f"SELECT {WAITING_UNTIL} FROM main.dead_letter_queue "
    f"WHERE {IS_PUT_OFF} AND {WAITING_UNTIL} > ? ORDER BY {WAITING_UNTIL} LIMIT 1"
)
HIGHEST_ID = "SELECT max(id) FROM main.dead_letter_queue"
# Ids up to the sequence are never given again by AUTOINCREMENT, which alone keeps one.
HAS_SEQUENCES = "SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_sequence'"
SEQUENCE = "SELECT +seq FROM main.sqlite_sequence WHERE name = ? COLLATE NOCASE"

# Rows that are in no index, or stand at -1 though they can be read.
_NOT_NOTED = (
    f"({not_before(migrated=True)}) IS NULL "
    f"AND (azoth_base IS NULL OR azoth_base_of IS NOT {_BASE_TEXT})"
)


def _not_noted_where(among: str, order: str = "") -> str:
    return (
        "SELECT +id, +failed_at, +last_retry_at FROM main.dead_letter_queue "
        f"WHERE {among} AND {_NOT_NOTED} {order} LIMIT ?"
    )


NOT_NOTED_PUT_OFF = _not_noted_where(f"{IS_PUT_OFF} AND {WAITING_UNTIL} = -1")
NOT_NOTED_CHANGED = _not_noted_where(f"{IS_WAITING} AND {WAITING_COUNT} < 0")
NOT_NOTED_NEWER = _not_noted_where("id > ? AND id <= ?", "ORDER BY id")
# Without a text (it cannot be read) the letter is looked at as long as it stays as it is.
NOTE = (
    "UPDATE main.dead_letter_queue SET azoth_base = ?, "
    f"azoth_base_of = coalesce(?, {_BASE_TEXT}), azoth_not_before_count = NULL "
    f"WHERE id = ? AND ({not_before(migrated=True)}) IS NULL"
)


def not_noted(ids: int) -> str:
    return f"{COUNT[False]} WHERE id IN ({places(ids)}) AND {_NOT_NOTED}"
