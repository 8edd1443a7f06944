"""A stop is recorded in the file: who drains it next probes, too, until no letter is left."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer, NonRetryable, ReplayReport
from azoth_dlq.clock import to_datetime
from azoth_dlq.status import look
from azoth_dlq.store.base import Opened
from tests.conftest import Scene
from tests.engine.downstream import AT_ONCE, SILENT, Downstream, replayer_of, stopped_at
from tests.engine.running import Sleeper

HOURS_LATER = {**AT_ONCE, "min_age": 7200}  # nothing is due


@pytest.fixture
def another(scene: Scene) -> Iterator[DeadLetterQueue]:
    """The same letters, as another process has them open."""
    assert scene.path is not None
    with DeadLetterQueue.open(scene.path) as queue:
        yield queue


def _stop(scene: Scene, downstream: Downstream) -> None:
    """Failures of two letters stop a replayer; no later drain has them before any other."""
    downstream.letters(None, None)
    assert replayer_of(scene).drain().stopped == "failures"
    scene.conn.execute("UPDATE dead_letter_queue SET retry_count = 9")


def _drain(replayer: DlqReplayer) -> ReplayReport:
    return replayer.drain()


def _drain_now(replayer: DlqReplayer) -> ReplayReport:
    return replayer.drain(now=True)


def _cycle(replayer: DlqReplayer) -> ReplayReport:
    return replayer.run_replay_cycle()


# The next one probes


@pytest.mark.parametrize("attempt", [_drain, _drain_now, _cycle])
def test_a_failure_of_its_first_letter_stops_another_replayer(
    scene: Scene, downstream: Downstream, attempt: Callable[[DlqReplayer], ReplayReport]
) -> None:
    _stop(scene, downstream)
    downstream.letters(*[None] * 5)
    for _ in range(3):
        # Whatever number stops it.
        calls, report = downstream.calls_of(lambda: attempt(replayer_of(scene, 4)))
        assert (len(calls), report.failed, report.stopped) == (1, 1, "failures")


@pytest.mark.parametrize("attempt", [_drain, _drain_now, _cycle])
def test_a_success_lets_another_replayer_go_on_in_full_groups(
    scene: Scene, downstream: Downstream, attempt: Callable[[DlqReplayer], ReplayReport]
) -> None:
    _stop(scene, downstream)
    downstream.letters(*[None] * 20)
    downstream.is_down = False
    replayer = replayer_of(scene)
    report = attempt(replayer)
    assert (report.succeeded, report.stopped) == (22, None)
    # A probe, and the others.
    assert replayer.metrics.snapshot().groups == 2
    assert stopped_at(scene) is None


@pytest.mark.parametrize("silent", SILENT, ids=repr)
def test_what_says_nothing_about_the_outside_lets_another_replayer_go_on_probing(
    scene: Scene, downstream: Downstream, silent: Exception
) -> None:
    _stop(scene, downstream)
    downstream.letters(silent, silent, None, None)
    calls, report = downstream.calls_of(replayer_of(scene).drain)
    assert (len(calls), report.attempted, report.stopped) == (3, 3, "failures")


def test_a_probe_whose_letters_are_gone_takes_the_next_one(
    scene: Scene, downstream: Downstream
) -> None:
    _stop(scene, downstream)
    scene.letter(retry_count=99)
    gone = downstream.letters(None, None)
    left = downstream.letters(None, None)
    downstream.is_down = False

    def remove(report: ReplayReport) -> None:
        if not report.attempted:  # the exhausted letter has been parked
            scene.queue.discard(gone)

    replayer = replayer_of(scene)
    calls, report = downstream.calls_of(lambda: replayer.drain(on_progress=remove))
    assert (report.parked, report.skipped, report.succeeded, report.stopped) == (1, 2, 4, None)
    assert calls[:2] == left


def test_who_never_stops_does_not_probe(scene: Scene, downstream: Downstream) -> None:
    _stop(scene, downstream)
    downstream.letters(*[None] * 5)
    replayer = replayer_of(scene, None)
    calls, report = downstream.calls_of(replayer.drain)
    assert (len(calls), report.stopped) == (7, None)
    assert replayer.metrics.snapshot().groups == 1


def test_a_letter_asked_for_by_id_is_no_probe(scene: Scene, downstream: Downstream) -> None:
    _stop(scene, downstream)
    [letter] = downstream.letters(None)
    replayer = replayer_of(scene)
    assert replayer.replay(letter).stopped is None
    # It is one of two failures in a row.
    assert replayer.replay(letter).stopped == "failures"


def test_a_drain_that_others_overtake_goes_over_to_probing(
    scene: Scene, downstream: Downstream, another: DeadLetterQueue
) -> None:
    downstream.is_down = False
    config = DlqReplayConfig(**AT_ONCE, stop_on_consecutive_failures=2)
    other = DlqReplayer(another, scene.registry, config, clock=scene.clock)

    def overtake(report: ReplayReport) -> None:
        if report.attempted == 1:
            downstream.is_down = True
            assert other.drain().stopped == "failures"

    downstream.letters(*[None] * 6)
    # A letter a group.
    report = replayer_of(scene, max_transaction_time=1e-6).drain(on_progress=overtake)
    assert (report.succeeded, report.skipped, report.failed) == (1, 2, 1)
    assert (report.stopped, report.remaining) == ("failures", 2)


# An empty queue


def _discard(scene: Scene) -> None:
    scene.queue.discard(scene.left())


def _clear(scene: Scene) -> None:
    scene.queue.clear()


def _delete_elsewhere(scene: Scene) -> None:
    assert scene.path is not None
    with closing(sqlite3.connect(scene.path)) as connection, connection:
        connection.execute("DELETE FROM dead_letter_queue")


def _park(scene: Scene) -> None:
    # Not called, so that nothing was learned of the outside.
    scene.conn.execute("UPDATE dead_letter_queue SET retry_count = 99")
    assert scene.drain().parked == 2


WAYS = pytest.mark.parametrize("empty", [_discard, _clear, _delete_elsewhere, _park])


def _told(scene: Scene) -> object:
    return look(scene.queue.store, DlqReplayConfig(), scene.clock()).stopped_at


@WAYS
def test_status_tells_of_no_stop_where_no_letter_is_left(
    scene: Scene, downstream: Downstream, empty: Callable[[Scene], None]
) -> None:
    _stop(scene, downstream)
    assert _told(scene) == to_datetime(scene.clock.now)
    empty(scene)
    assert _told(scene) is None


@WAYS
def test_a_drain_that_finds_no_letter_ends_the_stop(
    scene: Scene, downstream: Downstream, empty: Callable[[Scene], None]
) -> None:
    _stop(scene, downstream)
    empty(scene)
    replayer = replayer_of(scene)
    assert replayer.drain().stopped is None
    assert stopped_at(scene) is None
    downstream.letters(None, None, None)
    assert _told(scene) is None
    # It takes as many failures as ever.
    calls, report = downstream.calls_of(replayer.drain)
    assert (len(calls), report.stopped) == (2, "failures")


def test_a_letter_that_is_not_due_keeps_it_stopped(scene: Scene, downstream: Downstream) -> None:
    _stop(scene, downstream)
    assert scene.replay(**HOURS_LATER).drain().waiting == 2
    assert _told(scene) == to_datetime(scene.clock.now)


def test_a_letter_that_is_not_there_does_not_end_the_stop(
    scene: Scene, downstream: Downstream
) -> None:
    _stop(scene, downstream)
    assert replayer_of(scene).replay(10**6).skipped == 1
    assert stopped_at(scene) is not None


def test_a_letter_added_before_the_lock_is_had_keeps_it_stopped(
    scene: Scene,
    downstream: Downstream,
    another: DeadLetterQueue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _stop(scene, downstream)
    scene.queue.clear()
    begin = scene.queue.store.begin

    def add_before() -> Opened:
        another.add(1, b"sends:", "boom")
        return begin()

    monkeypatch.setattr(scene.queue.store, "begin", add_before)
    assert replayer_of(scene).drain().attempted == 0
    assert stopped_at(scene) is not None


def test_an_empty_queue_that_is_not_stopped_is_not_written(scene: Scene) -> None:
    changes = scene.conn.total_changes
    replayer = replayer_of(scene)
    replayer.drain()
    assert replayer.metrics.snapshot().groups == 0
    assert scene.conn.total_changes == changes


def test_a_run_ends_the_stop_of_a_queue_that_others_empty(
    scene: Scene, downstream: Downstream
) -> None:
    downstream.letters(None, None)
    sleeper = Sleeper(scene, sleeps=2)
    sleeper.during = {1: lambda: _delete_elsewhere(scene)}
    sleeper.replay(stop_on_consecutive_failures=2, **AT_ONCE).run()
    assert downstream.calls
    assert stopped_at(scene) is None


def test_the_last_letter_may_be_parked_by_the_failure_that_stops(
    scene: Scene, downstream: Downstream
) -> None:
    downstream.letters(None, NonRetryable("gone"))
    scene.conn.execute("UPDATE dead_letter_queue SET retry_count = 98")
    report = replayer_of(scene, 1).drain()
    assert (report.stopped, report.parked) == ("failures", 1)
    report = replayer_of(scene, 1).drain()
    assert (report.stopped, report.parked) == (None, 1)
    assert _told(scene) is None
    assert stopped_at(scene) is not None
    replayer_of(scene, 1).drain()
    assert stopped_at(scene) is None
