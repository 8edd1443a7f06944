"""The figures of a queue equal a slow recount of the same file."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azoth_dlq import BackoffStrategy, DeadLetterQueue, DlqReplayConfig, StorageError, clock
from azoth_dlq import status as status_module
from azoth_dlq.status import COMMONEST_ERRORS, COMMONEST_GROUPS, Status, look
from azoth_dlq.store.base import Figures
from azoth_dlq.store.sqlite import SqliteStore, open_for_looking
from azoth_dlq.types import Drainer

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
NOW_US = (NOW - EPOCH) // timedelta(microseconds=1)
# As the crate makes it, but with nothing to keep bad rows out.
LAX_TABLE = """CREATE TABLE dead_letter_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event_id INTEGER, event_bytes BLOB, error_message TEXT,
    failed_at TEXT, retry_count INTEGER, last_retry_at TEXT
)"""
INSERT = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at, retry_count, "
    "last_retry_at, azoth_not_before, azoth_not_before_count, azoth_not_before_retry_at) "
    "VALUES (1, x'', ?, ?, ?, ?, ?, ?, ?)"
)
SELECT = (
    "SELECT *, typeof(error_message) AS error_type, typeof(failed_at) AS failed_type, "
    "typeof(last_retry_at) AS last_type FROM dead_letter_queue"
)


def written(offset: timedelta, form: str) -> str:
    """An instant before or after now in one of the accepted forms."""
    instant = NOW + offset
    match form:
        case "sqlite":
            return f"{instant:%Y-%m-%d %H:%M:%S}"
        case "zulu":
            return f"{instant:%Y-%m-%dT%H:%M:%S.%f}Z"
        case _:
            local = instant + timedelta(hours=5, minutes=30)
            return f"{local:%Y-%m-%dT%H:%M:%S.%f}+05:30"


STATES = ["ahead", "unreadable", "exhausted", "due", "not_due"]
OFFSETS = st.timedeltas(timedelta(days=-400), timedelta(days=400)) | st.sampled_from(
    [timedelta(seconds=s) for s in (-20, -10, -5, -1, 0, 1, 60)]
)
INSTANTS = st.builds(written, OFFSETS, st.sampled_from(["sqlite", "zulu", "offset"]))
JUNK = st.sampled_from(["", "yesterday", "2026-13-01 00:00:00", b"2026-11-24 10:00:00", b"\xff", 5])
COUNTS = st.integers(-1, 6) | st.sampled_from([None, "many", 1.5, b"1", 2**40])
ERRORS = st.sampled_from(["timeout", "Timeout", "a\nb", "x" * 300, "x" * 200 + "y", "ü" * 201, ""])
ROWS = st.tuples(
    ERRORS | st.sampled_from([b"\xff\xfe", None]),
    INSTANTS | JUNK | st.none(),
    COUNTS,
    st.none() | INSTANTS | JUNK,
    st.none() | OFFSETS,
    st.booleans(),
)
CONFIGS = st.builds(
    DlqReplayConfig,
    max_retries=st.integers(1, 6),
    min_age=st.sampled_from([0, 5, 10**6]),
    backoff=st.sampled_from(
        [
            BackoffStrategy.fixed(0),
            BackoffStrategy.fixed(10),
            BackoffStrategy.exponential(10, 10**6),
        ]
    ),
)


def make(path: Path, rows: list[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(LAX_TABLE)
        connection.execute("PRAGMA synchronous=OFF")
        queue = DeadLetterQueue(connection)
        queue.add_many([])
        for error, failed_at, count, last, not_before, is_stale in rows:
            until = None if not_before is None else NOW_US + not_before // timedelta(microseconds=1)
            left = (None, None) if until is None else (-7 if is_stale else count, last)
            connection.execute(INSERT, (error, failed_at, count, last, until, *left))
        # A text that is no UTF-8 can come in only as a cast.
        connection.execute(
            "UPDATE dead_letter_queue SET error_message = CAST(x'ff41' AS TEXT) "
            "WHERE typeof(error_message) = 'blob'"
        )
        connection.commit()


def instant_of(text: bytes, kind: bytes) -> datetime | None:
    """The instant of a stored value, None where it is no timestamp."""
    if kind != b"text" or not re.fullmatch(rb"\d{4}-\d\d-\d\d[ T].*", text):
        return None
    try:
        instant = datetime.fromisoformat(text.decode())
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def due_at(row: sqlite3.Row, base: datetime, config: DlqReplayConfig) -> datetime:
    unchanged = (row["retry_count"], row["last_retry_at"]) == (
        row["azoth_not_before_count"],
        row["azoth_not_before_retry_at"],
    )
    if row["azoth_not_before"] is not None and unchanged:
        return EPOCH + timedelta(microseconds=row["azoth_not_before"])
    delay: timedelta = config.backoff.calculate(row["retry_count"])
    return base + max(config.min_age, delay)


def _rows_of(path: Path) -> tuple[list[sqlite3.Row], int]:
    """The dead letters, and how many permanent failures there are."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        connection.text_factory = bytes
        rows = connection.execute(SELECT).fetchall()
        return rows, connection.execute("SELECT count(*) FROM permanent_failures").fetchone()[0]


def recount(path: Path, config: DlqReplayConfig) -> Status:
    """Count again, row by row, with nothing but `datetime`."""
    counts: Counter[str] = Counter()
    retries: Counter[int] = Counter()
    errors: Counter[str | None] = Counter()
    failures, due_failures, due_later = [], [], []
    rows, parked = _rows_of(path)
    for row in rows:
        text = row["azoth_last_error"] or row["error_message"]
        errors[None if text is None else text.decode("utf-8", "replace")[:200]] += 1
        count = row["retry_count"]
        if isinstance(count, int):
            retries[count] += 1
        failed = instant_of(row["failed_at"], row["failed_type"])
        last = instant_of(row["last_retry_at"], row["last_type"])
        if failed is not None:
            failures.append(failed)
        has_bad_last = row["last_retry_at"] is not None and last is None
        readable = failed is not None and not has_bad_last
        base = last or failed
        if readable and base is not None and base > NOW:
            counts["ahead"] += 1
        if not readable or base is None or not isinstance(count, int) or count < 0:
            counts["unreadable"] += 1
        elif count >= config.max_retries:
            counts["exhausted"] += 1
        elif (due := due_at(row, base, config)) <= NOW:
            counts["due"] += 1
            due_failures.append(failed)
        else:
            counts["not_due"] += 1
            due_later.append(due)
    states: dict[str, Any] = {name: counts[name] for name in STATES}
    ranking = sorted(errors.items(), key=lambda item: (-item[1], (item[0] or "").encode()))
    return Status(
        at=NOW,
        dead_letters=len(rows),
        next_due=min(due_later, default=None),
        oldest_age=age(failures),
        oldest_due_age=age([failed for failed in due_failures if failed is not None]),
        by_retry_count=dict(sorted(retries.items())),
        by_error=[(error or "", number) for error, number in ranking[:COMMONEST_ERRORS]],
        permanent_failures=parked,
        draining=[],
        stopped_at=None,
        **states,
    )


def timestamps(path: Path) -> int:
    """How many `failed_at` there are that are some."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory, connection.text_factory = sqlite3.Row, bytes
        rows = connection.execute(SELECT).fetchall()
    return sum(instant_of(row["failed_at"], row["failed_type"]) is not None for row in rows)


def age(instants: list[datetime]) -> timedelta | None:
    return max(NOW - min(instants), timedelta(0)) if instants else None


def look_at(path: Path, config: DlqReplayConfig) -> Status:
    with closing(open_for_looking(path)) as connection:
        return look(SqliteStore(connection), config, NOW_US)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, max_size=25), config=CONFIGS, chunk=st.sampled_from([1, 3, 10_000]))
def test_the_figures_equal_a_slow_recount(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[Any, ...]],
    config: DlqReplayConfig,
    chunk: int,
) -> None:
    path = tmp_path_factory.mktemp("status") / "letters.db"
    make(path, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(status_module, "_CHUNK", chunk)
        found = look_at(path, config)
    assert replace(found, failures=None, by_group=[]) == recount(path, config)
    assert len(found.by_group) == COMMONEST_GROUPS or found.dead_letters == sum(
        group.count for group in found.by_group
    )
    line = found.failures
    assert line is None or sum(line.dead_letters) + line.beyond == timestamps(path)


def test_a_file_of_the_rust_crate_is_counted_as_it_is() -> None:
    from tests.conftest import DATA  # noqa: PLC0415 -- needed here alone

    with closing(open_for_looking(DATA / "azoth-0.2.5.db")) as connection:
        status = look(SqliteStore(connection), DlqReplayConfig(), NOW_US)
    assert status.dead_letters == 5000
    assert sum(number for _, number in status.by_error) == 5000
    assert status.by_retry_count == {0: 4500, 1: 500}


def test_each_letter_is_in_one_of_four_states(tmp_path: Path) -> None:
    path = tmp_path / "letters.db"
    good = "2026-11-24 10:00:00"
    make(
        path,
        [
            ("e", good, 0, None, None, False),
            ("e", good, 0, "2026-11-24 11:59:59", None, False),
            ("e", good, 5, None, None, False),
            ("e", "?", 0, None, None, False),
        ],
    )
    status = look_at(path, DlqReplayConfig())
    assert (status.due, status.not_due, status.exhausted, status.unreadable) == (1, 1, 1, 1)
    assert status.dead_letters == 4


def test_a_missing_table_counts_as_empty(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "none.db").close()
    with closing(open_for_looking(tmp_path / "none.db")) as connection:
        assert look(SqliteStore(connection), DlqReplayConfig(), NOW_US) == Status(at=NOW)


def test_a_letter_that_is_never_due_is_next_at_the_end_of_time(tmp_path: Path) -> None:
    make(tmp_path / "letters.db", [("e", "2026-11-24 10:00:00", 0, None, None, False)])
    status = look_at(tmp_path / "letters.db", DlqReplayConfig(min_age=10**12))
    assert status.next_due == datetime.max.replace(tzinfo=UTC)
    assert status.as_dict()["next_due"] == "9999-12-31T23:59:59.999999Z"


def test_a_locked_file_is_a_storage_error(tmp_path: Path) -> None:
    path = tmp_path / "letters.db"
    make(path, [])
    with closing(open_for_looking(path)) as connection:
        connection.execute("PRAGMA busy_timeout = 0")
        store = SqliteStore(connection)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StorageError, match="locked by another program"):
                look(store, DlqReplayConfig(), NOW_US)


def test_the_document_is_ready_for_json() -> None:
    status = Status(
        at=NOW,
        dead_letters=2,
        due=1,
        not_due=1,
        next_due=NOW + timedelta(seconds=1),
        oldest_age=timedelta(seconds=90, microseconds=5),
        by_retry_count={0: 1, 3: 1},
        by_error=[("a\nb", 2)],
        draining=[Drainer(host="web-1", pid=4711, since=NOW - timedelta(seconds=3), in_hand=2)],
        stopped_at=NOW - timedelta(hours=1),
    )
    document = status.as_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["at"] == "2026-11-24T12:00:00.123456Z"
    assert document["next_due"] == "2026-11-24T12:00:01.123456Z"
    assert (document["oldest_age"], document["oldest_due_age"]) == (90.000005, None)
    assert document["by_retry_count"] == {"0": 1, "3": 1}
    assert document["by_error"] == [{"error": "a\nb", "letters": 2}]
    since = "2026-11-24T11:59:57.123456Z"
    assert document["draining"] == [{"host": "web-1", "pid": 4711, "since": since, "in_hand": 2}]
    assert document["stopped_at"] == "2026-11-24T11:00:00.123456Z"


def test_all_figures_are_of_one_instant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "letters.db"
    with DeadLetterQueue.open(path) as queue, DeadLetterQueue.open(path) as other:
        queue.add(1, b"ok:", "boom")
        figures = queue.store.figures

        def park_meanwhile(errors: int) -> Figures:
            other.connection.execute(
                "INSERT INTO permanent_failures (event_id, event_bytes, error_message, failed_at, "
                "retry_count) SELECT event_id, event_bytes, error_message, failed_at, 5 "
                "FROM dead_letter_queue"
            )
            other.clear()
            return figures(errors)

        monkeypatch.setattr(queue.store, "figures", park_meanwhile)
        status = look(queue.store, DlqReplayConfig(), clock.now())
    assert (status.dead_letters, status.permanent_failures) == (1, 0)
