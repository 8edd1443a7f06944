"""What the log and the counters tell of a drain."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

import pytest

from azoth_dlq import DlqMetricsSnapshot, NonRetryable, Snooze
from tests.conftest import Scene

CARD = "4111-1111-1111-1111"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[int], list[str]]:
    """Messages of a level."""
    caplog.set_level(logging.DEBUG, logger="azoth_dlq")

    def messages(level: int) -> list[str]:
        return [r.getMessage() for r in caplog.records if r.levelno == level]

    return messages


def test_a_success_is_logged_at_debug(scene: Scene, log: Callable[[int], list[str]]) -> None:
    letters = [scene.letter() for _ in range(2)]
    scene.drain()
    assert log(logging.DEBUG) == [f"letter {letter}: replayed" for letter in letters]
    assert log(logging.WARNING) == log(logging.ERROR) == []


def test_a_failure_is_logged_as_a_warning(scene: Scene, log: Callable[[int], list[str]]) -> None:
    letter = scene.letter("fails", retry_count=1)
    scene.drain()
    assert log(logging.WARNING) == [
        f"letter {letter}: attempt 2 failed: ValueError: event {letter} failed"
    ]
    assert log(logging.ERROR) == []


def test_a_parked_letter_is_logged_as_an_error(
    scene: Scene, log: Callable[[int], list[str]]
) -> None:
    last = scene.letter("fails", retry_count=4)
    exhausted = scene.letter(retry_count=5)
    scene.drain(max_retries=5)
    reasons = scene.parked()
    assert log(logging.ERROR) == [
        f"letter {exhausted}: parked: {reasons[exhausted]}",
        f"letter {last}: parked: {reasons[last]}",
    ]
    assert log(logging.WARNING) == []


def test_a_drain_is_one_line_of_info(scene: Scene, log: Callable[[int], list[str]]) -> None:
    scene.letter()
    scene.letter("fails")
    report = scene.drain(max_transaction_time=1e-6)
    assert log(logging.INFO) == [str(report)]
    assert "2 attempted (1 succeeded, 1 failed)" in str(report)


def test_an_error_of_several_lines_is_one_line_of_the_log(
    scene: Scene, log: Callable[[int], list[str]]
) -> None:
    def forge(*_args: object) -> None:
        raise ValueError("x\nERROR forged\r\x1b[2J\x9b")

    scene.registry.register("forges", forge)
    scene.letter("forges")
    scene.drain()
    [warning] = log(logging.WARNING)
    assert warning.endswith(r"ValueError: x\x0aERROR forged\x0d\x1b[2J\x9b")


def test_payloads_never_get_into_the_log(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever becomes of their letters."""

    def raising(error: BaseException) -> Callable[..., None]:
        def handle(conn: sqlite3.Connection, _event_id: int, payload: bytes) -> None:
            conn.execute("INSERT INTO effects VALUES (1)")
            assert CARD.encode() in payload
            raise error

        return handle

    scene.registry.register("never", raising(NonRetryable("gone")))
    scene.registry.register("snoozes", raising(Snooze(1)))
    scene.registry.register("errs", raising(ValueError("it failed")))
    caplog.set_level(logging.DEBUG)
    for kind in ("ok", "never", "snoozes", "errs", "unknown"):
        scene.letter("", event_bytes=f"{kind}:{CARD}".encode())
        scene.letter("", event_bytes=f"{kind}:{CARD}".encode(), retry_count=9)
    scene.letter("", event_bytes=CARD.encode())
    scene.letter("", event_bytes=f"errs:{CARD}".encode() + b"\xff")
    scene.letter("", event_bytes=f"errs:{CARD}", failed_at="?")
    scene.letter("", event_bytes=f"errs:{CARD}", event_id=None, retry_count=-1)
    scene.drain()
    assert len(caplog.records) > 10
    for record in caplog.records:
        assert CARD not in record.getMessage()
        assert CARD not in str(record.__dict__)


def test_only_what_was_committed_is_logged(scene: Scene, log: Callable[[int], list[str]]) -> None:
    """The group is lost once, and done again."""

    def roll_back(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        conn.execute("CREATE TABLE once (x UNIQUE)")
        conn.execute("INSERT INTO once VALUES (1)")
        conn.execute("INSERT OR ROLLBACK INTO once VALUES (1)")

    def never(*_args: object) -> None:
        raise NonRetryable("gone")

    scene.registry.register("rogue", roll_back)
    scene.registry.register("never", never)
    good = scene.letter()
    scene.letter("fails")
    scene.letter("never")
    scene.letter("rogue")
    scene.drain()
    assert log(logging.DEBUG) == [f"letter {good}: replayed"]
    assert len(log(logging.WARNING)) == 2
    assert len(log(logging.ERROR)) == 1


def test_a_drain_in_which_nothing_happened_says_so_once(
    scene: Scene, log: Callable[[int], list[str]]
) -> None:
    scene.drain()
    assert len(log(logging.INFO)) == 1


# Counters


def test_the_counters_add_up_over_drains(scene: Scene) -> None:
    def snooze(*_args: object) -> None:
        raise Snooze(0)

    scene.registry.register("snoozes", snooze)
    replayer = scene.replay(max_retries=2)
    assert replayer.metrics.snapshot() == DlqMetricsSnapshot()
    for kind in ("ok", "ok", "fails", "snoozes"):
        scene.letter(kind)
    scene.letter(retry_count=2)
    replayer.drain()
    assert replayer.metrics.snapshot() == DlqMetricsSnapshot(
        successes=2,
        failures=1,
        snoozed=1,
        permanent_failures=1,
        last_check=scene.clock.now // 1_000_000,
    )
    scene.clock.move(hours=1)
    replayer.run_replay_cycle()
    assert replayer.metrics.snapshot() == DlqMetricsSnapshot(
        successes=2,
        failures=2,
        snoozed=2,
        permanent_failures=2,
        last_check=scene.clock.now // 1_000_000,
    )


def test_permanent_failures_are_counted_and_cleared_through_the_replayer(scene: Scene) -> None:
    scene.letter(retry_count=9)
    scene.letter(retry_count=9)
    replayer = scene.replay()
    replayer.drain()
    assert replayer.permanent_failure_count() == 2
    assert replayer.clear_permanent_failures() == 2
    assert replayer.permanent_failure_count() == 0
