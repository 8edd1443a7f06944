"""A run: how long it sleeps, and what it finds when it wakes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from azoth_dlq import BackoffStrategy, RetryAfter, Snooze
from azoth_dlq.engine import plan
from tests.conftest import Scene
from tests.engine.running import Sleeper, count_looks, run

SOON = "2026-11-24 11:59:50"  # ten seconds before now
LONG_AGO = "2026-11-24 10:00:00"
YEAR = timedelta(days=365).total_seconds()


# What it sleeps


def test_an_empty_queue_is_looked_at_every_check_interval(scene: Scene) -> None:
    report, slept = run(scene, 3, check_interval=45)
    assert slept == [45.0, 45.0, 45.0]
    assert (report.attempted, report.stopped, report.next_due) == (0, "shutdown", None)


def test_it_drains_at_once_and_looks_again_a_second_later(scene: Scene) -> None:
    letters = [scene.letter() for _ in range(3)]
    report, slept = run(scene, 2)
    assert scene.effects() == letters
    assert slept == [1.0, 60.0]
    assert report.succeeded == 3


def test_it_sleeps_until_the_next_letter_is_due(scene: Scene) -> None:
    later = scene.letter(failed_at="2026-11-24 11:59:40")
    sooner = scene.letter(failed_at=SOON)
    report, slept = run(scene, 4, min_age=30)
    # In 10 s and in 20 s; after each that was replayed the others are looked at a second later.
    assert slept == [10.0, 1.0, 9.0, 1.0]
    assert scene.calls == [later, sooner]
    assert report.succeeded == 2


def test_it_sleeps_a_fraction_of_a_second_where_a_letter_is_due_between(scene: Scene) -> None:
    scene.letter(failed_at="2026-11-24 11:59:57.250000")
    _, slept = run(scene, 1, min_age=5, backoff=BackoffStrategy.fixed(0))
    assert slept == [2.25]


def test_it_wakes_at_most_once_a_second(scene: Scene) -> None:
    for tenths in range(9):
        scene.letter(failed_at=f"2026-11-24 11:59:55.{tenths}00000")
    report, slept = run(scene, 3, min_age=5, backoff=BackoffStrategy.fixed(0))
    assert slept == [1.0, 1.0, 60.0]
    assert report.succeeded == 9


def test_a_letter_that_is_due_within_a_second_is_waited_for_a_second(scene: Scene) -> None:
    letter = scene.letter(failed_at="2026-11-24 11:59:55.300000")
    _, slept = run(scene, 2, min_age=5, backoff=BackoffStrategy.fixed(0))
    assert slept == [1.0, 1.0]
    assert scene.calls == [letter]


def test_it_never_sleeps_longer_than_check_interval(scene: Scene) -> None:
    scene.letter(failed_at="2026-11-24 11:59:00")
    report, slept = run(scene, 4, min_age=200, check_interval=60)
    assert slept == [60.0, 60.0, 20.0, 1.0]
    assert report.succeeded == 1


def test_a_check_interval_under_a_second_is_kept(scene: Scene) -> None:
    scene.letter()
    _, slept = run(scene, 3, check_interval=0.25)
    assert slept == [0.25, 0.25, 0.25]


def test_a_letter_that_failed_is_due_again_after_its_backoff(scene: Scene) -> None:
    letter = scene.letter("fails")
    report, slept = run(scene, 6, backoff=BackoffStrategy.exponential(20, 3600))
    # In 40 s and in 80 s, with a look at the others in between.
    assert slept == [1.0, 39.0, 1.0, 60.0, 19.0, 1.0]
    assert scene.calls == [letter] * 3
    assert (report.failed, report.attempted) == (3, 3)


@pytest.mark.parametrize("outcome", [Snooze(12), RetryAfter(12)], ids=repr)
def test_a_letter_whose_handler_asked_for_time_is_due_then(
    scene: Scene, outcome: Exception
) -> None:
    def waits(*_args: object) -> None:
        raise outcome

    scene.registry.register("waits", waits)
    scene.letter("waits")
    report, slept = run(scene, 3, min_age=0)
    assert slept == [1.0, 11.0, 1.0]
    assert report.attempted == 2


def test_letters_added_while_it_sleeps_are_found_at_the_next_look(scene: Scene) -> None:
    added: list[int] = []
    report, slept = run(scene, 3, {1: lambda: added.append(scene.letter())})
    assert slept == [60.0, 1.0, 60.0]
    assert scene.calls == added
    assert report.succeeded == 1


def test_a_letter_that_another_program_made_due_is_found_at_the_next_look(scene: Scene) -> None:
    letter = scene.letter(retry_count=4, last_retry_at=SOON)

    def forget() -> None:
        with closing(sqlite3.connect(str(scene.path), isolation_level=None)) as other:
            other.execute("UPDATE dead_letter_queue SET retry_count = 0, last_retry_at = NULL")

    report, slept = run(scene, 3, {2: forget}, backoff=BackoffStrategy.exponential(1000, 10**6))
    assert slept == [60.0, 60.0, 1.0]
    assert (scene.calls, report.succeeded) == ([letter], 1)


def test_a_letter_that_waits_for_ever_does_no_harm(scene: Scene) -> None:
    scene.letter(retry_count=4, last_retry_at=SOON)
    report, slept = run(scene, 2, backoff=BackoffStrategy.fixed(timedelta.max), check_interval=7)
    assert slept == [7.0, 7.0]
    assert report.attempted == 0


def test_parked_rows_are_a_drain_that_did_something(scene: Scene) -> None:
    scene.letter(failed_at="?")
    report, slept = run(scene, 2)
    assert (report.parked, report.unreadable) == (1, 1)
    assert slept == [1.0, 60.0]


# Stops


def test_after_a_stop_it_probes_once_a_check_interval(scene: Scene) -> None:
    for _ in range(5):
        scene.letter("fails")
    sleeper = Sleeper(scene, 3)
    replayer = sleeper.replay(
        stop_on_consecutive_failures=2, backoff=BackoffStrategy.fixed(0), min_age=0
    )
    report = replayer.run()
    assert sleeper.asked == [60.0, 60.0, 60.0]
    assert len(scene.calls) == 2 + 1 + 1
    assert (report.failed, report.stopped) == (4, "shutdown")


def test_when_the_downstream_is_back_the_next_probe_lets_it_go_on(scene: Scene) -> None:
    is_down = True

    def sends(*_args: object) -> None:
        if is_down:
            raise ConnectionError("nobody answers")

    def mend() -> None:
        nonlocal is_down
        is_down = False

    scene.registry.register("sends", sends)
    for _ in range(30):
        scene.letter("sends")
    report, slept = run(scene, 3, {1: mend}, stop_on_consecutive_failures=2)
    assert slept[:2] == [60.0, 1.0]
    assert (report.succeeded, report.failed) == (30, 2)
    assert scene.left() == []


def test_the_count_goes_on_from_a_drain_into_a_run_and_out_of_it(scene: Scene) -> None:
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    scene.registry.register("interrupts", interrupt)
    for _ in range(9):
        scene.letter("fails")
    sleeper = Sleeper(scene, 99)
    sleeper.during = {1: lambda: scene.letter("interrupts", failed_at="2026-11-24 01:00:00")}
    replayer = sleeper.replay(
        stop_on_consecutive_failures=3, backoff=BackoffStrategy.fixed(0), min_age=0
    )
    replayer.run_replay_cycle()
    assert len(scene.calls) == 3
    with pytest.raises(KeyboardInterrupt):
        replayer.run()
    assert len(scene.calls) == 4
    scene.queue.remove(10)
    replayer.drain()
    assert len(scene.calls) == 5


def test_the_count_of_failures_that_began_in_a_run_goes_on_after_it(scene: Scene) -> None:
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    scene.registry.register("interrupts", interrupt)
    letters = [scene.letter("fails"), scene.letter("fails"), scene.letter("interrupts")]
    replayer = Sleeper(scene, 99).replay(stop_on_consecutive_failures=3)
    with pytest.raises(KeyboardInterrupt):
        replayer.run()
    assert replayer.replay(letters[0]).stopped == "failures"


# The wall clock


@pytest.mark.parametrize("jump", [-YEAR, YEAR])
def test_a_wall_clock_that_jumps_neither_stalls_nor_spins(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    looks = count_looks(scene, monkeypatch)
    scene.letter("fails")
    added: list[int] = []

    def jump_and_add() -> None:
        scene.clock.move(seconds=jump)
        # Inserted by another program, whose clock has jumped as well.
        failed_at = "2025-11-01 00:00:00"
        added.append(scene.letter(failed_at=failed_at))

    _, slept = run(scene, 12, {2: jump_and_add})
    assert len(looks) <= len(slept)
    assert all(1 <= seconds <= 60 for seconds in slept)
    assert scene.effects() == added
    assert sum(slept[2:]) > 60


def test_a_wall_clock_that_stands_still_does_not_spin(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = count_looks(scene, monkeypatch)
    scene.letter(failed_at=SOON)
    sleeper = Sleeper(scene, 5)
    sleeper.during = {n: lambda: scene.clock.move(seconds=-5) for n in range(1, 5)}
    replayer = sleeper.replay(min_age=15)
    replayer.run()
    assert sleeper.asked == [5.0] * 5
    assert len(looks) <= 5


# What its gauges tell


def test_depth_and_due_follow_what_others_write_while_it_sleeps(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "RESTS_OF_COUNTS", 0)
    waiting = [scene.letter(failed_at=SOON) for _ in range(5)]
    sleeper = Sleeper(scene, 4)
    replayer = sleeper.replay(min_age=3600)
    seen: list[tuple[int, int]] = []

    def see() -> None:
        snapshot = replayer.metrics.snapshot()
        seen.append((snapshot.depth, snapshot.due))

    def add_and_see() -> None:
        see()
        scene.letter(failed_at=SOON)

    def delete_and_see() -> None:
        see()
        with closing(sqlite3.connect(str(scene.path), isolation_level=None)) as other:
            other.execute("DELETE FROM dead_letter_queue WHERE id <= ?", (waiting[1],))

    sleeper.during = {1: add_and_see, 2: delete_and_see, 3: see, 4: see}
    replayer.run()
    assert seen == [(5, 0), (6, 0), (4, 0), (4, 0)]
