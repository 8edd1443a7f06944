"""What the log and the counters tell of a drain."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

import pytest

from azoth_dlq import DlqMetricsSnapshot, EventHandlerRegistry, NonRetryable, Snooze
from tests.conftest import Scene
from tests.engine.lost_groups import roll_back_by_conflict

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
    letter = scene.letter("fails", retry_count=1, event_id=42)
    scene.drain()
    [warning] = log(logging.WARNING)
    assert warning == (
        f"letter {letter} (event 42): attempt 2 of 5 failed in tests.conftest.Scene._fails: "
        "ValueError: event 42 failed"
    )
    assert log(logging.ERROR) == []


def test_a_parked_letter_is_logged_as_an_error(
    scene: Scene, log: Callable[[int], list[str]]
) -> None:
    last = scene.letter("fails", retry_count=4)
    exhausted = scene.letter(retry_count=5)
    scene.drain(max_retries=5)
    unattempted, attempted = log(logging.ERROR)
    assert unattempted == f"letter {exhausted}: parked: {scene.parked()[exhausted]}"
    assert attempted == (
        f"letter {last} (event {last}): attempt 5 of 5 failed in tests.conftest.Scene._fails, "
        f"parked: ValueError: event {last} failed"
    )
    assert log(logging.WARNING) == []


def test_an_event_without_a_handler_is_logged_as_a_failure_in_none(
    scene: Scene, log: Callable[[int], list[str]]
) -> None:
    letter = scene.letter("unknown")
    scene.drain()
    [warning] = log(logging.WARNING)
    begin = f"letter {letter} (event {letter}): attempt 1 of 5 failed: EventDecodeError: unknown"
    assert warning.startswith(begin)
    assert log(logging.DEBUG) == []


@pytest.mark.parametrize("message", ["rates are late", ""])
def test_a_snooze_is_logged_with_its_message(
    scene: Scene, log: Callable[[int], list[str]], message: str
) -> None:
    def waits(*_args: object) -> None:
        raise Snooze(0.5, message)

    scene.registry.register("waits", waits)
    letter = scene.letter("waits", event_id=42)
    scene.drain()
    told, _report = log(logging.INFO)
    assert told.startswith(f"letter {letter} (event 42): snoozed for 0.5 s in {__name__}.")
    assert told.endswith(f"waits: Snooze: {message}" if message else "waits: Snooze")


def test_frames_of_a_failure_are_logged_at_debug(
    scene: Scene, log: Callable[[int], list[str]]
) -> None:
    def debits(*_args: object) -> None:
        raise ValueError("no such account")

    scene.registry.register("debits", debits)
    letter = scene.letter("debits")
    scene.drain()
    [told] = log(logging.DEBUG)
    first, *frames, last = told.splitlines()
    assert first == f"letter {letter} (event {letter}): Traceback (most recent call last):"
    assert last == "ValueError: no such account"
    line = debits.__code__.co_firstlineno + 1
    assert frames[-1] == f'  File "{__file__}", line {line}, in {debits.__qualname__}'


def test_frames_of_a_failing_route_are_logged_at_debug(
    scene: Scene, log: Callable[[int], list[str]]
) -> None:
    def lost(_event_bytes: bytes) -> tuple[str, bytes]:
        raise KeyError

    scene.registry = EventHandlerRegistry(route=lost)
    scene.letter()
    scene.drain()
    [told] = log(logging.DEBUG)
    assert told.endswith("<locals>.lost\nKeyError")


def test_a_deep_failure_is_logged_by_its_innermost_frames(
    scene: Scene, log: Callable[[int], list[str]]
) -> None:
    def descend(depth: int) -> None:
        if depth == 0:
            raise ValueError("deep")
        descend(depth - 1)

    scene.registry.register("deep", lambda *_args: descend(300))
    scene.letter("deep")
    scene.drain()
    [told] = log(logging.DEBUG)
    _, left_out, *frames, _ = told.splitlines()
    assert int(left_out.strip(" ()").split()[0]) + len(frames) > 300
    assert f"line {descend.__code__.co_firstlineno + 2}, in" in frames[-1]


def test_names_in_a_failures_frames_cannot_forge_lines_of_the_log(
    scene: Scene, log: Callable[[int], list[str]]
) -> None:
    source = "def evil(*_args): raise ValueError"
    names: dict[str, Callable[..., None]] = {}
    exec(compile(source, "x\nERROR forged\x1b[2J", "exec"), names)  # noqa: S102 -- for its name
    scene.registry.register("evil", names["evil"])
    scene.letter("evil")
    scene.drain()
    [told] = log(logging.DEBUG)
    assert told.splitlines()[-2:] == [
        r'  File "x\x0aERROR forged\x1b[2J", line 1, in evil',
        "ValueError",
    ]


def test_frames_are_not_looked_at_where_nobody_wants_them(
    scene: Scene, log: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[object] = []
    for look in ("frame_line", "traceback_text"):
        monkeypatch.setattr(f"azoth_dlq.engine.failure.{look}", looked_at.append)
    logging.getLogger("azoth_dlq").setLevel(logging.INFO)
    scene.letter("fails")
    assert scene.drain(history_limit=0).failed == 1
    assert len(log(logging.WARNING)) == 1
    assert not looked_at


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

    def never(*_args: object) -> None:
        raise NonRetryable("gone")

    scene.registry.register("rogue", roll_back_by_conflict)
    scene.registry.register("never", never)
    good = scene.letter()
    scene.letter("fails")
    scene.letter("never")
    scene.letter("rogue")
    scene.drain()
    replayed, *tracebacks = log(logging.DEBUG)
    assert replayed == f"letter {good}: replayed"
    assert len(tracebacks) == 2
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
