"""Selections over a live cursor, with the columns that real files hold."""

import sqlite3
from collections.abc import Iterator

import pytest

from azoth_dlq.kernels import backoff
from azoth_dlq.kernels.eligibility import Rules, Verdict, parse_timestamp, select
from azoth_dlq.kernels.order import ErrorTypes

RULES = Rules(
    now=parse_timestamp("2026-11-24 03:46:00"),
    max_retries=3,
    min_age=0,
    kind=backoff.FIXED,
    initial=1_000_000,
    maximum=0,
)
QUERY = """
    SELECT id, retry_count, failed_at, last_retry_at, NULL, error_message
    FROM dead_letter_queue
"""


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    # No column has a type, so that each keeps the one that is inserted.
    conn = sqlite3.connect(":memory:")
    conn.execute(
        "CREATE TABLE dead_letter_queue "
        "(id INTEGER PRIMARY KEY, retry_count, failed_at, last_retry_at, error_message)"
    )
    conn.text_factory = bytearray
    yield conn
    conn.close()


def insert(conn: sqlite3.Connection, *values: str) -> None:
    into = "INSERT INTO dead_letter_queue (retry_count, failed_at, last_retry_at, error_message)"
    conn.execute(f"{into} VALUES ({', '.join(values)})")


def test_text_that_is_not_utf8_ends_no_scan(conn: sqlite3.Connection) -> None:
    insert(conn, "0", "'2026-11-24 03:45:00'", "NULL", "CAST(x'ff2074696d656f7574' AS TEXT)")
    insert(conn, "0", "CAST(x'ff' AS TEXT)", "NULL", "'e'")
    insert(conn, "0", "'2026-11-24 03:44:00'", "NULL", "'e'")
    selection = select(conn.execute(QUERY), RULES, rank=ErrorTypes(["timeout"]))
    assert selection.ids() == [1, 3]
    assert selection.unfit() == [(2, Verdict.BAD_FAILED_AT)]


def test_a_blob_is_no_timestamp(conn: sqlite3.Connection) -> None:
    stamp = "'2026-11-24 03:45:00'"
    insert(conn, "0", f"CAST({stamp} AS BLOB)", "NULL", "'e'")
    insert(conn, "0", stamp, f"CAST({stamp} AS BLOB)", "'e'")
    insert(conn, "0", stamp, stamp, "'e'")
    selection = select(conn.execute(QUERY), RULES)
    assert selection.ids() == [3]
    assert selection.unfit() == [(1, Verdict.BAD_FAILED_AT), (2, Verdict.BAD_LAST_RETRY_AT)]


def test_a_retry_count_of_another_type_is_told(conn: sqlite3.Connection) -> None:
    for count in ("NULL", "1.0", "'1'", "x'31'", "-1", "9223372036854775807", "2"):
        insert(conn, count, "'2026-11-24 03:45:00'", "NULL", "'e'")
    selection = select(conn.execute(QUERY), RULES)
    assert selection.ids() == [7]
    assert [verdict for _, verdict in selection.unfit()] == [
        *[Verdict.BAD_RETRY_COUNT] * 4,
        Verdict.NEGATIVE_RETRY_COUNT,
        Verdict.EXHAUSTED,
    ]


def test_a_blob_of_an_error_is_searched_too(conn: sqlite3.Connection) -> None:
    insert(conn, "0", "'2026-11-24 03:45:00'", "NULL", "'other'")
    insert(conn, "0", "'2026-11-24 03:45:00'", "NULL", "CAST('a TIMEOUT' AS BLOB)")
    insert(conn, "0", "'2026-11-24 03:45:00'", "NULL", "17")
    selection = select(conn.execute(QUERY), RULES, rank=ErrorTypes(["timeout"]))
    assert selection.ids() == [2, 1, 3]


def test_a_fault_of_the_database_goes_on_up(conn: sqlite3.Connection) -> None:
    insert(conn, "0", "'2026-11-24 03:45:00'", "NULL", "'e'")
    insert(conn, "0", "'2026-11-24 03:45:00'", "NULL", "-9223372036854775807")
    query = QUERY + " WHERE abs(error_message - 1) IS NOT NULL"
    with pytest.raises(sqlite3.OperationalError, match="integer overflow"):
        select(conn.execute(query), RULES)
