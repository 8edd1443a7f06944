"""What becomes of a letter: acked, tried again, snoozed, parked, or left alone."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from datetime import timedelta
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    NonRetryable,
    ReplayReport,
    RetryAfter,
    Snooze,
)
from azoth_dlq.kernels.eligibility import format_timestamp
from tests.conftest import NOW, Scene
from tests.engine.raising import letter_of, register_raising

# Success


def test_success_deletes_the_letter_and_keeps_its_effect(any_scene: Scene) -> None:
    letter = any_scene.letter()
    report = any_scene.drain()
    assert (any_scene.left(), any_scene.effects()) == ([], [letter])
    assert (report.succeeded, report.attempted) == (1, 1)
    assert any_scene.queue.permanent_failure_count() == 0


def test_what_a_handler_returns_does_not_matter(scene: Scene) -> None:
    scene.registry.register("returns", lambda *_args: False)
    scene.letter("returns")
    assert scene.drain().succeeded == 1


def test_a_handler_gets_the_queues_connection_its_event_id_and_bytes(scene: Scene) -> None:
    got: list[tuple[Any, ...]] = []
    scene.registry.register("takes", lambda *args: got.append(args))
    scene.letter("", event_id=-(2**63), event_bytes=b"takes:a:b")
    scene.drain()
    [(conn, event_id, payload)] = got
    assert conn is scene.queue.connection
    assert (event_id, payload) == (-(2**63), b"a:b")
    assert type(payload) is bytes


# Exceptions


def test_a_failure_counts_the_attempt_and_keeps_both_errors(any_scene: Scene) -> None:
    letter = any_scene.letter("fails", retry_count=2, error="the first error")
    any_scene.clock.move(microseconds=123456)
    report = any_scene.drain()
    failed = letter_of(any_scene, letter)
    assert failed.retry_count == 3
    assert failed.last_retry_at == "2026-11-24T12:00:00.123456Z"
    assert failed.error_message == "the first error"
    assert failed.last_error == f"ValueError: event {letter} failed"
    assert failed.not_before is None
    assert any_scene.effects() == []
    assert (report.failed, report.parked) == (1, 0)


def test_the_latest_error_replaces_the_one_before(scene: Scene) -> None:
    errors = iter([KeyError("one"), OSError("two")])
    register_raising(scene, lambda: next(errors))
    letter = scene.letter("raises", error="the first error")
    scene.drain()
    scene.drain(now=True)
    failed = letter_of(scene, letter)
    assert (failed.error_message, failed.last_error) == ("the first error", "OSError: two")


def test_the_last_attempt_parks_the_letter_with_the_reason(scene: Scene) -> None:
    letter = scene.letter(
        "fails", retry_count=2, last_retry_at="2026-11-24 10:30:00", error="the first error"
    )
    report = scene.drain(max_retries=3, backoff=BackoffStrategy.fixed(0))
    [parked] = scene.queue.permanent_failures()
    assert parked.dead_letter_id == letter
    assert (parked.event_id, parked.event_bytes) == (letter, b"fails:payload")
    assert parked.retry_count == 3
    assert (parked.error_message, parked.last_error) == (
        "the first error",
        f"ValueError: event {letter} failed",
    )
    assert parked.failed_at == "2026-11-24 10:00:00"
    assert parked.last_retry_at == format_timestamp(scene.clock.now)
    assert parked.marked_permanent_at == "2026-11-24 12:00:00"
    assert parked.reason == (
        f"failed 3 of 3 attempts, the last with ValueError: event {letter} failed"
    )
    assert (report.failed, report.parked, report.exhausted) == (1, 1, 0)
    assert (scene.left(), scene.effects()) == ([], [])


def test_every_attempt_counts_towards_the_limit(scene: Scene) -> None:
    scene.letter("fails")
    parked = [scene.drain(now=True, max_retries=3).parked for _ in range(4)]
    assert parked == [0, 0, 1, 0]
    assert len(scene.calls) == 3


def test_a_letter_is_parked_and_deleted_in_one_transaction_with_its_failure(scene: Scene) -> None:
    """At every commit the letter is in exactly one of the two tables."""
    scene.letter("fails", retry_count=4)
    for _ in range(3):
        scene.letter()
    other = sqlite3.connect(str(scene.path))
    seen: list[tuple[int, int]] = []

    def look(_report: object) -> None:
        counts = (
            "SELECT (SELECT count(*) FROM dead_letter_queue WHERE retry_count = 4), "
            "(SELECT count(*) FROM permanent_failures)"
        )
        seen.append(other.execute(counts).fetchone())

    scene.replay(max_transaction_time=1e-6).drain(on_progress=look)
    other.close()
    assert seen == [(1, 0)] * 3 + [(0, 1)]


# Outcomes that a handler chooses


@pytest.mark.parametrize("retry_count", [0, 4], ids=["first attempt", "last attempt"])
def test_non_retryable_parks_at_once(scene: Scene, retry_count: int) -> None:
    register_raising(scene, lambda: NonRetryable("the account is closed"))
    letter = scene.letter("raises", error="the first error", retry_count=retry_count)
    report = scene.drain()
    [parked] = scene.queue.permanent_failures()
    assert parked.reason == "not retryable: NonRetryable: the account is closed"
    assert (parked.dead_letter_id, parked.retry_count) == (letter, retry_count + 1)
    assert parked.last_error == "NonRetryable: the account is closed"
    assert (report.failed, report.parked) == (1, 1)
    assert (scene.left(), scene.effects()) == ([], [])


def test_a_subclass_of_an_outcome_is_that_outcome(scene: Scene) -> None:
    class Closed(NonRetryable):
        pass

    register_raising(scene, lambda: Closed("it is closed"))
    scene.letter("raises")
    assert scene.drain().parked == 1


@pytest.mark.parametrize("outcome", [RetryAfter, Snooze])
@pytest.mark.parametrize("delay", ["missing", "soon", -1])
def test_an_outcome_without_a_delay_is_a_failure_like_any_other(
    scene: Scene, outcome: type[Exception], delay: Any
) -> None:
    class Odd(outcome):  # type: ignore[misc, valid-type]  # its class is a parameter
        def __init__(self) -> None:
            if delay != "missing":
                self.delay = delay

    register_raising(scene, Odd)
    letter, good = scene.letter("raises"), scene.letter()
    report = scene.drain()
    assert (report.failed, report.snoozed, report.succeeded) == (1, 0, 1)
    assert (letter_of(scene, letter).retry_count, letter_of(scene, letter).not_before) == (1, None)
    assert scene.effects() == [good]


def test_retry_after_spends_an_attempt_and_sets_the_time(scene: Scene) -> None:
    register_raising(scene, lambda: RetryAfter(90, "too many requests"))
    letter = scene.letter("raises", retry_count=1)
    report = scene.drain()
    failed = letter_of(scene, letter)
    assert failed.retry_count == 2
    assert failed.last_retry_at == format_timestamp(scene.clock.now)
    assert failed.not_before == NOW + timedelta(seconds=90)
    assert failed.last_error == "RetryAfter: too many requests"
    assert (report.failed, report.snoozed, scene.effects()) == (1, 0, [])


def test_a_letter_that_is_to_be_tried_again_at_once_is_due_in_the_next_drain(scene: Scene) -> None:
    register_raising(scene, lambda: RetryAfter(0))
    letter = scene.letter("raises")
    assert [scene.drain().failed for _ in range(2)] == [1, 1]
    assert scene.calls == [letter, letter]
    assert letter_of(scene, letter).retry_count == 2


def test_retry_after_at_the_last_attempt_parks(scene: Scene) -> None:
    register_raising(scene, lambda: RetryAfter(90))
    scene.letter("raises", retry_count=4)
    report = scene.drain(max_retries=5)
    assert (report.failed, report.parked, scene.left()) == (1, 1, [])


def test_snooze_spends_no_attempt_and_no_later_backoff(scene: Scene) -> None:
    register_raising(scene, lambda: Snooze(90))
    letter = scene.letter("raises", retry_count=1, last_retry_at="2026-11-24 11:00:00")
    report = scene.drain()
    snoozed = letter_of(scene, letter)
    assert (snoozed.retry_count, snoozed.last_retry_at) == (1, "2026-11-24 11:00:00")
    assert snoozed.not_before == NOW + timedelta(seconds=90)
    assert (report.snoozed, report.failed, report.attempted) == (1, 0, 1)
    assert scene.effects() == []


def test_snooze_parks_no_letter_however_often(scene: Scene) -> None:
    register_raising(scene, lambda: Snooze(0))
    letter = scene.letter("raises", retry_count=4)
    for _ in range(10):
        assert scene.drain(max_retries=5).snoozed == 1
    assert scene.left() == [letter]


def test_a_failure_after_a_not_before_goes_back_to_the_backoff(scene: Scene) -> None:
    outcomes = iter([RetryAfter(5), ValueError("as usual")])
    register_raising(scene, lambda: next(outcomes))
    letter = scene.letter("raises")
    scene.drain()
    scene.clock.move(seconds=5)
    assert scene.drain(backoff=BackoffStrategy.fixed(100)).failed == 1
    assert letter_of(scene, letter).not_before is None
    report = scene.drain(backoff=BackoffStrategy.fixed(100))
    assert report.next_due == NOW + timedelta(seconds=105)


def test_an_event_without_a_handler_fails_like_any_other(scene: Scene) -> None:
    letter = scene.letter("unheard-of")
    good = scene.letter()
    report = scene.drain()
    failed = letter_of(scene, letter)
    assert failed.retry_count == 1
    assert "EventDecodeError: unknown event type 'unheard-of'" in str(failed.last_error)
    assert "payload" not in str(failed.last_error)
    assert (report.failed, scene.effects()) == (1, [good])
    scene.drain(now=True, max_retries=2)
    assert list(scene.parked()) == [letter]


def test_a_type_with_which_another_begins_has_its_own_handler(scene: Scene) -> None:
    called: list[str] = []
    kinds = ["mail", "mailing", "mail", "mai", "mailing"]
    for kind in set(kinds):
        scene.registry.register(kind, lambda *_args, kind=kind: called.append(kind))
    for kind in kinds:
        scene.letter(kind)
    scene.drain()
    assert called == kinds


def test_a_handler_that_validates_fails_before_it_is_called(scene: Scene) -> None:
    class Careful:
        def validate(self, payload: bytes) -> None:
            if payload != b"good":
                raise ValueError("it is not good")

        def handle(self, _conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
            scene.calls.append(event_id)

    scene.registry.register("careful", Careful())
    bad = scene.letter("", event_bytes=b"careful:bad")
    good = scene.letter("", event_bytes=b"careful:good")
    report = scene.drain()
    assert scene.calls == [good]
    assert (report.succeeded, report.failed) == (1, 1)
    assert letter_of(scene, bad).last_error == "ValueError: it is not good"


# What is no Exception


class _Interrupt(BaseException):
    pass


INTERRUPTS = [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit, _Interrupt]


@pytest.mark.parametrize("interrupt", INTERRUPTS)
def test_an_interrupt_goes_up_and_charges_nobody(
    any_scene: Scene, interrupt: type[BaseException]
) -> None:
    """What was done before it is committed, an ack and a failure."""
    raised = interrupt("stop")
    register_raising(any_scene, lambda: raised)
    done = any_scene.letter()
    failed = any_scene.letter("fails")
    in_hand = any_scene.letter("raises")
    after = any_scene.letter()
    with pytest.raises(interrupt) as caught:
        any_scene.drain()
    assert caught.value is raised
    assert any_scene.calls == [done, failed, in_hand]
    assert any_scene.effects() == [done]
    assert any_scene.left() == [failed, in_hand, after]
    assert letter_of(any_scene, failed).retry_count == 1
    assert letter_of(any_scene, in_hand).retry_count == 0
    assert letter_of(any_scene, in_hand).last_error is None
    assert not any_scene.conn.in_transaction


@pytest.mark.parametrize("in_batch", [False, True], ids=["single", "batch"])
def test_an_interrupt_behind_a_call_that_returned_keeps_its_effect_and_ack(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, in_batch: bool
) -> None:
    """As the warning of a slow call is logged, which is what comes next in Python."""

    class Slow:
        def handle(self, conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
            conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
            time.sleep(1.01)

    class SlowBatches(Slow):
        def handle_batch(self, conn: sqlite3.Connection, events: list[Any]) -> None:
            for event in events:
                self.handle(conn, event.event_id, event.payload)

    def interrupt(record: logging.LogRecord) -> bool:
        assert "kept the file locked" in record.getMessage()
        raise KeyboardInterrupt

    scene.registry.register("slow", SlowBatches() if in_batch else Slow())
    letters = [scene.letter("ok"), scene.letter("slow"), scene.letter("slow")]
    monkeypatch.setattr(logging.getLogger("azoth_dlq"), "filters", [interrupt])
    reports: list[ReplayReport] = []
    with pytest.raises(KeyboardInterrupt):
        scene.replay().drain(on_progress=reports.append)
    done = letters if in_batch else letters[:2]
    assert [(r.succeeded, r.remaining) for r in reports] == [(len(done), 3 - len(done))] * 2
    assert scene.effects() == done
    assert scene.left() == letters[len(done) :]


def test_a_letter_parked_before_an_interrupt_stays_parked(scene: Scene) -> None:
    register_raising(scene, KeyboardInterrupt)
    parked = scene.letter("fails")
    scene.letter("raises")
    with pytest.raises(KeyboardInterrupt):
        scene.drain(max_retries=1)
    assert list(scene.parked()) == [parked]


def test_the_drain_after_an_interrupt_goes_on_where_it_ended(scene: Scene) -> None:
    raises: list[BaseException] = [KeyboardInterrupt()]

    def once(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        if raises:
            raise raises.pop()

    scene.registry.register("once", once)
    letters = [scene.letter(), scene.letter("once"), scene.letter()]
    replayer = scene.replay()
    with pytest.raises(KeyboardInterrupt):
        replayer.drain()
    assert replayer.drain().succeeded == 2
    assert scene.effects() == letters


def test_a_type_that_begins_as_the_one_before_it_has_its_own_handler(scene: Scene) -> None:
    called: list[tuple[str, bytes]] = []
    types = ("deposit", "dep", "deposited")
    for name in types:
        scene.registry.register(name, lambda _c, _e, payload, n=name: called.append((n, payload)))
        scene.letter(name)
    scene.drain()
    assert [name for name, _ in called] == list(types)
    assert len({payload for _, payload in called}) == 1
