"""A batch that raises: its writes are undone, its letters are called one by one, each once."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from azoth_dlq import NonRetryable, RetryAfter, Snooze
from azoth_dlq._event import Event
from tests.conftest import Scene
from tests.engine.batching import BAD, Batching, bad_letter, takes_batches

Acts = Callable[[Any, list[Event]], object]


def _with_a_bad_one(scene: Scene, place: int = 2) -> tuple[list[int], int]:
    """Six letters of a batch, between two others; the good ones, and the bad one."""
    good = [scene.letter(), *(scene.letter("batch") for _ in range(place))]
    bad = bad_letter(scene)
    good += [*(scene.letter("batch") for _ in range(5 - place)), scene.letter()]
    return good, bad


def _raises(error: BaseException) -> Acts:
    def act(*_: object) -> None:
        raise error

    return act


def _retry_counts(scene: Scene) -> dict[int, int]:
    rows = scene.conn.execute("SELECT id, retry_count FROM dead_letter_queue")
    return dict(rows.fetchall())


@pytest.mark.parametrize("place", [0, 2, 5], ids=["first", "amid", "last"])
def test_one_bad_letter_costs_only_itself(any_scene: Scene, place: int) -> None:
    handler = takes_batches(any_scene)
    good, bad = _with_a_bad_one(any_scene, place)
    report = any_scene.drain()
    batch = sorted([*good[1:-1], bad])
    assert handler.batches == [batch]
    assert handler.singly == batch
    assert any_scene.effects() == good
    assert (report.attempted, report.succeeded, report.failed) == (8, 7, 1)
    assert _retry_counts(any_scene) == {bad: 1}


def test_a_failed_batch_and_the_call_after_it_are_one_attempt(any_scene: Scene) -> None:
    handler = takes_batches(any_scene)
    _, bad = _with_a_bad_one(any_scene)
    replayer = any_scene.replay()
    report = replayer.drain()
    assert report.errors == (("ValueError: a bad one", 1),)
    history = any_scene.queue.history(bad)
    assert [(attempt.outcome, attempt.message) for attempt in history] == [("failed", "a bad one")]
    counted = replayer.metrics.snapshot()
    assert counted.attempts["batch", "succeeded"] == 5
    assert counted.attempts["batch", "failed"] == 1
    assert counted.handler_seconds["batch"].count == len(handler.singly) == 6


def test_letters_of_a_failed_batch_are_in_no_batch_of_that_drain(any_scene: Scene) -> None:
    """Also where they are called in groups of their own."""
    handler = takes_batches(any_scene, Batching(acts_singly=lambda *_: time.sleep(0.002)), most=4)
    letters = [bad_letter(any_scene), *(any_scene.letter("batch") for _ in range(9))]
    any_scene.drain(max_transaction_time=0.001)
    assert handler.batches == [letters[:4], letters[4:8], letters[8:]]
    assert handler.singly == letters[:4]
    any_scene.clock.move(hours=1)
    any_scene.drain()
    assert handler.batches[3:] == [letters[:1]]


def test_letters_of_many_failed_batches_are_in_no_batch_either(scene: Scene) -> None:
    def end_group(_conn: object, event_id: int) -> None:
        if event_id == 20_000:
            time.sleep(0.1)

    handler = Batching(acts=_raises(ValueError("no batches")), acts_singly=end_group)
    takes_batches(scene, handler, most=8000)
    scene.conn.executemany(
        "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
        "VALUES (?, CAST('batch:' AS BLOB), '', '2026-11-24 10:00:00')",
        ((n,) for n in range(24_000)),
    )
    report = scene.drain(memory_limit=2**30, max_transaction_time=0.1)
    assert report.succeeded == 24_000
    assert [event_id for batch in handler.batches for event_id in batch] == list(range(24_000))
    assert handler.singly == list(range(24_000))


@pytest.mark.parametrize("most", [1, 1000])
def test_a_batch_of_one_that_fails_is_called_singly(any_scene: Scene, most: int) -> None:
    handler = takes_batches(any_scene, Batching(acts=_raises(ValueError("no batches"))), most=most)
    letters = [any_scene.letter("batch") for _ in range(1 if most > 1 else 3)]
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (len(letters), 0)
    assert handler.singly == letters
    assert any_scene.effects() == letters


def test_every_batch_may_fail(any_scene: Scene) -> None:
    handler = takes_batches(any_scene, Batching(acts=_raises(ValueError("no batches"))), most=10)
    letters = [any_scene.letter("batch") for _ in range(95)]
    report = any_scene.drain(max_transaction_time=0.001)
    assert report.succeeded == 95
    assert sorted(i for batch in handler.batches for i in batch) == letters
    assert handler.singly == letters
    assert any_scene.effects() == letters


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), NonRetryable("x"), RetryAfter(60), Snooze(60), sqlite3.OperationalError("x")],
    ids=lambda error: type(error).__name__,
)
def test_what_a_batch_raises_says_nothing_about_its_letters(
    any_scene: Scene, error: Exception
) -> None:
    handler = takes_batches(any_scene, Batching(acts=_raises(error)))
    letters = [any_scene.letter("batch") for _ in range(3)]
    report = any_scene.drain()
    assert (report.attempted, report.succeeded, report.parked) == (3, 3, 0)
    assert handler.singly == any_scene.effects() == letters


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_of_a_batch_takes_it_back_whole_and_goes_up(
    any_scene: Scene, error: type[BaseException]
) -> None:
    handler = takes_batches(any_scene, Batching(acts=_raises(error())))
    before = [any_scene.letter(), any_scene.letter("fails"), any_scene.letter()]
    batch = [any_scene.letter("batch") for _ in range(3)]
    with pytest.raises(error):
        any_scene.drain()
    assert handler.singly == []
    assert any_scene.effects() == [before[0], before[2]]
    assert _retry_counts(any_scene) == {before[1]: 1, **dict.fromkeys(batch, 0)}
    assert not any_scene.conn.in_transaction


def test_an_interrupt_of_the_second_batch_commits_the_first(any_scene: Scene) -> None:
    def interrupt(_conn: object, _events: object) -> None:
        if len(handler.batches) == 2:
            raise KeyboardInterrupt

    handler = takes_batches(any_scene, Batching(acts=interrupt), most=2)
    letters = [any_scene.letter("batch") for _ in range(6)]
    with pytest.raises(KeyboardInterrupt):
        any_scene.drain()
    assert any_scene.effects() == letters[:2]
    assert _retry_counts(any_scene) == dict.fromkeys(letters[2:], 0)


def test_an_interrupt_of_a_single_call_commits_those_before_it(any_scene: Scene) -> None:
    def interrupt(_conn: object, event_id: int) -> None:
        if event_id == letters[3]:
            raise KeyboardInterrupt

    takes_batches(any_scene, Batching(acts_singly=interrupt))
    letters = [bad_letter(any_scene), *(any_scene.letter("batch") for _ in range(4))]
    with pytest.raises(KeyboardInterrupt):
        any_scene.drain()
    assert any_scene.effects() == letters[1:3]
    assert _retry_counts(any_scene) == {letters[0]: 1, letters[3]: 0, letters[4]: 0}


def test_failures_of_single_calls_stop_the_drain(any_scene: Scene) -> None:
    handler = takes_batches(any_scene)
    letters = [bad_letter(any_scene) for _ in range(6)]
    report = any_scene.drain(stop_on_consecutive_failures=3)
    assert (report.stopped, report.failed) == ("failures", 3)
    assert handler.batches == [letters]
    assert handler.singly == letters[:3]


def test_a_failed_batch_alone_neither_counts_as_a_failure_nor_as_a_success(
    any_scene: Scene,
) -> None:
    handler = takes_batches(any_scene, Batching(acts=_raises(ValueError("no batches"))))
    any_scene.letter("fails")
    letters = [bad_letter(any_scene), any_scene.letter("batch"), bad_letter(any_scene)]
    report = any_scene.drain(stop_on_consecutive_failures=2)
    assert (report.stopped, report.failed) == ("failures", 2)
    assert handler.singly == letters[:1]


def test_a_batch_that_succeeds_starts_the_count_anew(any_scene: Scene) -> None:
    takes_batches(any_scene)
    for kind in ("fails", "batch", "batch", "fails", "batch", "fails"):
        any_scene.letter(kind)
    report = any_scene.drain(stop_on_consecutive_failures=2)
    assert (report.stopped, report.failed, report.succeeded) == (None, 3, 3)


def test_a_probe_whose_batch_fails_is_called_singly(any_scene: Scene) -> None:
    handler = takes_batches(any_scene)
    bad = [bad_letter(any_scene) for _ in range(3)]
    replayer = any_scene.replay(stop_on_consecutive_failures=2)
    replayer.drain()
    report = replayer.drain(now=True)
    assert (report.stopped, report.failed) == ("failures", 1)
    assert handler.batches == [bad, [bad[2]]]
    assert handler.singly == [*bad[:2], bad[2]]


def test_a_cycle_ends_where_it_should_after_a_failed_batch(any_scene: Scene) -> None:
    handler = takes_batches(any_scene)
    good, bad = _with_a_bad_one(any_scene, 0)
    report = any_scene.replay(batch_size=4).run_replay_cycle()
    assert (report.succeeded, report.failed, report.remaining) == (3, 1, 4)
    assert handler.batches == [sorted([bad, *good[1:3]])]


def test_letters_of_a_failed_batch_are_parked_when_they_have_no_attempt_left(
    any_scene: Scene,
) -> None:
    takes_batches(any_scene)
    good, bad = _with_a_bad_one(any_scene)
    report = any_scene.drain(max_retries=1)
    assert report.parked == 1
    assert list(any_scene.parked()) == [bad]
    assert any_scene.effects() == good


def test_a_single_call_after_a_failed_batch_chooses_its_own_outcome(any_scene: Scene) -> None:
    outcomes: list[Exception | None] = [Snooze(60), None, NonRetryable("never"), RetryAfter(60)]

    def act(_conn: object, _event_id: int) -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    takes_batches(any_scene, Batching(acts=_raises(ValueError("x")), acts_singly=act))
    letters = [any_scene.letter("batch") for _ in range(4)]
    report = any_scene.drain()
    assert (report.snoozed, report.succeeded, report.failed, report.parked) == (1, 1, 2, 1)
    assert any_scene.effects() == [letters[1]]
    assert _retry_counts(any_scene) == {letters[0]: 0, letters[3]: 1}


def test_writes_of_letters_before_a_failed_batch_stay(any_scene: Scene) -> None:
    """In one group, and whatever kind of statement the batch ran."""

    def change_tables(conn: sqlite3.Connection, _events: object) -> None:
        conn.execute("CREATE TABLE made (x)")
        conn.execute("DELETE FROM effects")
        raise ValueError("no batches")

    takes_batches(any_scene, Batching(acts=change_tables))
    letters = [any_scene.letter(kind) for kind in ("ok", "ok", "batch", "batch", "ok")]
    assert any_scene.drain(max_transaction_time=30).succeeded == 5
    assert any_scene.effects() == letters
    made = "SELECT count(*) FROM sqlite_master WHERE name = 'made'"
    assert any_scene.conn.execute(made).fetchone() == (0,)


def test_a_failed_batch_is_told_once_without_payloads(
    any_scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    takes_batches(any_scene)
    good, bad = _with_a_bad_one(any_scene)
    with caplog.at_level(logging.INFO, "azoth_dlq"):
        any_scene.drain()
    (said,) = [r.getMessage() for r in caplog.records if "as a batch" in r.getMessage()]
    assert said == (
        f"6 letters from {good[1]} on: failed as a batch in tests.engine.batching.Batching, "
        "now called one by one: ValueError: a batch with a bad one"
    )
    assert f"letter {bad}" in caplog.text
    assert repr(BAD) not in caplog.text


@pytest.mark.parametrize("fails", [False, True])
def test_a_batch_that_held_the_lock_for_long_is_told(
    any_scene: Scene, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    def act(*_: object) -> None:
        time.sleep(1.05)
        if fails:
            raise ValueError("late")

    takes_batches(any_scene, Batching(acts=act))
    letters = [any_scene.letter("batch") for _ in range(3)]
    any_scene.drain()
    handler = "handler tests.engine.batching.Batching"
    assert f"3 letters from {letters[0]} on: {handler} kept the file locked" in caplog.text


@pytest.mark.parametrize("fails", [False, True])
def test_a_shutdown_during_a_batch_ends_the_drain_after_it(any_scene: Scene, fails: bool) -> None:
    def shut_down(*_: object) -> None:
        replayer.shutdown()
        if fails:
            raise ValueError("no batches")

    handler = takes_batches(any_scene, Batching(acts=shut_down), most=3)
    letters = [any_scene.letter("batch") for _ in range(6)]
    replayer = any_scene.replay()
    report = replayer.drain()
    assert report.stopped == "shutdown"
    assert handler.batches == [letters[:3]]
    assert any_scene.effects() == ([] if fails else letters[:3])
    assert set(_retry_counts(any_scene).values()) == {0}
