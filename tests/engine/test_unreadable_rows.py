"""Rows that cannot be read are parked with the reason, their columns as they were."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue
from tests.conftest import Scene
from tests.engine.deaths import die_in_the_handler_of
from tests.kernels.vectors import load

COLUMNS = "event_id, event_bytes, error_message, failed_at, retry_count"
_GOOD: dict[str, Any] = {
    "event_id": 7,
    "event_bytes": b"ok:payload",
    "error_message": "boom",
    "failed_at": "2026-11-24 10:00:00",
    "retry_count": 0,
    "last_retry_at": None,
}
UNREADABLE: list[tuple[str, Any, str]] = [
    ("retry_count", "many", "retry_count is no integer but 'many'"),
    ("retry_count", b"\x01", "retry_count is no integer but b'\\x01'"),
    ("retry_count", 1.5, "retry_count is no integer but 1.5"),
    ("retry_count", -1, "retry_count is negative (-1)"),
    ("retry_count", -(2**63), "retry_count is negative (-9223372036854775808)"),
    ("failed_at", "yesterday", "failed_at is no timestamp but 'yesterday'"),
    ("failed_at", "", "failed_at is no timestamp but ''"),
    ("failed_at", b"2026-11-24 10:00:00", "failed_at is no timestamp but b'2026"),
    ("last_retry_at", "2026-13-01 00:00:00", "last_retry_at is no timestamp but '2026-13-01"),
    ("last_retry_at", b"2026-11-24 10:00:00", "last_retry_at is no timestamp but b'2026"),
    ("event_bytes", 5, "event_bytes is of type INTEGER"),
    ("event_bytes", 5.5, "event_bytes is of type REAL"),
    ("event_id", "seven", "event_id is of type TEXT"),
    ("event_id", b"7", "event_id is of type BLOB"),
    ("event_id", 7.5, "event_id is of type REAL"),
]
UNREADABLE_WITHOUT_NOT_NULL: list[tuple[str, Any, str]] = [
    ("retry_count", None, "retry_count is no integer but None"),
    ("retry_count", "0", "retry_count is no integer but '0'"),
    ("failed_at", None, "failed_at is no timestamp but None"),
    ("failed_at", 1795491960, "failed_at is no timestamp but 1795491960"),
    ("last_retry_at", 0, "last_retry_at is no timestamp but 0"),
    ("last_retry_at", 1.5, "last_retry_at is no timestamp but 1.5"),
    ("event_bytes", None, "event_bytes is of type NULL"),
    ("event_id", None, "event_id is of type NULL"),
    ("event_id", "7", "event_id is of type TEXT"),
]


def _insert(scene: Scene, **columns: Any) -> int:
    row = _GOOD | columns
    marks = ", ".join("?" * len(row))
    cursor = scene.conn.execute(
        f"INSERT INTO dead_letter_queue ({', '.join(row)}) VALUES ({marks})",  # noqa: S608 -- own names
        tuple(row.values()),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _columns(scene: Scene, table: str, where: str, letter_id: int) -> tuple[Any, ...]:
    typed = ", ".join(f"typeof({name}), {name}" for name in COLUMNS.split(", "))
    row: tuple[Any, ...] = scene.conn.execute(
        f"SELECT {typed} FROM {table} WHERE {where} = ?",  # noqa: S608 -- own names
        (letter_id,),
    ).fetchone()
    return row


@pytest.fixture
def loose_scene(tmp_path: Path) -> Iterator[Scene]:
    """A file whose table was made by hand, without types and NOT NULL."""
    path = tmp_path / "by-hand.db"
    made = sqlite3.connect(path)
    made.execute(
        f"CREATE TABLE dead_letter_queue (id INTEGER PRIMARY KEY, {COLUMNS}, last_retry_at)"
    )
    made.close()
    with DeadLetterQueue.open(path) as queue:
        yield Scene(queue, path)


def _assert_parked(scene: Scene, column: str, value: Any, reason: str) -> Iterator[Any]:
    """The pairs of types and values, before and after."""
    before = scene.letter()
    bad = _insert(scene, **{column: value})
    after = scene.letter()
    was = _columns(scene, "dead_letter_queue", "id", bad)
    report = scene.drain()
    assert scene.calls == [before, after]
    assert (report.succeeded, report.attempted) == (2, 2)
    assert (report.parked, report.unreadable, report.exhausted) == (1, 1, 0)
    assert list(scene.parked()) == [bad]
    assert scene.parked()[bad].startswith(f"unreadable: {reason}")
    assert scene.left() == []
    is_now = _columns(scene, "permanent_failures", "azoth_dead_letter_id", bad)
    return zip(_pairs(was), _pairs(is_now), strict=True)


def _pairs(row: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    return list(zip(row[::2], row[1::2], strict=True))


@pytest.mark.parametrize(("column", "value", "reason"), UNREADABLE)
def test_an_unreadable_row_is_parked_with_its_columns(
    scene: Scene, column: str, value: Any, reason: str
) -> None:
    for was, is_now in _assert_parked(scene, column, value, reason):
        assert is_now == was


@pytest.mark.parametrize(("column", "value", "reason"), UNREADABLE_WITHOUT_NOT_NULL + UNREADABLE)
def test_an_unreadable_row_of_a_table_made_by_hand_is_parked(
    loose_scene: Scene, column: str, value: Any, reason: str
) -> None:
    """The types of `permanent_failures` may turn '7' into 7."""
    for (_, was), (_, is_now) in _assert_parked(loose_scene, column, value, reason):
        assert was is None or str(is_now) == str(was)


def test_the_time_of_the_last_try_is_copied_as_it_is(scene: Scene) -> None:
    bad = _insert(scene, last_retry_at="never")
    scene.drain()
    [parked] = scene.queue.permanent_failures()
    assert (parked.dead_letter_id, parked.last_retry_at) == (bad, "never")


def test_every_text_that_is_no_timestamp_parks_and_every_other_is_read(scene: Scene) -> None:
    bad = {}
    good = set()
    for vector in load("timestamps"):
        text = vector["text"]
        letter = _insert(scene, failed_at=text)
        if vector["epoch_us"] is None:
            bad[letter] = text
        else:
            good.add(letter)
    assert len(bad) > 50
    assert len(good) > 20
    report = scene.drain(now=True)
    assert set(scene.parked()) == set(bad)
    assert (report.succeeded, report.unreadable) == (len(good), len(bad))
    stored = scene.conn.execute("SELECT azoth_dead_letter_id, failed_at FROM permanent_failures")
    assert dict(stored.fetchall()) == bad


def test_a_bad_row_is_parked_whether_due_or_not_and_beyond_a_batch(scene: Scene) -> None:
    bad = [_insert(scene, retry_count=-1) for _ in range(3)]
    scene.letter()
    report = scene.replay(batch_size=1).run_replay_cycle()
    assert (report.succeeded, report.unreadable) == (1, 3)
    assert list(scene.parked()) == bad[::-1]


def test_more_bad_rows_than_one_statement_takes_are_all_parked(scene: Scene) -> None:
    for _ in range(1234):
        _insert(scene, failed_at="?")
    assert scene.drain().unreadable == 1234
    assert scene.left() == []
    assert scene.queue.permanent_failure_count() == 1234


def test_others_get_at_the_file_between_the_bad_rows_of_two_statements(scene: Scene) -> None:
    for _ in range(1234):
        _insert(scene, failed_at="?")
    ended: list[str] = []
    scene.conn.set_trace_callback(lambda text: ended.append(text.split()[0]))
    assert scene.drain(max_transaction_time=1e-6).unreadable == 1234
    assert ended.count("COMMIT") == 3


def test_a_long_value_is_shown_by_its_beginning(scene: Scene) -> None:
    bad = _insert(scene, failed_at="x" * 100_000)
    scene.drain()
    assert scene.parked()[bad] == f"unreadable: failed_at is no timestamp but '{'x' * 59}…"


def test_a_row_mended_after_it_was_planned_is_not_parked(scene: Scene) -> None:
    """Another program may write between the look at the table and the first group."""
    bad = [_insert(scene, failed_at="?") for _ in range(2)]
    other = sqlite3.connect(str(scene.path), isolation_level=None)

    def mend(statement: str) -> None:
        if statement.startswith("BEGIN IMMEDIATE") and mended == []:
            mended.append(bad[0])
            scene.conn.set_trace_callback(None)
            other.execute(
                "UPDATE dead_letter_queue SET failed_at = '2026-11-24 10:00:00' WHERE id = ?",
                (bad[0],),
            )

    mended: list[int] = []
    scene.conn.set_trace_callback(mend)
    report = scene.drain()
    other.close()
    assert mended == [bad[0]]
    assert (report.unreadable, report.skipped, report.remaining) == (1, 1, 0)
    assert scene.left() == [bad[0]]


def test_one_line_of_the_log_says_how_many_could_not_be_read(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for column, value, _ in UNREADABLE:
        _insert(scene, **{column: value})
    with caplog.at_level(logging.ERROR, logger="azoth_dlq"):
        scene.drain()
    counts = [r.getMessage() for r in caplog.records if "could not be read" in r.getMessage()]
    assert counts == [f"letters that could not be read, and were parked: {len(UNREADABLE)}"]


def test_a_drain_that_ends_by_an_interrupt_says_how_many_could_not_be_read(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    scene.registry.register("interrupts", interrupt)
    scene.letter("interrupts")
    _insert(scene, failed_at="?")
    with caplog.at_level(logging.ERROR, logger="azoth_dlq"), pytest.raises(KeyboardInterrupt):
        scene.drain()
    assert caplog.messages[-1] == "letters that could not be read, and were parked: 1"


def test_no_line_of_the_log_counts_unreadable_rows_where_there_are_none(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.letter()
    with caplog.at_level(logging.DEBUG, logger="azoth_dlq"):
        scene.drain()
    assert not [r for r in caplog.records if "could not be read" in r.getMessage()]


# What is no reason to park


def test_event_bytes_stored_as_text_are_taken_as_utf8(scene: Scene) -> None:
    payloads: list[bytes] = []
    scene.registry.register("text", lambda _conn, _event_id, payload: payloads.append(payload))
    scene.letter("", event_bytes="text:grüße")
    assert scene.drain().succeeded == 1
    assert payloads == ["grüße".encode()]
    assert type(payloads[0]) is bytes


def test_long_event_bytes_stored_as_text_are_taken_too(scene: Scene) -> None:
    payloads: list[bytes] = []
    scene.registry.register("text", lambda _conn, _event_id, payload: payloads.append(payload))
    scene.letter("", event_bytes="text:" + "x" * 100_000)
    assert scene.drain().succeeded == 1
    assert payloads == [b"x" * 100_000]


def test_empty_event_bytes_are_a_failure_not_unreadable(scene: Scene) -> None:
    letter = scene.letter("", event_bytes=b"")
    report = scene.drain()
    assert (report.failed, report.unreadable) == (1, 0)
    failed = scene.queue.get(letter)
    assert failed is not None
    assert "EventDecodeError" in str(failed.last_error)


def test_error_text_that_is_not_utf8_is_read_with_replacement_and_replayed(
    any_scene: Scene,
) -> None:
    letter = any_scene.letter()
    any_scene.conn.execute("UPDATE dead_letter_queue SET error_message = CAST(x'62FF64' AS TEXT)")
    any_scene.conn.commit()
    read = any_scene.queue.get(letter)
    assert read is not None
    assert read.error_message == "b\N{REPLACEMENT CHARACTER}d"
    assert any_scene.drain().succeeded == 1


def test_error_text_that_is_not_utf8_is_parked_byte_by_byte(scene: Scene) -> None:
    scene.letter(retry_count=9)
    scene.conn.execute("UPDATE dead_letter_queue SET error_message = CAST(x'62FF64' AS TEXT)")
    scene.drain()
    stored = "SELECT CAST(error_message AS BLOB), typeof(error_message) FROM permanent_failures"
    assert scene.conn.execute(stored).fetchone() == (b"b\xffd", "text")
    [parked] = scene.queue.permanent_failures()
    assert parked.error_message == "b\N{REPLACEMENT CHARACTER}d"


def test_an_error_message_that_is_null_is_no_reason_to_park(loose_scene: Scene) -> None:
    letter = _insert(loose_scene, error_message=None)
    assert loose_scene.drain().succeeded == 1
    assert loose_scene.left() == []
    assert loose_scene.queue.get(letter) is None


def test_a_letter_whose_count_cannot_be_read_is_charged_with_no_death(scene: Scene) -> None:
    scene.letter()
    scene.drain()
    letter = scene.letter()
    die_in_the_handler_of(scene, letter)
    scene.conn.execute("UPDATE dead_letter_queue SET retry_count = 'many'")
    report = scene.drain()
    assert (report.failed, report.unreadable, list(scene.parked())) == (0, 1, [letter])
