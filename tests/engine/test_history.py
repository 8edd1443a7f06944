"""The history of a letter: what the engine records of each attempt that did not succeed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    EventHandlerRegistry,
    NonRetryable,
    RetryAfter,
    Snooze,
)
from azoth_dlq.types import AttemptRecord
from tests.conftest import NOW, Scene
from tests.engine.lost_groups import add_orphan, refuse_orphans, roll_back_by_conflict

AT_ONCE: dict[str, Any] = {"min_age": 0, "backoff": BackoffStrategy.fixed(0), "max_retries": 99}
BETWEEN = timedelta(minutes=1)


def _raising(scene: Scene, error: Callable[[], BaseException]) -> int:
    def raises(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        raise error()

    scene.registry.register("raises", raises)
    return scene.letter("raises")


def _drained(scene: Scene, letter: int, drains: int = 1, **settings: Any) -> list[AttemptRecord]:
    replayer = scene.replay(**(AT_ONCE | settings))
    for _ in range(drains):
        replayer.drain(now=True)
        scene.clock.move(seconds=BETWEEN.total_seconds())
    return scene.queue.history(letter)


class Refused(Exception):
    """Of this module."""


# What is recorded


def test_a_failure_is_recorded_with_its_type_message_and_frames(any_scene: Scene) -> None:
    letter = _raising(any_scene, lambda: Refused("the account is closed"))
    [attempt] = _drained(any_scene, letter)
    assert (attempt.outcome, attempt.error_type) == ("failed", f"{__name__}.Refused")
    assert attempt.message == "the account is closed"
    assert attempt.at == NOW
    lines = attempt.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == f"{__name__}.Refused: the account is closed"
    assert lines[-2].startswith(f'  File "{__file__}", line ')
    assert lines[-2].endswith("<locals>.raises")
    # Lines of source would be read from files, and may show what nobody is to see.
    assert "raise error()" not in attempt.traceback


def test_a_type_that_is_built_in_has_no_module(scene: Scene) -> None:
    letter = scene.letter("fails")
    [attempt] = _drained(scene, letter)
    assert (attempt.error_type, attempt.message) == ("ValueError", f"event {letter} failed")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RetryAfter(30, "too many"), "failed"),
        (Snooze(30, "too many"), "snoozed"),
    ],
    ids=["RetryAfter", "Snooze"],
)
def test_what_a_handler_asked_for_is_recorded(scene: Scene, error: Exception, outcome: str) -> None:
    letter = _raising(scene, lambda: error)
    [attempt] = _drained(scene, letter)
    assert (attempt.outcome, attempt.message) == (outcome, "too many")
    assert attempt.error_type == f"azoth_dlq.outcomes.{type(error).__name__}"
    assert attempt.traceback.endswith("too many")


def test_attempts_are_told_oldest_first_each_with_its_time(scene: Scene) -> None:
    outcomes: list[Exception] = [ValueError("1"), Snooze(0, "2"), RetryAfter(0, "3")]
    letter = _raising(scene, lambda: outcomes.pop(0))
    attempts = _drained(scene, letter, 3)
    assert [(a.at - NOW) / BETWEEN for a in attempts] == [0, 1, 2]
    assert [a.message for a in attempts] == ["1", "2", "3"]
    assert [a.outcome for a in attempts] == ["failed", "snoozed", "failed"]
    stored = scene.queue.get(letter)
    assert stored is not None
    assert stored.retry_count == 2


@pytest.mark.parametrize("transactional", [True, False], ids=["within", "outside"])
def test_its_duration_is_that_of_the_call(scene: Scene, transactional: bool) -> None:
    calls: list[float] = []

    def slow(*_args: object) -> None:
        began = time.perf_counter()
        time.sleep(0.05)
        calls.append(time.perf_counter() - began)
        raise ValueError("late")

    scene.registry.register("slow", slow, transactional=transactional)
    scene.letter("slow")
    letter = scene.letter("slow")
    [attempt] = _drained(scene, letter)
    assert attempt.duration is not None
    # Not that of both, nor of their group: a busy machine may make either call longer.
    assert calls[1] - 1e-6 <= attempt.duration.total_seconds() < sum(calls)


def test_an_event_without_a_handler_is_recorded_without_frames(scene: Scene) -> None:
    letter = scene.letter("unknown")
    [attempt] = _drained(scene, letter)
    assert attempt.outcome == "failed"
    assert attempt.error_type == "azoth_dlq.errors.EventDecodeError"
    assert "unknown event type" in attempt.message
    # Those would be frames of ours.
    assert "azoth_dlq/registry" not in attempt.traceback.replace("\\", "/")
    assert attempt.traceback == ""


def test_of_a_route_that_raises_the_frames_of_its_own_error_are_recorded(scene: Scene) -> None:
    def route(_event_bytes: bytes) -> tuple[str, bytes]:
        raise KeyError("type")

    scene.registry = EventHandlerRegistry(route=route)
    letter = scene.letter()
    [attempt] = _drained(scene, letter)
    assert attempt.error_type == "azoth_dlq.errors.EventDecodeError"
    assert attempt.traceback.splitlines()[-1] == "KeyError: 'type'"
    assert attempt.traceback.count("Traceback") == 1


def test_what_an_error_was_raised_from_is_recorded_with_it(scene: Scene) -> None:
    def refuse() -> None:
        raise Refused("first")

    def raises(*_args: object) -> None:
        try:
            refuse()
        except Refused as error:
            raise ValueError("second") from error

    scene.registry.register("raises", raises)
    letter = scene.letter("raises")
    [attempt] = _drained(scene, letter)
    assert attempt.traceback.index("Refused: first") < attempt.traceback.index("ValueError: second")
    assert "direct cause" in attempt.traceback


# What is rogue


def test_a_handler_that_tried_to_commit_is_recorded(scene: Scene) -> None:
    def commits(conn: sqlite3.Connection, *_args: object) -> None:
        conn.commit()

    scene.registry.register("commits", commits)
    letter = scene.letter("commits")
    [attempt] = _drained(scene, letter)
    assert attempt.outcome == "failed"
    assert attempt.error_type == "azoth_dlq.errors.InvalidStateError"
    assert "commits" in attempt.message


def test_in_a_group_that_is_done_again_each_attempt_is_recorded_once(scene: Scene) -> None:
    scene.registry.register("loses", roll_back_by_conflict)
    failed = scene.letter("fails")
    culprit = scene.letter("loses")
    report = scene.drain(**AT_ONCE)
    assert report.failed == 2
    assert scene.calls == [failed, failed]
    assert len(scene.queue.history(failed)) == 1
    [attempt] = scene.queue.history(culprit)
    assert (attempt.outcome, attempt.duration) == ("failed", None)
    assert "ended the transaction" in attempt.message


def test_a_letter_that_cannot_be_committed_is_recorded_once(scene: Scene) -> None:
    refuse_orphans(scene)
    scene.registry.register("orphan", add_orphan)
    failed = [scene.letter("fails") for _ in range(4)]
    culprit = scene.letter("orphan")
    scene.drain(**AT_ONCE)
    assert [len(scene.queue.history(letter)) for letter in failed] == [1] * 4
    [attempt] = scene.queue.history(culprit)
    assert "FOREIGN KEY" in attempt.message


class Sender:
    """Of a batch that fails one letter is the culprit."""

    def handle(self, _conn: object, event_id: int, _payload: bytes) -> None:
        if event_id == 2:
            raise Refused("this one")

    def handle_batch(self, _conn: object, _events: Sequence[object]) -> None:
        raise ConnectionError("one of these")


@pytest.mark.parametrize("transactional", [True, False], ids=["within", "outside"])
def test_of_a_batch_the_letters_that_failed_alone_are_recorded(
    scene: Scene, transactional: bool
) -> None:
    scene.registry.register("batch", Sender(), transactional=transactional)
    for _ in range(3):
        scene.letter("batch")
    scene.drain(**AT_ONCE)
    assert scene.left() == [2]
    [attempt] = scene.queue.history(2)
    assert attempt.message == "this one"


def test_an_interrupt_is_no_attempt(scene: Scene) -> None:
    letter = _raising(scene, KeyboardInterrupt)
    failed = scene.letter("fails", failed_at="2026-11-24 09:00:00")
    with pytest.raises(KeyboardInterrupt):
        scene.drain(**AT_ONCE)
    assert scene.queue.history(letter) == []
    assert len(scene.queue.history(failed)) == 1


# Bounds


@pytest.mark.parametrize(
    "message", ["x" * 10**6, "\0" * 5000, "\ud800" * 5000, "é" * 10**5, "a" + "🦀" * 1400]
)
def test_a_message_is_bounded_and_storable(scene: Scene, message: str) -> None:
    letter = _raising(scene, lambda: ValueError(message))
    [attempt] = _drained(scene, letter)
    assert 4000 < len(attempt.message.encode()) <= 4096
    assert attempt.message.endswith("(cut)")
    assert 400 < len(attempt.traceback.encode()) <= 16_384


def test_a_traceback_is_bounded_and_keeps_the_innermost_frames(scene: Scene) -> None:
    def descend(depth: int) -> None:
        if depth == 0:
            raise ValueError("deep")
        descend(depth - 1)

    scene.registry.register("deep", lambda *_args: descend(500))
    letter = scene.letter("deep")
    [attempt] = _drained(scene, letter)
    assert 15_000 < len(attempt.traceback) <= 16_384
    _, left_out, *_, innermost, last = attempt.traceback.splitlines()
    assert "outer frames left out" in left_out
    assert f"line {descend.__code__.co_firstlineno + 2}, in" in innermost
    assert last == "ValueError: deep"


def test_an_error_that_cannot_be_told_is_recorded_all_the_same(scene: Scene) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    letter = _raising(scene, Broken)
    [attempt] = _drained(scene, letter)
    assert attempt.error_type.endswith("Broken")
    assert attempt.message == "(its __str__ raised RuntimeError)"


def test_the_last_ones_are_kept_as_many_as_history_limit(scene: Scene) -> None:
    numbers = iter(range(100))
    letter = _raising(scene, lambda: ValueError(str(next(numbers))))
    attempts = _drained(scene, letter, 5, history_limit=2)
    assert [attempt.message for attempt in attempts] == ["3", "4"]
    # The default keeps twenty.
    attempts = _drained(scene, letter, 25)
    assert [attempt.message for attempt in attempts] == [str(n) for n in range(10, 30)]


def test_a_limit_of_nothing_keeps_nothing(scene: Scene) -> None:
    letter = scene.letter("fails")
    assert _drained(scene, letter, 2, history_limit=0) == []
    stored = scene.queue.get(letter)
    assert stored is not None
    assert (stored.retry_count, stored.last_error) == (2, f"ValueError: event {letter} failed")
    assert _rows(scene) == 0


# Its life


def _rows(scene: Scene) -> int:
    [count] = scene.conn.execute("SELECT count(*) FROM azoth_dlq_history").fetchone()
    return int(count)


def _failing_first(scene: Scene, failures: int, **kind: Any) -> int:
    outcomes: list[Exception | None] = [ValueError(str(n)) for n in range(failures)]

    def plays(*_args: object) -> None:
        if outcomes and (outcome := outcomes.pop(0)) is not None:
            raise outcome

    scene.registry.register("plays", plays, **kind)
    return scene.letter("plays")


@pytest.mark.parametrize("transactional", [True, False], ids=["within", "outside"])
def test_it_is_deleted_with_the_ack(scene: Scene, transactional: bool) -> None:
    letter = _failing_first(scene, 2, transactional=transactional)
    other = scene.letter("fails")
    assert len(_drained(scene, letter, 2)) == 2
    assert _drained(scene, letter, 1) == []
    assert scene.left() == [other]
    assert _rows(scene) == len(scene.queue.history(other)) == 3


def test_a_snoozed_letter_takes_its_history_along(scene: Scene) -> None:
    outcomes: list[Exception | None] = [Snooze(0), None]

    def plays(*_args: object) -> None:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    scene.registry.register("plays", plays)
    letter = scene.letter("plays")
    assert len(_drained(scene, letter)) == 1
    _drained(scene, letter)
    assert (scene.left(), _rows(scene)) == ([], 0)


@pytest.mark.parametrize(
    ("error", "attempts"), [(ValueError("again"), 3), (NonRetryable("never"), 1)], ids=repr
)
def test_it_is_kept_with_the_park_with_the_last_attempt(
    scene: Scene, error: Exception, attempts: int
) -> None:
    letter = _raising(scene, lambda: error)
    _drained(scene, letter, 3, max_retries=3)
    [failure] = scene.queue.permanent_failures()
    kept = scene.queue.history(failure.id, parked=True)
    assert [attempt.message for attempt in kept] == [str(error)] * attempts
    assert scene.queue.history(letter) == []


def test_a_letter_parked_unattempted_keeps_what_it_had(scene: Scene) -> None:
    letter = scene.letter("fails")
    _drained(scene, letter, 2)
    _drained(scene, letter, 1, max_retries=2)
    [failure] = scene.queue.permanent_failures()
    assert len(scene.queue.history(failure.id, parked=True)) == 2


def test_it_is_kept_by_a_requeue_and_goes_on(scene: Scene) -> None:
    letter = scene.letter("fails")
    _drained(scene, letter, 2, max_retries=2)
    [failure] = scene.queue.permanent_failures()
    scene.queue.requeue([failure.id])
    assert len(scene.queue.history(letter)) == 2
    assert len(_drained(scene, letter, 1)) == 3


def test_letters_that_never_failed_cost_no_statement_on_the_history(scene: Scene) -> None:
    """Beyond the bounded sweep of a drain."""
    failed = _failing_first(scene, 1)
    _drained(scene, failed)
    for _ in range(1200):
        scene.letter()
    statements: list[str] = []
    scene.conn.set_trace_callback(statements.append)
    groups: list[int] = []
    replayer = scene.replay(max_transaction_time=1e-6, history_limit=20)
    report = replayer.run_replay_cycle()
    groups.append(report.succeeded)
    scene.conn.set_trace_callback(None)
    assert groups == [100]
    touching = [s for s in statements if "azoth_dlq_history" in s]
    assert len([s for s in statements if s.startswith("COMMIT")]) >= 100
    assert len(touching) <= 2
    assert not any(
        s.startswith(("INSERT", "DELETE FROM main.azoth_dlq_history WHERE letter_id"))
        for s in touching
    )
