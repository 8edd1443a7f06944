"""Which letters are due: backoff, least age, times ahead, not-before, jitter, the waiver."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

import pytest

from azoth_dlq import BackoffStrategy, ReplayPriority, RetryAfter, Snooze
from tests.conftest import EPOCH, NOW, Scene
from tests.kernels.vectors import load

AT_ONCE = BackoffStrategy.fixed(0)


def _seconds_ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def _is_due(scene: Scene, *, now: bool = False, **settings: Any) -> bool:
    """Whether the scene's one letter is attempted; its handler leaves it where it is."""
    report = scene.drain(now=now, **settings)
    assert report.attempted + (report.waiting or 0) == 1
    return report.attempted == 1


@pytest.mark.parametrize(
    ("retry_count", "seconds", "due"),
    [(0, 9.999999, False), (0, 10, True), (1, 19.999999, False), (1, 20, True), (3, 80, True)],
)
def test_a_letter_is_due_when_its_backoff_has_passed(
    scene: Scene, retry_count: int, seconds: float, due: bool
) -> None:
    scene.letter(retry_count=retry_count, last_retry_at=_seconds_ago(seconds))
    assert _is_due(scene, backoff=BackoffStrategy.exponential(10, 3600)) is due


@pytest.mark.parametrize(("seconds", "due"), [(9.999999, False), (10, True)])
def test_the_first_backoff_counts_from_the_failure(scene: Scene, seconds: float, due: bool) -> None:
    scene.letter(failed_at=_seconds_ago(seconds))
    assert _is_due(scene, backoff=BackoffStrategy.fixed(10)) is due


def test_the_last_attempt_counts_rather_than_the_failure(scene: Scene) -> None:
    scene.letter(failed_at=_seconds_ago(3600), retry_count=1, last_retry_at=_seconds_ago(5))
    assert not _is_due(scene, backoff=BackoffStrategy.fixed(10))


@pytest.mark.parametrize(("seconds", "due"), [(0.499999, False), (0.5, True)])
def test_the_least_age_is_told_to_the_microsecond(scene: Scene, seconds: float, due: bool) -> None:
    scene.letter(failed_at=_seconds_ago(seconds))
    assert _is_due(scene, min_age=0.5, backoff=AT_ONCE) is due


def test_the_longer_of_least_age_and_backoff_counts(scene: Scene) -> None:
    scene.letter(failed_at=_seconds_ago(10))
    assert not _is_due(scene, min_age=11, backoff=BackoffStrategy.fixed(1))
    assert not _is_due(scene, min_age=1, backoff=BackoffStrategy.fixed(11))
    assert _is_due(scene, min_age=10, backoff=BackoffStrategy.fixed(10))


@pytest.mark.parametrize("column", ["failed_at", "last_retry_at"])
def test_a_time_that_lies_ahead_is_waited_for_with_its_delay(scene: Scene, column: str) -> None:
    columns: dict[str, Any] = {column: _seconds_ago(-60)}
    scene.letter(**columns)
    settings: dict[str, Any] = {"min_age": 0, "backoff": BackoffStrategy.fixed(10)}
    assert scene.drain(**settings).next_due == NOW + timedelta(seconds=70)
    scene.clock.move(seconds=69.999999)
    assert not _is_due(scene, **settings)
    scene.clock.move(microseconds=1)
    assert _is_due(scene, **settings)


def test_the_last_year_that_can_be_written_is_not_due_and_overflows_nothing(scene: Scene) -> None:
    scene.letter(failed_at="9999-12-31 23:59:59")
    longest = BackoffStrategy.fixed(timedelta.max)
    report = scene.drain(backoff=longest)
    assert report.waiting == 1
    assert report.next_due is not None
    assert report.next_due.year == 9999


@pytest.mark.parametrize(
    ("clock", "written"),
    [(-(2**63), "0001-01-01T00:00:00.000000Z"), (2**63 - 1, "9999-12-31T23:59:59.999999Z")],
)
def test_a_clock_outside_the_years_that_can_be_written_stops_nothing(
    scene: Scene, clock: int, written: str
) -> None:
    letters = [scene.letter("fails"), scene.letter()]
    scene.clock.now = clock
    report = scene.drain(now=True)
    assert (report.failed, report.succeeded) == (1, 1)
    failed = scene.queue.get(letters[0])
    assert failed is not None
    assert failed.last_retry_at == written


def test_a_failure_in_the_first_year_is_due(scene: Scene) -> None:
    scene.letter(failed_at="0001-01-01 00:00:00+23:59")
    assert _is_due(scene)


def test_every_readable_text_is_due_at_its_instant(scene: Scene) -> None:
    """Texts that SQLite's own functions read otherwise, or not at all, among them."""
    instants = {
        scene.letter(failed_at=vector["text"]): vector["epoch_us"]
        for vector in load("timestamps")
        if vector["epoch_us"] is not None
    }
    later = sorted(set(instants.values()))
    assert len(later) > 20
    # The first of them a microsecond early, the others each when it is due.
    scene.clock.now = later[0] + 9_999_999
    assert scene.drain(min_age=10, backoff=AT_ONCE).attempted == 0
    for instant in later:
        scene.clock.now = instant + 10_000_000
        scene.calls.clear()
        scene.drain(min_age=10, backoff=AT_ONCE)
        assert scene.calls == [letter for letter, at in instants.items() if at == instant]


def test_now_waives_backoff_least_age_and_times_ahead(scene: Scene) -> None:
    scene.letter(failed_at=_seconds_ago(0))
    scene.letter(retry_count=4, last_retry_at=_seconds_ago(1))
    scene.letter(failed_at=_seconds_ago(-1e6))
    assert scene.drain().waiting == 3
    assert scene.drain(now=True).succeeded == 3


def test_now_waives_a_not_before(scene: Scene) -> None:
    _register_raising(scene, Snooze(3600))
    scene.letter("raises")
    assert scene.drain().snoozed == 1
    assert scene.drain().waiting == 1
    assert scene.drain(now=True).snoozed == 1


def test_now_does_not_waive_the_number_of_attempts(scene: Scene) -> None:
    exhausted = scene.letter(retry_count=5)
    report = scene.drain(now=True, max_retries=5)
    assert scene.calls == []
    assert (report.attempted, report.parked, report.exhausted) == (0, 1, 1)
    assert "max_retries is 5" in scene.parked()[exhausted]


def test_an_exhausted_letter_is_parked_at_the_start_whether_due_or_not(scene: Scene) -> None:
    waiting = scene.letter(retry_count=3, last_retry_at=_seconds_ago(0), error="the first error")
    good = scene.letter()
    report = scene.drain(max_retries=3)
    assert (report.succeeded, report.parked, report.exhausted) == (1, 1, 1)
    assert scene.calls == [good]
    [parked] = scene.queue.permanent_failures()
    assert parked.dead_letter_id == waiting
    assert (parked.retry_count, parked.last_retry_at) == (3, _seconds_ago(0))
    assert parked.error_message == "the first error"
    assert scene.left() == []


def test_a_cycle_parks_exhausted_letters_beyond_its_batch(scene: Scene) -> None:
    for _ in range(3):
        scene.letter(retry_count=9)
    good = [scene.letter() for _ in range(2)]
    report = scene.replay(batch_size=2).run_replay_cycle()
    assert (report.succeeded, report.exhausted) == (2, 3)
    assert scene.calls == good


def test_letters_not_due_never_fill_a_batch(scene: Scene) -> None:
    for _ in range(50):
        scene.letter(failed_at=_seconds_ago(1))
    due = scene.letter(failed_at=_seconds_ago(100), retry_count=4)
    replayer = scene.replay(
        batch_size=1, priority=ReplayPriority.BY_RETRY_COUNT, min_age=60, backoff=AT_ONCE
    )
    report = replayer.run_replay_cycle()
    assert scene.calls == [due]
    assert report.waiting == 50


# Not-before


def _register_raising(scene: Scene, error: BaseException) -> None:
    def handle(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        raise error

    scene.registry.register("raises", handle)


@pytest.mark.parametrize("outcome", [RetryAfter, Snooze])
@pytest.mark.parametrize("delay", [2.5, 7200])
def test_a_not_before_stands_in_place_of_the_backoff(
    scene: Scene, outcome: type[RetryAfter | Snooze], delay: float
) -> None:
    """Be it shorter than the backoff or longer."""
    _register_raising(scene, outcome(delay))
    scene.letter("raises")
    settings: dict[str, Any] = {"backoff": BackoffStrategy.fixed(600), "min_age": 60}
    assert _is_due(scene, **settings)
    report = scene.drain(**settings)
    assert (report.waiting, report.next_due) == (1, NOW + timedelta(seconds=delay))
    scene.clock.move(seconds=delay - 0.000001)
    assert not _is_due(scene, **settings)
    scene.clock.move(microseconds=1)
    assert _is_due(scene, **settings)


@pytest.mark.parametrize("outcome", [RetryAfter, Snooze])
@pytest.mark.parametrize(
    "change", ["retry_count = retry_count + 1", "last_retry_at = '2026-11-24 10:30:00'"]
)
def test_a_not_before_ends_where_another_program_changes_the_letter(
    scene: Scene, outcome: type[RetryAfter | Snooze], change: str
) -> None:
    _register_raising(scene, outcome(86400))
    scene.letter("raises", last_retry_at="2026-11-24 10:00:00")
    assert _is_due(scene)
    scene.clock.move(hours=2)
    assert not _is_due(scene)
    other = sqlite3.connect(str(scene.path))
    other.execute(f"UPDATE dead_letter_queue SET {change}")  # noqa: S608 -- a change of ours
    other.commit()
    other.close()
    assert _is_due(scene)


def test_the_longest_delay_ends_with_the_years_that_can_be_written(scene: Scene) -> None:
    _register_raising(scene, Snooze(timedelta.max))
    letter = scene.letter("raises")
    scene.drain()
    snoozed = scene.queue.get(letter)
    assert snoozed is not None
    assert snoozed.not_before is not None
    assert snoozed.not_before.year == 9999
    assert scene.drain().waiting == 1


# Jitter


def test_jitter_gives_the_same_delay_at_every_poll_and_to_every_replayer(scene: Scene) -> None:
    scene.letter(failed_at=_seconds_ago(0))
    settings: dict[str, Any] = {"jitter": 1, "backoff": BackoffStrategy.fixed(1000), "min_age": 0}
    replayer = scene.replay(**settings)
    due = replayer.drain().next_due
    assert due is not None
    assert NOW < due < NOW + timedelta(seconds=1000)
    scene.clock.move(microseconds=1)
    assert replayer.drain().next_due == due
    assert scene.drain(**settings).next_due == due
    scene.clock.now = (due - EPOCH) // timedelta(microseconds=1) - 1
    assert not _is_due(scene, **settings)
    scene.clock.move(microseconds=1)
    assert _is_due(scene, **settings)


def test_jitter_lessens_a_delay_by_no_more_than_its_share(scene: Scene) -> None:
    for _ in range(200):
        scene.letter(failed_at=_seconds_ago(0))
    settings: dict[str, Any] = {
        "jitter": 0.25,
        "backoff": BackoffStrategy.fixed(1000),
        "min_age": 0,
    }
    scene.clock.move(seconds=750)
    assert scene.drain(**settings).attempted == 0
    scene.clock.move(seconds=125)
    assert 50 < scene.drain(**settings).attempted < 150
    scene.clock.move(seconds=125)
    assert scene.drain(**settings).waiting == 0
