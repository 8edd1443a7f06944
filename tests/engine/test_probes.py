"""A drain after a stop begins with probes: one letter at a time, until an outcome counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from azoth_dlq import DlqReplayer, ReplayReport, RetryAfter, Snooze
from tests.conftest import Scene
from tests.engine.downstream import SILENT, Downstream, replayer_of


def _stopped(downstream: Downstream, before: Sequence[BaseException | None] = ()) -> DlqReplayer:
    """A replayer that two failures have stopped; a letter of each outcome of `before` comes first,
    and four behind them, of which two have failed."""
    replayer = replayer_of(downstream.scene)
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
    replayer = replayer_of(downstream.scene)
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
    replayer = replayer_of(scene)
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
    replayer = replayer_of(scene)
    assert replayer.drain().stopped == "failures"
    assert sender.singles == 2
    report = replayer.drain()
    assert (sender.singles, report.failed, report.stopped) == (3, 1, "failures")
    sender.is_down = False
    assert replayer.drain().succeeded == 6
