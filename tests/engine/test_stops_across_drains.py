"""Failures in a row are counted across the drains of a replayer; the file tells of a stop."""

from __future__ import annotations

import sqlite3

import pytest

from tests.conftest import Scene
from tests.engine.downstream import AT_ONCE, SILENT, Downstream, replayer_of, stopped_at
from tests.engine.lost_groups import add_orphan, refuse_orphans

# The count


def test_failures_are_counted_across_the_drains_of_a_replayer(
    scene: Scene, downstream: Downstream
) -> None:
    replayer = replayer_of(scene, 3)
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
    replayer = replayer_of(scene, 3)
    [letter] = downstream.letters(None)
    stops = [
        replayer.drain().stopped,
        replayer.run_replay_cycle().stopped,
        replayer.replay(letter).stopped,
    ]
    assert stops == [None, None, "failures"]


def test_another_replayer_counts_for_itself(scene: Scene, downstream: Downstream) -> None:
    downstream.letters(None, None)
    assert replayer_of(scene, 3).drain().stopped is None
    calls, report = downstream.calls_of(replayer_of(scene, 3).drain)
    assert (len(calls), report.stopped) == (2, None)


def test_a_success_between_two_drains_starts_the_count_anew(
    scene: Scene, downstream: Downstream
) -> None:
    replayer = replayer_of(scene, 2)
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
    report = replayer_of(scene, 4).drain()
    # The first is called once more with the group; its attempt is one.
    assert downstream.calls == [first, culprit, first, third, fourth]
    assert (report.failed, report.stopped, report.remaining) == (4, "failures", 1)
    assert fifth in scene.left()


def test_a_stop_in_a_group_that_is_lost_is_counted_once(
    scene: Scene, downstream: Downstream
) -> None:
    refuse_orphans(scene)
    scene.registry.register("orphan", add_orphan)
    culprit = scene.letter("orphan")
    failed = downstream.letters(None, None, None)
    # Refused at COMMIT: the orphan fails first of all, and is counted with the others.
    report = replayer_of(scene, 3).drain()
    assert (report.failed, report.stopped, report.remaining) == (3, "failures", 1)
    retried = {letter.id for letter in scene.queue.letters() if letter.retry_count}
    assert retried == {culprit, *failed[:2]}


# How many


def test_none_counts_but_never_stops_nor_probes(scene: Scene, downstream: Downstream) -> None:
    replayer = replayer_of(scene, None)
    downstream.letters(*[None] * 30)
    for _ in range(2):
        groups = replayer.metrics.snapshot().groups
        calls, report = downstream.calls_of(replayer.drain)
        assert (len(calls), report.stopped) == (30, None)
        assert replayer.metrics.snapshot().groups - groups == 1
    assert stopped_at(scene) is None


def test_one_stops_at_the_first_failure_and_probes_from_then_on(
    scene: Scene, downstream: Downstream
) -> None:
    replayer = replayer_of(scene, 1)
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
    replayer = replayer_of(scene)
    downstream.letters(None, None, None)
    assert stopped_at(scene) is None
    began = scene.clock.now
    replayer.drain()
    assert stopped_at(scene) == began
    scene.clock.move(minutes=1)
    assert replayer.drain().stopped == "failures"
    assert stopped_at(scene) == began
    downstream.is_down = False
    replayer.drain()
    assert stopped_at(scene) is None


def test_a_success_of_another_replayer_ends_the_stop(scene: Scene, downstream: Downstream) -> None:
    replayer = replayer_of(scene)
    downstream.letters(None, None, None)
    replayer.drain()
    good = scene.letter()
    assert scene.replay(**AT_ONCE).replay(good).succeeded == 1
    assert stopped_at(scene) is None
    scene.clock.move(minutes=1)
    assert replayer.drain().stopped == "failures"
    assert stopped_at(scene) == scene.clock.now


@pytest.mark.parametrize("silent", SILENT, ids=repr)
def test_what_says_nothing_about_the_outside_ends_no_stop(
    scene: Scene, downstream: Downstream, silent: Exception
) -> None:
    replayer = replayer_of(scene)
    downstream.letters(None, None)
    replayer.drain()
    began = stopped_at(scene)
    assert began is not None
    [letter] = downstream.letters(silent)
    replayer.replay(letter)
    assert stopped_at(scene) == began


def test_a_success_before_the_failures_of_its_group_leaves_it_stopped(
    scene: Scene, downstream: Downstream
) -> None:
    scene.letter()
    downstream.letters(None, None)
    report = replayer_of(scene).drain()
    assert (report.succeeded, report.stopped) == (1, "failures")
    assert stopped_at(scene) == scene.clock.now


def test_the_counters_tell_of_the_last_drain(scene: Scene, downstream: Downstream) -> None:
    replayer = replayer_of(scene)
    downstream.letters(None, None)
    replayer.drain()
    assert replayer.metrics.snapshot().stopped
    downstream.is_down = False
    replayer.drain()
    assert not replayer.metrics.snapshot().stopped
