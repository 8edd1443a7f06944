"""Every SQL statement of what people do to letters; see `statements` for how they are written."""

from __future__ import annotations

from azoth_dlq.store.sqlite.statements import HISTORY_OF, TABLES_OF, places

RECORD_ACTION = (
    "INSERT INTO main.azoth_dlq_audit (at, who, action, filter, matched, done, details) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
ADD_DONE = (
    "UPDATE main.azoth_dlq_audit SET done = done + ?, details = coalesce(?, details), "
    "matched = coalesce(?, matched) WHERE id = ?"
)
ACTIONS = (
    "SELECT +id, +at, +who, +action, +filter, +matched, +done, +details FROM main.azoth_dlq_audit "
    "ORDER BY id DESC LIMIT ?"
)

# A letter may be parked while a call that was given up goes on.
HOLDERS = {
    False: "SELECT +drainer FROM main.azoth_dlq_claims WHERE letter_id = ?",
    True: "SELECT +drainer FROM main.azoth_dlq_claims WHERE letter_id = "
    "(SELECT p.azoth_dead_letter_id FROM main.permanent_failures AS p WHERE p.id = ?)",
}
OLD_ATTEMPTS = (
    "SELECT count(*), max(id) FROM (SELECT id FROM main.azoth_dlq_history WHERE id > ? "
    "ORDER BY id LIMIT ?)"
)
# What was before an edit stays for as long as its letter does.
PURGE_ATTEMPTS = (
    "DELETE FROM main.azoth_dlq_history WHERE id > ? AND id <= ? AND letter_id IS NOT NULL "
    "AND at <= ? AND event_bytes IS NULL"
)


def identities(ids: int, *, parked: bool) -> str:
    """What tells a letter from another that got its id later."""
    return (
        "SELECT +id, +event_id, +failed_at, +error_message "
        f"FROM main.{TABLES_OF[parked]} WHERE id IN ({places(ids)})"
    )


def record_edit(*, parked: bool) -> str:
    """A row of the history, with the payload as it is, where none of before is kept yet."""
    key, table = HISTORY_OF[parked], TABLES_OF[parked]
    return (
        f"INSERT INTO main.azoth_dlq_history ({key}, at, outcome, error_type, message, traceback, "
        "event_bytes) SELECT id, ?, ?, '', ?, '', CASE WHEN EXISTS (SELECT 1 "
        f"FROM main.azoth_dlq_history AS h WHERE h.{key} = t.id AND h.event_bytes IS NOT NULL) "
        f"THEN NULL ELSE t.event_bytes END FROM main.{table} AS t WHERE t.id = ?"
    )


def edit(*, parked: bool) -> str:
    # With a latest error, which is the first one, the letter is known to have a history.
    noted = "" if parked else ", azoth_last_error = coalesce(azoth_last_error, error_message)"
    return f"UPDATE main.{TABLES_OF[parked]} SET event_bytes = ?{noted} WHERE id = ?"


def original(*, parked: bool) -> str:
    """The payload as it was before the first edit."""
    return (
        f"SELECT +event_bytes FROM main.azoth_dlq_history WHERE {HISTORY_OF[parked]} = ? "
        "AND event_bytes IS NOT NULL ORDER BY id LIMIT 1"
    )


def put_back(*, parked: bool) -> str:
    return (
        f"UPDATE main.{TABLES_OF[parked]} SET event_bytes = (SELECT h.event_bytes "
        f"FROM main.azoth_dlq_history AS h WHERE h.{HISTORY_OF[parked]} = ? "
        "AND h.event_bytes IS NOT NULL ORDER BY h.id LIMIT 1) WHERE id = ?"
    )
