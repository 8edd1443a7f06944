"""A drain after a stop begins with probes: one letter at a time, until an outcome counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    DlqReplayer,
    EventDecodeError,
    NonRetryable,
    ReplayReport,
    RetryAfter,
    Snooze,
)
from tests.conftest import Scene

AT_ONCE: dict[str, Any] = {"min_age": 0, "backoff": BackoffStrategy.fixed(0), "max_retries": 99}
SILENT = [NonRetryable("gone"), Snooze(3600), EventDecodeError("odd")]


class Downstream:
    """What the handler `sends` calls: up, or down; some letters have an outcome of their own."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.is_down = True
        self.outcomes: dict[int, BaseException] = {}
        self.calls: list[int] = []
        scene.registry.register("sends", self._send)

    def _send(self, conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        self.calls.append(event_id)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        if event_id in self.outcomes:
            raise self.outcomes[event_id]
        if self.is_down:
            raise ConnectionError("nobody answers")

    def letters(self, *outcomes: BaseException | None) -> list[int]:
        letters = [self.scene.letter("sends") for _ in outcomes]
        self.outcomes |= {
            i: outcome for i, outcome in zip(letters, outcomes, strict=True) if outcome is not None
        }
        return letters

    def calls_of(self, drain: Callable[[], ReplayReport]) -> tuple[list[int], ReplayReport]:
        self.calls.clear()
        report = drain()
        return self.calls[:], report


@pytest.fixture
def downstream(scene: Scene) -> Downstream:
    return Downstream(scene)


def _replayer(scene: Scene, most: int | None = 2, **settings: Any) -> DlqReplayer:
    return scene.replay(stop_on_consecutive_failures=most, **AT_ONCE, **settings)


def _stopped(downstream: Downstream, before: Sequence[BaseException | None] = ()) -> DlqReplayer:
    """A replayer that two failures have stopped; a letter of each outcome of `before` comes first,
    and four behind them, of which two have failed."""
    replayer = _replayer(downstream.scene)
    failed = downstream.letters(None, None)
    assert replayer.drain().stopped == "failures"
    downstream.scene.conn.execute("UPDATE dead_letter_queue SET retry_count = 9")
    assert downstream.calls == failed
    downstream.letters(*before, None, None)
    return replayer


def _drain(replayer: DlqReplayer) -> ReplayReport:
    return replayer.drain()


def _cycle(replayer: DlqReplayer) -> ReplayReport:
    return replayer.run_replay_cycle()


def _stopped_at(scene: Scene) -> int | None:
    return scene.queue.store.figures().stopped_at


# The count


def test_failures_are_counted_across_the_drains_of_a_replayer(
    scene: Scene, downstream: Downstream
) -> None:
    replayer = _replayer(scene, 3)
    first = downstream.letters(None, None)
    assert replayer.drain().stopped is None
    scene.conn.execute("UPDATE dead_letter_queue SET retry_count = 9")
    third, _ = downstream.letters(None, None)
    calls, report = downstream.calls_of(replayer.drain)
    assert (calls, report.stopped) == ([third], "failures")
    assert third not in first


def test_failures_are_counted_from_a_drain_to_a_cycle_and_a_single_letter(
    scene: Scene, downstream: Downstream
) -> None:
    replayer = _replayer(scene, 3)
    [letter] = downstream.letters(None)
    stops = [
        replayer.drain().stopped,
        replayer.run_replay_cycle().stopped,
        replayer.replay(letter).stopped,
    ]
    assert stops == [None, None, "failures"]


def test_another_replayer_counts_for_itself(scene: Scene, downstream: Downstream) -> None:
    downstream.letters(None, None)
    assert _replayer(scene, 3).drain().stopped is None
    calls, report = downstream.calls_of(_replayer(scene, 3).drain)
    assert (len(calls), report.stopped) == (2, None)


def test_a_success_between_two_drains_starts_the_count_anew(
    scene: Scene, downstream: Downstream
) -> None:
    replayer = _replayer(scene, 2)
    [letter] = downstream.letters(None)
    replayer.drain()
    good = scene.letter()
    assert replayer.replay(good).succeeded == 1
    assert replayer.replay(letter).stopped is None
    assert replayer.replay(letter).stopped == "failures"


def test_what_is_not_committed_is_not_counted(scene: Scene, downstream: Downstream) -> None:
    """A group is lost by the letter behind the failure, and both are done again."""
    scene.conn.execute("CREATE TABLE once (x UNIQUE)")
    scene.conn.execute("INSERT INTO once VALUES (1)")

    def lose(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        downstream.calls.append(event_id)
        conn.execute("INSERT OR ROLLBACK INTO once VALUES (1)")

    scene.registry.register("loses", lose)
    [first] = downstream.letters(None)
    culprit = scene.letter("loses")
    [third, fourth, fifth] = downstream.letters(None, None, None)
    report = _replayer(scene, 4).drain()
    # The first is called once more with the group; its attempt is one.
    assert downstream.calls == [first, culprit, first, third, fourth]
    assert (report.failed, report.stopped, report.remaining) == (4, "failures", 1)
    assert fifth in scene.left()


def test_a_stop_in_a_group_that_is_lost_is_counted_once(
    scene: Scene, downstream: Downstream
) -> None:
    scene.conn.execute("PRAGMA foreign_keys = ON")
    scene.conn.executescript(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
        "CREATE TABLE child (parent REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)"
    )

    def orphan(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO child VALUES (?)", (event_id,))

    scene.registry.register("orphan", orphan)
    culprit = scene.letter("orphan")
    failed = downstream.letters(None, None, None)
    # Refused at COMMIT: the orphan fails first of all, and is counted with the others.
    report = _replayer(scene, 3).drain()
    assert (report.failed, report.stopped, report.remaining) == (3, "failures", 1)
    retried = {letter.id for letter in scene.queue.letters() if letter.retry_count}
    assert retried == {culprit, *failed[:2]}


# Probes


@pytest.mark.parametrize("attempt", [_drain, _cycle])
def test_after_a_stop_a_failure_stops_the_next_one_after_one_attempt(
    downstream: Downstream, attempt: Callable[[DlqReplayer], ReplayReport]
) -> None:
    replayer = _stopped(downstream)
    for _ in range(3):
        calls, report = downstream.calls_of(lambda: attempt(replayer))
        assert len(calls) == 1
        assert (report.failed, report.attempted, report.stopped) == (1, 1, "failures")
        assert report.remaining == 3


def test_retry_after_stops_a_probe(downstream: Downstream) -> None:
    replayer = _stopped(downstream, [RetryAfter(60)])
    calls, report = downstream.calls_of(replayer.drain)
    assert (len(calls), report.stopped) == (1, "failures")


@pytest.mark.parametrize("attempt", [_drain, _cycle])
def test_after_a_stop_a_success_lets_it_go_on_in_full_groups(
    scene: Scene, downstream: Downstream, attempt: Callable[[DlqReplayer], ReplayReport]
) -> None:
    replayer = _stopped(downstream, [None] * 20)
    downstream.is_down = False
    groups = replayer.metrics.snapshot().groups
    calls, report = downstream.calls_of(lambda: attempt(replayer))
    assert (len(calls), report.succeeded, report.stopped) == (24, 24, None)
    # A probe, and the others.
    assert replayer.metrics.snapshot().groups - groups == 2
    assert scene.left() == []


def test_a_success_of_a_probe_starts_the_count_anew(scene: Scene, downstream: Downstream) -> None:
    replayer = _stopped(downstream)
    downstream.is_down = False
    good = scene.letter()
    replayer.replay(good)
    downstream.is_down = True
    calls, report = downstream.calls_of(replayer.drain)
    assert (len(calls), report.stopped) == (2, "failures")


@pytest.mark.parametrize("silent", SILENT, ids=repr)
@pytest.mark.parametrize("attempt", [_drain, _cycle])
def test_what_says_nothing_about_the_outside_lets_the_probe_go_on(
    downstream: Downstream,
    silent: Exception,
    attempt: Callable[[DlqReplayer], ReplayReport],
) -> None:
    replayer = _stopped(downstream, [silent, silent, silent])
    calls, report = downstream.calls_of(lambda: attempt(replayer))
    assert (len(calls), report.attempted, report.stopped) == (4, 4, "failures")


def test_rows_that_cannot_be_read_let_the_probe_go_on(scene: Scene, downstream: Downstream) -> None:
    replayer = _stopped(downstream)
    scene.letter("unknown", failed_at="2026-11-24 09:00:00")
    scene.letter(event_bytes=5, failed_at="2026-11-24 09:00:00")
    scene.letter(failed_at="?")
    scene.letter(retry_count=99)
    calls, report = downstream.calls_of(replayer.drain)
    assert (len(calls), report.failed, report.parked) == (1, 2, 3)
    assert report.stopped == "failures"


@pytest.mark.parametrize("silent", SILENT, ids=repr)
def test_a_probe_is_one_letter_a_group(downstream: Downstream, silent: Exception) -> None:
    replayer = _stopped(downstream, [silent, silent])
    attempted: list[int] = []
    replayer.drain(on_progress=lambda report: attempted.append(report.attempted))
    assert attempted == [1, 2, 3]


def test_a_drain_that_met_nothing_that_counts_leaves_the_next_one_probing(
    downstream: Downstream,
) -> None:
    replayer = _replayer(downstream.scene)
    downstream.letters(None, None)
    replayer.drain()
    [snoozed] = downstream.letters(Snooze(0))
    assert replayer.replay(snoozed).stopped is None
    calls, report = downstream.calls_of(lambda: replayer.drain(now=True))
    assert calls[0] == snoozed
    assert (len(calls), report.stopped) == (2, "failures")


def test_an_interrupted_probe_is_made_again(downstream: Downstream) -> None:
    replayer = _stopped(downstream, [KeyboardInterrupt()])
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            replayer.drain()
    downstream.outcomes.clear()
    calls, report = downstream.calls_of(replayer.drain)
    assert (len(calls), report.stopped) == (1, "failures")


def test_a_probe_whose_group_is_lost_stops_after_its_letter(downstream: Downstream) -> None:
    scene = downstream.scene
    replayer = _stopped(downstream)
    scene.conn.execute("CREATE TABLE once (x UNIQUE)")
    scene.conn.execute("INSERT INTO once VALUES (1)")
    scene.registry.register(
        "loses", lambda conn, *_: conn.execute("INSERT OR ROLLBACK INTO once VALUES (1)")
    )
    culprit = scene.letter("loses", failed_at="2026-11-24 09:00:00")
    calls, report = downstream.calls_of(replayer.drain)
    assert (calls, report.failed, report.stopped) == ([], 1, "failures")
    letter = scene.queue.get(culprit)
    assert letter is not None
    assert letter.retry_count == 1


class Sender:
    """A handler of batches that fails as long as `is_down`."""

    def __init__(self) -> None:
        self.is_down = True
        self.batches: list[int] = []
        self.singles = 0

    def _answer(self) -> None:
        if self.is_down:
            raise ConnectionError("nobody answers")

    def handle(self, *_args: object) -> None:
        self.singles += 1
        self._answer()

    def handle_batch(self, _conn: object, events: Sequence[object]) -> None:
        self.batches.append(len(events))
        self._answer()


@pytest.mark.parametrize("transactional", [True, False], ids=["within", "outside"])
def test_a_probe_of_a_handler_of_batches_is_a_batch_of_one(
    scene: Scene, transactional: bool
) -> None:
    sender = Sender()
    scene.registry.register("batch", sender, transactional=transactional)
    for _ in range(10):
        scene.letter("batch")
    replayer = _replayer(scene)
    assert replayer.drain().stopped == "failures"
    sender.batches.clear()
    sender.singles = 0
    report = replayer.drain()
    assert (sender.batches, sender.singles) == ([1], 1)
    assert (report.failed, report.stopped) == (1, "failures")
    sender.batches.clear()
    sender.is_down = False
    report = replayer.drain()
    assert sender.batches == [1, 9]
    assert (report.succeeded, report.stopped) == (10, None)


def test_a_probe_of_a_handler_outside_the_transaction_is_one_call(scene: Scene) -> None:
    sender = Sender()
    scene.registry.register("outside", sender.handle, transactional=False)
    for _ in range(6):
        scene.letter("outside")
    replayer = _replayer(scene)
    assert replayer.drain().stopped == "failures"
    assert sender.singles == 2
    report = replayer.drain()
    assert (sender.singles, report.failed, report.stopped) == (3, 1, "failures")
    sender.is_down = False
    assert replayer.drain().succeeded == 6


# How many


def test_none_counts_but_never_stops_nor_probes(scene: Scene, downstream: Downstream) -> None:
    replayer = _replayer(scene, None)
    downstream.letters(*[None] * 30)
    for _ in range(2):
        groups = replayer.metrics.snapshot().groups
        calls, report = downstream.calls_of(replayer.drain)
        assert (len(calls), report.stopped) == (30, None)
        assert replayer.metrics.snapshot().groups - groups == 1
    assert _stopped_at(scene) is None


def test_one_stops_at_the_first_failure_and_probes_from_then_on(
    scene: Scene, downstream: Downstream
) -> None:
    replayer = _replayer(scene, 1)
    downstream.letters(*[None] * 5)
    for _ in range(3):
        calls, report = downstream.calls_of(replayer.drain)
        assert (len(calls), report.stopped) == (1, "failures")
    downstream.is_down = False
    groups = replayer.metrics.snapshot().groups
    assert replayer.drain().succeeded == 5
    assert replayer.metrics.snapshot().groups - groups == 2


# What the file tells of it


def test_a_stop_is_recorded_since_it_began_and_until_a_success(
    scene: Scene, downstream: Downstream
) -> None:
    replayer = _replayer(scene)
    downstream.letters(None, None, None)
    assert _stopped_at(scene) is None
    began = scene.clock.now
    replayer.drain()
    assert _stopped_at(scene) == began
    scene.clock.move(minutes=1)
    assert replayer.drain().stopped == "failures"
    assert _stopped_at(scene) == began
    downstream.is_down = False
    replayer.drain()
    assert _stopped_at(scene) is None


def test_a_success_of_another_replayer_ends_the_stop(scene: Scene, downstream: Downstream) -> None:
    replayer = _replayer(scene)
    downstream.letters(None, None, None)
    replayer.drain()
    good = scene.letter()
    assert scene.replay(**AT_ONCE).replay(good).succeeded == 1
    assert _stopped_at(scene) is None
    scene.clock.move(minutes=1)
    assert replayer.drain().stopped == "failures"
    assert _stopped_at(scene) == scene.clock.now


@pytest.mark.parametrize("silent", SILENT, ids=repr)
def test_what_says_nothing_about_the_outside_ends_no_stop(
    scene: Scene, downstream: Downstream, silent: Exception
) -> None:
    replayer = _replayer(scene)
    downstream.letters(None, None)
    replayer.drain()
    began = _stopped_at(scene)
    assert began is not None
    [letter] = downstream.letters(silent)
    replayer.replay(letter)
    assert _stopped_at(scene) == began


def test_a_success_before_the_failures_of_its_group_leaves_it_stopped(
    scene: Scene, downstream: Downstream
) -> None:
    scene.letter()
    downstream.letters(None, None)
    report = _replayer(scene).drain()
    assert (report.succeeded, report.stopped) == (1, "failures")
    assert _stopped_at(scene) == scene.clock.now


def test_the_counters_tell_of_the_last_drain(scene: Scene, downstream: Downstream) -> None:
    replayer = _replayer(scene)
    downstream.letters(None, None)
    replayer.drain()
    assert replayer.metrics.snapshot().stopped
    downstream.is_down = False
    replayer.drain()
    assert not replayer.metrics.snapshot().stopped
