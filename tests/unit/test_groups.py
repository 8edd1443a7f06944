"""Groups of letters as programs get them."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import ConfigError, DeadLetterQueue, LetterGroup
from azoth_dlq.kernels.templates import fingerprint

INSERT = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at, retry_count) "
    "VALUES (?, ?, ?, ?, ?)"
)
PARK = (
    "INSERT INTO permanent_failures (event_id, event_bytes, error_message, failed_at, retry_count) "
    "VALUES (?, ?, ?, ?, ?)"
)
AT = "2026-11-24 10:00:00"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[DeadLetterQueue]:
    with DeadLetterQueue.open(tmp_path / "letters.db") as opened:
        opened.add(1, b"", "")
        opened.clear()
        yield opened


def insert(queue: DeadLetterQueue, *errors: Any, statement: str = INSERT, **columns: Any) -> None:
    row = {"event_bytes": b"ok:x", "failed_at": AT, "retry_count": 0} | columns
    for error in errors:
        values = (7, row["event_bytes"], error, row["failed_at"], row["retry_count"])
        queue.connection.execute(statement, values)
    queue.connection.commit()


def test_an_empty_queue_has_no_groups(queue: DeadLetterQueue) -> None:
    assert queue.groups() == []
    assert queue.groups(parked=True) == []


def test_a_group_tells_all_of_its_letters(queue: DeadLetterQueue) -> None:
    insert(queue, "timeout after 5 ms", "timeout after 1m", retry_count=2)
    insert(queue, "timeout after 7s", failed_at="2026-11-25T01:00:00+01:00", event_bytes=b"no:x")
    insert(queue, "no such account")
    timeouts, other = queue.groups()
    assert timeouts == LetterGroup(
        fingerprint=fingerprint("timeout after 1 s"),
        template="timeout after <num>",
        count=3,
        share=0.75,
        example_id=4,
        example="timeout after 7s",
        first_seen=datetime(2026, 11, 24, 10, tzinfo=UTC),
        last_seen=datetime(2026, 11, 25, tzinfo=UTC),
        retry_counts={0: 1, 2: 2},
        event_types={"ok": 2, "no": 1},
    )
    assert (other.template, other.count, other.share) == ("no such account", 1, 0.25)


def test_most_letters_come_first_then_fingerprints(queue: DeadLetterQueue) -> None:
    insert(queue, *["c", "b", "a", "d", "d"])
    expected = ["d", *sorted("abc", key=fingerprint)]
    assert [group.template for group in queue.groups()] == expected
    assert [group.template for group in queue.groups(2)] == expected[:2]
    assert queue.groups(0) == []


def test_permanent_failures_are_grouped_by_themselves(queue: DeadLetterQueue) -> None:
    insert(queue, "alive")
    insert(queue, "gone 1", "gone 2", statement=PARK)
    (group,) = queue.groups(parked=True)
    assert (group.template, group.count, group.share) == ("gone <num>", 2, 1.0)


def test_times_that_cannot_be_read_are_left_out(queue: DeadLetterQueue) -> None:
    insert(queue, "boom", failed_at="yesterday")
    (group,) = queue.groups()
    assert (group.first_seen, group.last_seen) == (None, None)
    insert(queue, "boom")
    (group,) = queue.groups()
    assert group.first_seen == group.last_seen == datetime(2026, 11, 24, 10, tzinfo=UTC)


def test_the_commonest_types_are_told(queue: DeadLetterQueue) -> None:
    for number in range(8):
        insert(queue, *["boom"] * (number + 1), event_bytes=b"type%d:x" % number)
    (group,) = queue.groups()
    assert group.event_types == {f"type{n}": n + 1 for n in (7, 6, 5, 4, 3)}


@pytest.mark.parametrize("error", [b"\xff\x001", "a\0b", 7, 1.5, "x" * 10**6, "é" * 3000])
def test_whatever_stands_for_an_error_is_grouped(queue: DeadLetterQueue, error: Any) -> None:
    insert(queue, error)
    queue.connection.execute(
        "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
        "VALUES (1, x'', CAST(x'ff1b' AS TEXT), '')"
    )
    queue.connection.commit()
    assert sum(group.count for group in queue.groups()) == 2
    assert all(len(group.example.encode()) <= 3 * 4096 for group in queue.groups())


@pytest.mark.parametrize("character", ["x", "é", "超", "\N{PILE OF POO}"])
def test_the_example_of_a_long_error_has_its_template(
    queue: DeadLetterQueue, character: str
) -> None:
    insert(queue, f"a {character * 9000}")
    (group,) = queue.groups()
    assert group.example == group.template
    assert fingerprint(group.example) == group.fingerprint
    assert len(group.example.encode()) > 4092


def test_a_file_of_another_program_is_grouped_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "letters.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE dead_letter_queue (id INTEGER PRIMARY KEY, event_id, event_bytes, "
            "error_message, failed_at, retry_count, last_retry_at)"
        )
        values = "(event_bytes, error_message) VALUES (x'6f6b3a', 'boom 1')"
        connection.execute(f"INSERT INTO dead_letter_queue {values}")
        connection.commit()
        content = path.read_bytes()
        with closing(DeadLetterQueue(connection)) as queue:
            (group,) = queue.groups()
    assert (group.template, group.event_types, group.retry_counts) == ("boom <num>", {"ok": 1}, {})
    assert path.read_bytes() == content


def test_letters_are_streamed_not_held(queue: DeadLetterQueue) -> None:
    insert(queue, *[f"timeout {n} {'x' * 1000}" for n in range(3000)])
    queue.groups()
    tracemalloc.start()
    try:
        queue.groups()
        assert tracemalloc.get_traced_memory()[1] < 200_000  # of three million bytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("limit", [-1, "3", 1.0, True, None])
def test_a_limit_that_is_none_is_refused(queue: DeadLetterQueue, limit: Any) -> None:
    with pytest.raises(ConfigError, match="limit="):
        queue.groups(limit)


def test_parked_is_yes_or_no(queue: DeadLetterQueue) -> None:
    with pytest.raises(ConfigError, match="parked="):
        queue.groups(parked=1)  # type: ignore[arg-type]  # the error under test
