"""What the counters and gauges tell of drains."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    DlqMetricsSnapshot,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    NonRetryable,
    RetryAfter,
    Snooze,
)
from azoth_dlq.metrics import PHASES
from azoth_dlq.store.base import Abandoned
from tests.conftest import Scene
from tests.engine.lost_groups import add_orphan, refuse_orphans, roll_back_by_conflict

AT_ONCE: dict[str, Any] = {"min_age": 0, "backoff": BackoffStrategy.fixed(0), "max_retries": 99}


def _raising(scene: Scene, kind: str, error: Exception, *, transactional: bool = True) -> None:
    def raises(*_args: object) -> None:
        raise error

    scene.registry.register(kind, raises, transactional=transactional)


def _drained(scene: Scene, **settings: Any) -> DlqMetricsSnapshot:
    replayer = scene.replay(**settings)
    replayer.drain()
    return replayer.metrics.snapshot()


# Where the time goes


@pytest.mark.parametrize("transactional", [True, False], ids=["within", "outside"])
def test_the_time_of_a_drain_is_told_by_phase(scene: Scene, transactional: bool) -> None:
    scene.registry.register("slow", lambda *_args: time.sleep(0.1), transactional=transactional)
    scene.letter("slow")
    began = time.monotonic()
    snapshot = _drained(scene)
    whole = time.monotonic() - began
    spent = snapshot.phase_seconds
    assert 0.1 <= spent["handlers"] <= sum(spent.values()) <= whole
    assert sum(spent.values()) > 0.8 * whole
    assert all(spent[phase] > 0 for phase in PHASES if phase != "yield")


def test_what_others_make_a_drain_wait_for_is_told_apart(scene: Scene) -> None:
    """A lock of others, their turn, and what they do with a report."""
    scene.registry.register("slow", lambda *_args: time.sleep(1.05))
    scene.letter("slow")
    scene.letter("ok")
    settings = DlqReplayConfig(max_transaction_time=0.01, yield_time=0.2)
    replayer = DlqReplayer(scene.queue, scene.registry, settings, clock=scene.clock)
    assert scene.path is not None
    with closing(sqlite3.connect(scene.path, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, other.rollback).start()
        replayer.drain(on_progress=lambda _report: time.sleep(0.1))
    spent = replayer.metrics.snapshot().phase_seconds
    assert spent["open"] >= 0.2
    assert 0.05 < spent["yield"] <= 0.2  # of which the report took the half
    assert spent["other"] >= 0.2
    assert spent["plan"] < 0.2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_time_of_a_drain_that_ends_by_an_error_is_told(
    scene: Scene, error: type[BaseException]
) -> None:
    scene.letter("fails")

    def told(_report: object) -> None:
        raise error

    replayer = scene.replay()
    with pytest.raises(error):
        replayer.drain(on_progress=told)
    assert replayer.metrics.snapshot().phase_seconds["commit"] > 0


# Attempts


@pytest.mark.parametrize("transactional", [True, False], ids=["within", "outside"])
def test_attempts_are_counted_by_type_and_outcome(scene: Scene, transactional: bool) -> None:
    scene.registry.register("good", lambda *_args: None, transactional=transactional)
    _raising(scene, "late", Snooze(60), transactional=transactional)
    _raising(scene, "asks", RetryAfter(60), transactional=transactional)
    _raising(scene, "never", NonRetryable("gone"), transactional=transactional)
    for kind in ("good", "good", "late", "asks", "never", "never", "good", "unknown"):
        scene.letter(kind)
    snapshot = _drained(scene)
    attempts = {key: count for key, count in snapshot.attempts.items() if count}
    assert attempts == {
        ("good", "succeeded"): 3,
        ("late", "snoozed"): 1,
        ("asks", "failed"): 1,
        ("never", "failed"): 2,
        ("", "failed"): 1,
    }
    assert (snapshot.successes, snapshot.failures, snapshot.snoozed) == (3, 4, 1)
    assert snapshot.permanent_failures == 2


def test_a_routed_event_counts_for_the_type_that_it_was_routed_to(scene: Scene) -> None:
    def route(event_bytes: bytes) -> tuple[str, bytes]:
        return event_bytes.decode().upper(), b""

    scene.registry = EventHandlerRegistry(route=route)
    scene.registry.register("A", lambda *_args: None)
    scene.letter("", event_bytes=b"a")
    snapshot = _drained(scene)
    assert snapshot.attempts == {("A", "succeeded"): 1}
    assert list(snapshot.handler_seconds) == ["A"]


def test_a_batch_counts_its_letters(scene: Scene) -> None:
    class Sender:
        def handle(self, *_args: object) -> None: ...

        def handle_batch(self, _conn: object, events: Sequence[object]) -> None:
            if len(events) == 3:
                raise ValueError("one of these")

    scene.registry.register("batch", Sender())
    for _ in range(3):
        scene.letter("batch")
    scene.letter()
    for _ in range(4):
        scene.letter("batch")
    snapshot = _drained(scene)
    assert snapshot.attempts["batch", "succeeded"] == 7
    assert snapshot.handler_seconds["batch"].count == 7


def test_of_a_lost_group_what_was_committed_is_counted(scene: Scene) -> None:
    scene.registry.register("loses", roll_back_by_conflict)
    for kind in ("ok", "fails", "loses", "ok"):
        scene.letter(kind)
    snapshot = _drained(scene)
    assert snapshot.attempts["ok", "succeeded"] == 2
    assert snapshot.attempts["fails", "failed"] == 1
    assert snapshot.handler_seconds["ok"].count == 2
    assert snapshot.handler_seconds["fails"].count == 1
    assert (snapshot.successes, snapshot.failures) == (2, 2)
    assert (snapshot.lost_groups, snapshot.groups) == (1, 1)
    assert sum(snapshot.attempts.values()) == 4


def test_an_interrupted_letter_is_no_attempt(scene: Scene) -> None:
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    scene.registry.register("interrupts", interrupt)
    scene.letter()
    scene.letter("interrupts")
    replayer = scene.replay()
    with pytest.raises(KeyboardInterrupt):
        replayer.drain()
    snapshot = replayer.metrics.snapshot()
    assert sum(snapshot.attempts.values()) == 1
    assert (snapshot.groups, snapshot.drains) == (1, 0)


# How long


@pytest.mark.parametrize("transactional", [True, False], ids=["within", "outside"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_call_of_twenty_milliseconds_lands_in_its_bucket(
    scene: Scene, transactional: bool, fails: bool
) -> None:
    calls: list[float] = []

    def sleep(*_args: object) -> None:
        began = time.perf_counter()
        time.sleep(0.02)
        calls.append(time.perf_counter() - began)
        if fails:
            raise ValueError("late")

    scene.registry.register("sleeps", sleep, transactional=transactional)
    for _ in range(3):
        scene.letter("sleeps")
    took = _drained(scene).handler_seconds["sleeps"]
    # A busy machine may make a call longer.
    lowest = [min(bound for bound in took.bounds if bound >= seconds) for seconds in calls]
    assert [count for bound, count in took.cumulative() if bound < min(lowest)][-1] == 0
    assert dict(took.cumulative())[max(lowest)] == took.count == 3
    assert sum(calls) <= took.sum < 2 * sum(calls)


def test_a_handler_that_does_nothing_lands_in_the_first_buckets(scene: Scene) -> None:
    scene.registry.register("nothing", lambda *_args: None)
    for _ in range(100):
        scene.letter("nothing")
    took = _drained(scene).handler_seconds["nothing"]
    assert took.count == 100
    assert dict(took.cumulative())[0.0001] > 90


def test_an_event_that_led_to_no_handler_took_no_call(scene: Scene) -> None:
    for kind in ("unknown", "ok", "unknown", "fails", "unknown"):
        scene.letter(kind)
    took = _drained(scene).handler_seconds
    assert {kind: histogram.count for kind, histogram in took.items()} == {"ok": 1, "fails": 1}


def test_letters_fetched_and_written_are_not_reckoned_as_calls(scene: Scene) -> None:
    scene.registry.register("nothing", lambda *_args: None)
    for _ in range(3):
        scene.letter("", event_bytes=b"nothing:" + bytes(3_000_000))
    took = _drained(scene).handler_seconds["nothing"]
    assert took.count == 3
    assert took.sum < 0.05


# Gauges


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_the_gauges_are_those_of_the_last_look(scene: Scene) -> None:
    scene.letter("fails", failed_at="2026-11-24 09:00:00")
    scene.letter("fails", failed_at="2026-11-24 10:00:00")
    scene.letter(failed_at="2026-11-24 11:59:59")
    scene.letter(failed_at="2026-11-24 11:00:00")
    scene.letter(failed_at="?")
    snapshot = _drained(scene)
    # One was replayed, one parked; the failed ones wait, as does the young one.
    assert (snapshot.depth, snapshot.due) == (3, 0)
    assert snapshot.oldest_due == _unix("2026-11-24 09:00:00")
    assert snapshot.lag == 3 * 3600
    assert snapshot.looked_at == snapshot.last_check == _unix("2026-11-24 12:00:00")


def test_where_nothing_is_due_there_is_no_lag(scene: Scene) -> None:
    scene.letter(failed_at="2026-11-24 11:59:59")
    snapshot = _drained(scene)
    assert (snapshot.depth, snapshot.due, snapshot.oldest_due, snapshot.lag) == (1, 0, None, 0.0)


def test_due_goes_down_while_a_drain_is_at_work(scene: Scene) -> None:
    for kind in ("ok", "fails", "ok"):
        scene.letter(kind)
    replayer = scene.replay(max_transaction_time=1e-6)
    seen: list[tuple[int, int]] = []

    def look(_report: object) -> None:
        snapshot = replayer.metrics.snapshot()
        seen.append((snapshot.depth, snapshot.due))

    replayer.drain(on_progress=look)
    assert seen == [(2, 2), (2, 1), (1, 0)]


def test_what_a_cycle_leaves_stays_due(scene: Scene) -> None:
    for _ in range(5):
        scene.letter()
    replayer = scene.replay(batch_size=2)
    replayer.run_replay_cycle()
    snapshot = replayer.metrics.snapshot()
    assert (snapshot.depth, snapshot.due) == (3, 3)


# Groups, drains, stops


def test_drains_groups_and_stops_are_counted(scene: Scene) -> None:
    for _ in range(4):
        scene.letter("fails")
    replayer: DlqReplayer = scene.replay(
        max_transaction_time=1e-6, stop_on_consecutive_failures=3, **AT_ONCE
    )
    replayer.drain()
    snapshot = replayer.metrics.snapshot()
    assert (snapshot.drains, snapshot.groups, snapshot.stopped) == (1, 3, True)
    replayer.shutdown()
    replayer.drain()
    snapshot = replayer.metrics.snapshot()
    assert (snapshot.drains, snapshot.groups, snapshot.stopped) == (2, 3, False)


def test_a_drain_of_nothing_is_a_drain_without_groups(scene: Scene) -> None:
    snapshot = _drained(scene)
    assert (snapshot.drains, snapshot.groups) == (1, 0)


@pytest.mark.parametrize("missing", [False, True])
def test_a_single_letter_is_a_group_where_there_is_one(scene: Scene, missing: bool) -> None:
    letter = scene.letter()
    replayer = scene.replay()
    replayer.replay(letter + missing)
    snapshot = replayer.metrics.snapshot()
    assert (snapshot.drains, snapshot.groups) == (1, 1 - missing)
    assert (snapshot.successes, snapshot.skipped) == (1 - missing, missing)


def test_letters_in_the_hands_of_others_are_counted_as_skipped(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = [scene.letter() for _ in range(3)]
    monkeypatch.setattr(scene.queue.store, "claimed", lambda: {letters[1]})
    snapshot = _drained(scene)
    assert (snapshot.skipped, snapshot.successes, snapshot.due) == (1, 2, 0)


def test_a_charged_death_is_counted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process died in the handler of the second letter."""
    letters = [scene.letter() for _ in range(3)]
    abandoned = [Abandoned([letters[1]], []), Abandoned([], [])]
    monkeypatch.setattr(scene.queue.store, "abandoned", lambda: abandoned.pop(0))
    snapshot = _drained(scene)
    assert (snapshot.charged_deaths, snapshot.successes, snapshot.due) == (1, 2, 0)
    assert snapshot.lost_groups == 0
    died = scene.queue.get(letters[1])
    assert died is not None
    assert died.retry_count == 1


def test_a_commit_that_is_refused_counts_each_group_that_was_lost(scene: Scene) -> None:
    refuse_orphans(scene)
    scene.registry.register("orphan", add_orphan)
    for kind in ("ok", "orphan"):
        scene.letter(kind)
    snapshot = _drained(scene)
    # Both, then the orphan alone, which fails then without another call.
    assert (snapshot.lost_groups, snapshot.groups) == (2, 2)
    assert (snapshot.successes, snapshot.failures) == (1, 1)
