"""What a replayer tells its program: once, after the commit, and whatever the program does then."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from azoth_dlq import (
    Attempt,
    ConfigError,
    DlqReplayConfig,
    DlqReplayer,
    Event,
    EventHandlerRegistry,
    NonRetryable,
    ParkedLetter,
    ReplayPriority,
    ReplayReport,
    Snooze,
)
from tests.conftest import Scene
from tests.engine.lost_groups import roll_back_by_conflict

Hook = Callable[[Any], object]


class Told:
    """Keeps what its hooks are told."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.parked: list[ParkedLetter] = []
        self.stops: list[ReplayReport] = []

    @property
    def hooks(self) -> dict[str, Hook]:
        return {
            "on_attempt": self.attempts.append,
            "on_parked": self.parked.append,
            "on_stopped": self.stops.append,
        }

    @property
    def outcomes(self) -> list[tuple[int, str]]:
        return [(attempt.letter_id, attempt.outcome) for attempt in self.attempts]


@pytest.fixture
def told() -> Told:
    return Told()


def fails(_conn: object, event_id: int, _payload: bytes) -> None:
    raise ValueError(event_id)


def replayer(scene: Scene, hooks: dict[str, Hook], **settings: Any) -> DlqReplayer:
    settings.setdefault("stop_on_consecutive_failures", None)
    config = DlqReplayConfig(**settings)
    return DlqReplayer(
        scene.queue,
        scene.registry,
        config,
        clock=scene.clock,
        sleep=scene.slept.append,
        **hooks,
    )


def test_each_attempt_is_told_with_its_outcome_in_order(any_scene: Scene, told: Told) -> None:
    scene = any_scene

    def sleepy(*_args: object) -> None:
        raise Snooze(60, "later")

    scene.registry.register("sleepy", sleepy)
    ok, fails = scene.letter(event_id=70), scene.letter("fails", retry_count=2)
    snoozed, unknown = scene.letter("sleepy", retry_count=1), scene.letter("unknown")
    replayer(scene, told.hooks, priority=ReplayPriority.FIFO).drain()
    first, second, third, fourth = told.attempts
    assert first[:6] == (ok, 70, "ok", "succeeded", None, 0)
    assert second[:6] == (fails, fails, "fails", "failed", f"ValueError: event {fails} failed", 3)
    assert third[:6] == (snoozed, snoozed, "sleepy", "snoozed", "Snooze: later", 1)
    assert fourth[:4] == (unknown, unknown, "unknown", "failed")
    assert all(timedelta(0) <= (a.duration or timedelta(-1)) for a in told.attempts)
    assert not told.parked
    assert not told.stops


def test_what_may_be_payload_is_told_as_no_type(scene: Scene, told: Told) -> None:
    scene.letter(event_bytes=b"4111 1111: a card")
    replayer(scene, told.hooks, max_retries=1).drain()
    assert [attempt.event_type for attempt in told.attempts] == [""]
    assert [letter.event_type for letter in told.parked] == [""]


def test_each_parked_letter_is_told_attempted_or_not(any_scene: Scene, told: Told) -> None:
    scene = any_scene

    def poison(*_args: object) -> None:
        raise NonRetryable("poison")

    scene.registry.register("poison", poison)
    large = b"large:" + bytes(100_000)
    exhausted = scene.letter(retry_count=5, event_bytes=large, event_id=80)
    unreadable = scene.letter(failed_at="?", event_bytes="text:x")
    no_event = scene.letter(event_bytes=3.5)
    last, poisoned = scene.letter("fails", retry_count=4), scene.letter("poison")
    report = replayer(scene, told.hooks, max_retries=5).drain()
    assert report.parked == len(told.parked) == 5
    found = {letter.dead_letter_id: letter for letter in scene.queue.permanent_failures()}
    for letter in told.parked:
        parked = found[letter.letter_id]
        assert (letter.permanent_failure_id, letter.reason) == (parked.id, parked.reason)
    assert {letter.letter_id: letter[2:4] for letter in told.parked} == {
        exhausted: (80, "large"),
        unreadable: (unreadable, "text"),
        no_event: (no_event, ""),
        last: (last, "fails"),
        poisoned: (poisoned, "poison"),
    }


def test_letters_of_a_batch_are_told_each(scene: Scene, told: Told) -> None:
    class Batches:
        def handle(self, _conn: Any, _event_id: int, _payload: bytes) -> None:
            raise AssertionError

        def handle_batch(self, conn: Any, events: list[Event]) -> None: ...

    scene.registry = EventHandlerRegistry()
    scene.registry.register("ok", Batches())
    letters = [scene.letter() for _ in range(5)]
    replayer(scene, told.hooks).drain()
    assert told.outcomes == [(letter, "succeeded") for letter in letters]


@pytest.mark.parametrize("settings", [{}, {"concurrency": 4}], ids=["in turn", "at once"])
def test_calls_outside_the_transaction_are_told(
    scene: Scene, told: Told, settings: dict[str, int]
) -> None:
    scene.registry = EventHandlerRegistry()
    scene.registry.register("ok", lambda _conn, _id, _payload: None, transactional=False)
    scene.registry.register("fails", fails, transactional=False)
    letters = [scene.letter(kind) for kind in ("ok", "fails", "ok")]
    replayer(scene, told.hooks, max_retries=1, **settings).drain()
    outcomes = ["succeeded", "failed", "succeeded"]
    assert sorted(told.outcomes) == list(zip(letters, outcomes, strict=True))
    assert [letter.letter_id for letter in told.parked] == [letters[1]]


def test_hooks_are_called_after_the_commit_and_may_write(any_scene: Scene) -> None:
    """What another connection sees then is what they are told."""
    scene, seen = any_scene, []
    scene.letter()
    scene.letter("fails", retry_count=4)

    def look(_value: object) -> None:
        assert not scene.conn.in_transaction
        with sqlite3.connect(str(scene.path)) as other:
            seen.append(other.execute("SELECT count(*) FROM dead_letter_queue").fetchone()[0])
        other.close()
        scene.conn.execute("INSERT INTO effects VALUES (99)")
        if scene.conn.in_transaction:
            scene.conn.commit()

    replayer(scene, {"on_attempt": look, "on_parked": look}, max_retries=5).drain()
    assert seen == [0, 0, 0]
    assert scene.effects() == [1, 99, 99, 99]


@pytest.mark.parametrize("name", ["on_attempt", "on_parked", "on_stopped"])
def test_a_hook_that_raises_is_logged_and_changes_nothing(
    any_scene: Scene, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even by what it has written and not committed."""
    scene = any_scene

    def raises(_value: object) -> None:
        scene.conn.execute("BEGIN")
        scene.conn.execute("INSERT INTO effects VALUES (99)")
        raise LookupError("no such channel")

    letters = [scene.letter("fails", retry_count=4) for _ in range(30)]
    config = {
        "max_retries": 5,
        "max_transaction_time": 0.000001,
        "stop_on_consecutive_failures": 30,
    }
    report = replayer(scene, {name: raises}, **config).drain()
    assert (report.failed, report.parked, report.stopped) == (30, 30, "failures")
    assert scene.effects() == []
    logged = [r.getMessage() for r in caplog.records if r.getMessage().startswith(name)]
    told = "of a stop" if name == "on_stopped" else f"of letter {letters[0]}"
    assert logged[0] == f"{name}, told {told}, raised LookupError: no such channel"
    assert len(logged) == (1 if name == "on_stopped" else 30)
    assert "payload" not in caplog.text


def test_many_calls_that_raise_are_logged_together(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(25):
        scene.letter()
    replayer(scene, {"on_attempt": lambda _attempt: 1 / 0}).drain()
    logged = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(logged) == 11
    assert logged[-1] == "on_attempt raised for 15 more letters"


def test_what_a_hook_leaves_uncommitted_is_rolled_back_and_told(
    any_scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene = any_scene

    def forgets(_attempt: Attempt) -> None:
        if not scene.conn.in_transaction:
            scene.conn.execute("BEGIN")
        scene.conn.execute("INSERT INTO effects VALUES (99)")

    for _ in range(3):
        scene.letter()
    report = replayer(scene, {"on_attempt": forgets}, max_transaction_time=0.000001).drain()
    assert report.succeeded == 3
    assert scene.effects() == [1, 2, 3]
    assert "on_attempt left a transaction open, which is rolled back" in caplog.text


def test_what_a_hook_commits_to_the_queue_is_seen(any_scene: Scene) -> None:
    """Also where it raises behind that."""
    scene = any_scene
    first, second, third = [scene.letter() for _ in range(3)]

    def discards(attempt: Attempt) -> None:
        if attempt.letter_id == first:
            scene.queue.discard([second])
            raise LookupError

    report = replayer(scene, {"on_attempt": discards}, max_transaction_time=0.000001).drain()
    assert (report.succeeded, report.skipped) == (2, 1)
    assert scene.effects() == [first, third]


def test_a_group_that_is_done_again_is_told_once(any_scene: Scene, told: Told) -> None:
    scene = any_scene
    scene.registry.register("lost", roll_back_by_conflict)
    letters = [scene.letter(kind) for kind in ("ok", "lost", "ok")]
    replayer(scene, told.hooks, max_retries=1).drain()
    outcomes = ["succeeded", "failed", "succeeded"]
    assert told.outcomes == list(zip(letters, outcomes, strict=True))
    assert [letter.letter_id for letter in told.parked] == [letters[1]]


def test_a_group_that_its_handler_committed_is_told_with_the_failure(
    any_scene: Scene, told: Told
) -> None:
    scene = any_scene

    def commits(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        conn.set_authorizer(None)
        conn.execute("COMMIT")

    scene.registry.register("commits", commits)
    ok, culprit = scene.letter(), scene.letter("commits")
    report = replayer(scene, told.hooks).drain()
    assert (report.succeeded, report.failed) == (1, 1)
    assert told.outcomes == [(ok, "succeeded"), (culprit, "failed")]


def test_a_stop_is_told_when_it_begins(scene: Scene, told: Told) -> None:
    """Not again by probes that fail, but by the stop after one that succeeded."""
    for _ in range(4):
        scene.letter("fails")
    made = replayer(scene, told.hooks, stop_on_consecutive_failures=2, max_retries=10)
    made.drain()
    assert [(stop.stopped, stop.failed) for stop in told.stops] == [("failures", 2)]
    made.drain(now=True)
    other = replayer(scene, told.hooks, stop_on_consecutive_failures=2, max_retries=10)
    other.drain(now=True)
    assert len(told.stops) == 1
    good = scene.letter()
    other.replay(good)
    other.drain(now=True)
    assert len(told.stops) == 2


def test_an_interrupt_from_a_hook_goes_up_and_nothing_is_lost(any_scene: Scene) -> None:
    scene, told, reports = any_scene, list[int](), list[ReplayReport]()

    def interrupts(attempt: Attempt) -> None:
        told.append(attempt.letter_id)
        if len(told) == 2:
            raise KeyboardInterrupt

    letters = [scene.letter() for _ in range(5)]
    made = replayer(scene, {"on_attempt": interrupts})
    with pytest.raises(KeyboardInterrupt):
        made.drain(on_progress=reports.append)
    assert scene.effects() == told == letters
    assert reports[-1].succeeded == made.metrics.snapshot().successes == 5
    assert scene.drain().attempted == 0


def test_a_drain_within_a_hook_is_refused(
    any_scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene = any_scene
    scene.letter()
    report = replayer(scene, {"on_attempt": lambda _attempt: scene.drain()}).drain()
    assert report.succeeded == 1
    assert "raised InvalidStateError" in caplog.text


def test_a_run_goes_on_beside_a_hook_that_raises(scene: Scene) -> None:
    stop: list[Callable[[], None]] = []

    def raises(_attempt: Attempt) -> None:
        stop[0]()
        raise LookupError

    scene.letter()
    made = replayer(scene, {"on_attempt": raises})
    stop.append(made.shutdown)
    assert made.run().succeeded == 1


def test_a_drain_that_a_loop_awaits_tells_in_its_own_thread(scene: Scene) -> None:
    threads: list[int] = []
    handlers: list[int] = []
    scene.registry = EventHandlerRegistry()
    scene.registry.register("ok", lambda *_: handlers.append(threading.get_ident()))
    scene.letter()
    made = replayer(scene, {"on_attempt": lambda _attempt: threads.append(threading.get_ident())})
    assert asyncio.run(made.drain_async()).succeeded == 1
    assert threads == handlers
    assert threads != [threading.get_ident()]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_error_that_ends_a_drain_keeps_nothing_committed_from_being_told(
    scene: Scene, told: Told, concurrency: int
) -> None:
    def last(*_args: object) -> None:
        raise SystemExit

    scene.registry.register("last", last)
    scene.letter()
    scene.letter("last")
    with pytest.raises(SystemExit):
        replayer(scene, told.hooks, concurrency=concurrency).drain()
    assert told.outcomes == [(1, "succeeded")]


def test_more_letters_than_are_held_at_once_are_told_group_by_group(
    scene: Scene, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azoth_dlq.engine.attempting._MOST_HEARD", 10)
    held: list[int] = []
    letters = [scene.letter() for _ in range(35)]
    made = replayer(scene, told.hooks)
    made.drain(on_progress=lambda _report: held.append(len(told.attempts)))
    assert [attempt.letter_id for attempt in told.attempts] == letters
    assert held == [10, 20, 30, 35]


@pytest.mark.parametrize("name", ["on_attempt", "on_parked", "on_stopped"])
@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (3, "a callable that takes one value, or None"),
        (lambda: None, "cannot be called with"),
    ],
)
def test_what_can_be_no_hook_is_refused(
    scene: Scene, name: str, hook: object, message: str
) -> None:
    hooks: dict[str, Any] = {name: hook}
    with pytest.raises(ConfigError, match=f"{name}.*{message}"):
        DlqReplayer(scene.queue, scene.registry, **hooks)


def test_a_hook_that_nobody_would_await_is_refused(scene: Scene) -> None:
    async def later(_attempt: Attempt) -> None: ...

    with pytest.raises(ConfigError, match="on_attempt is async"):
        DlqReplayer(scene.queue, scene.registry, on_attempt=later)
