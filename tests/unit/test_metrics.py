"""Counters and gauges that threads share."""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import inf
from typing import Any

import pytest

from azoth_dlq.metrics import (
    BUCKET_BOUNDS,
    OTHER_TYPES,
    PHASES,
    DlqMetricsSnapshot,
    Histogram,
    MetricsRecorder,
)

SECOND = 1_000_000


def _calls(*seconds: float) -> tuple[list[int], float]:
    """What `record` is given of calls that took so long."""
    counts = [0] * (len(BUCKET_BOUNDS) + 1)
    for duration in seconds:
        counts[bisect_left(BUCKET_BOUNDS, duration)] += 1
    return counts, sum(seconds)


def _changed(metrics: MetricsRecorder) -> dict[str, Any]:
    """What of a snapshot is not as it is at first."""
    first = DlqMetricsSnapshot().as_dict()
    return {k: v for k, v in metrics.snapshot().as_dict().items() if v != first[k]}


def test_everything_starts_at_zero_and_unlooked() -> None:
    assert MetricsRecorder().snapshot().as_dict() == {
        **dict.fromkeys((field.name for field in dataclasses.fields(DlqMetricsSnapshot)), 0),
        "oldest_due": None,
        "attempts": {},
        "handler_seconds": {},
        "phase_seconds": dict.fromkeys(PHASES, 0),
    }


def test_the_time_of_drains_adds_up_by_phase() -> None:
    metrics = MetricsRecorder()
    before = metrics.snapshot()
    for _ in range(2):
        metrics.spent({"plan": 1.5, "commit": 0.25})
    after = metrics.snapshot()
    assert after.phase_seconds == {**before.phase_seconds, "plan": 3.0, "commit": 0.5}
    assert before.phase_seconds["plan"] == 0.0
    assert before == after


def test_the_counts_of_groups_add_up() -> None:
    metrics = MetricsRecorder()
    metrics.record(successes=8, failures=1, snoozed=1, permanent_failures=2)
    metrics.record(successes=4, permanent_failures=1, skipped=5)
    assert _changed(metrics) == {
        "successes": 12,
        "failures": 1,
        "snoozed": 1,
        "permanent_failures": 3,
        "skipped": 5,
        "groups": 2,
    }


def test_a_check_sets_its_time_and_leaves_the_counts() -> None:
    metrics = MetricsRecorder()
    metrics.record(successes=3)
    metrics.checked(1_795_000_000)
    metrics.record(successes=1)
    assert metrics.snapshot() == DlqMetricsSnapshot(successes=4, last_check=1_795_000_000)


def test_a_snapshot_does_not_follow_later_counts() -> None:
    metrics = MetricsRecorder()
    metrics.record(attempts={("a", "failed"): 1}, handler_seconds={"a": _calls(0.1)})
    before = metrics.snapshot()
    told = before.as_dict()
    metrics.record(
        failures=1, attempts={("a", "failed"): 1}, handler_seconds={"a": _calls(0.1), "b": _calls()}
    )
    assert before.as_dict() == told


def test_a_snapshot_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(MetricsRecorder().snapshot(), "successes", 1)  # noqa: B010 -- mypy knows it is frozen


def test_what_is_done_to_the_mappings_of_a_snapshot_changes_no_counter() -> None:
    metrics = MetricsRecorder()
    metrics.record(attempts={("a", "failed"): 1}, handler_seconds={"a": _calls(0.1)})
    told = metrics.snapshot().as_dict()
    snapshot: Any = metrics.snapshot()
    snapshot.attempts.clear()
    snapshot.handler_seconds.clear()
    assert metrics.snapshot().as_dict() == told


def test_a_snapshot_pickles_whole_and_hashes() -> None:
    metrics = MetricsRecorder()
    metrics.record(attempts={("a", "failed"): 1}, handler_seconds={"a": _calls(0.1)})
    metrics.looked(at=5 * SECOND, depth=3, due=2, oldest_due=SECOND)
    snapshot = metrics.snapshot()
    copy = pickle.loads(pickle.dumps(snapshot))
    assert copy.as_dict() == snapshot.as_dict()
    assert hash(copy) == hash(snapshot)


def test_snapshots_are_equal_where_they_count_the_same_letters() -> None:
    one, other = MetricsRecorder(), MetricsRecorder()
    one.record(successes=2)
    other.looked(at=999_999, depth=9, due=9, oldest_due=1)
    for _ in range(2):
        other.record(
            successes=1,
            attempts={("a", "succeeded"): 1},
            handler_seconds={"a": _calls(0.1)},
        )
    other.drained(stopped=True)
    other.lost_group()
    other.record(groups=0, charged_deaths=1)
    assert one.snapshot() == other.snapshot()
    other.record(failures=1)
    assert one.snapshot() != other.snapshot()


def test_a_snapshot_does_not_wait_for_a_count_that_is_under_way() -> None:
    """As in a signal handler, whose thread would wait for itself."""
    metrics = MetricsRecorder()
    seen: list[DlqMetricsSnapshot] = []

    class Interrupting(dict[tuple[str, str], int]):
        def items(self) -> Any:
            seen.append(metrics.snapshot())
            return super().items()

    metrics.record(successes=1, attempts=Interrupting({("a", "succeeded"): 1}))
    assert [(s.successes, s.attempts) for s in seen] == [(0, {})]
    assert metrics.snapshot().attempts == {("a", "succeeded"): 1}


# By event type


def test_attempts_add_up_by_type_and_outcome() -> None:
    metrics = MetricsRecorder()
    metrics.record(attempts={("a", "succeeded"): 2, ("a", "failed"): 1, ("", "failed"): 1})
    metrics.record(attempts={("a", "succeeded"): 3, ("b", "snoozed"): 1})
    snapshot = metrics.snapshot()
    assert snapshot.attempts == {
        ("a", "succeeded"): 5,
        ("a", "failed"): 1,
        ("", "failed"): 1,
        ("b", "snoozed"): 1,
    }
    assert snapshot.as_dict()["attempts"] == {
        "a": {"succeeded": 5, "failed": 1},
        "": {"failed": 1},
        "b": {"snoozed": 1},
    }


def test_durations_of_calls_add_up_by_type() -> None:
    metrics = MetricsRecorder()
    metrics.record(handler_seconds={"a": _calls(0.5, 20.0), "b": _calls(0.25)})
    metrics.record(handler_seconds={"a": _calls(0.5)})
    histograms = metrics.snapshot().handler_seconds
    assert set(histograms) == {"a", "b"}
    assert list(histograms["a"].counts) == _calls(0.5, 20.0, 0.5)[0]
    assert (histograms["a"].count, histograms["a"].sum) == (3, 21.0)
    assert (histograms["b"].count, histograms["b"].sum) == (1, 0.25)
    assert histograms["b"].bounds == BUCKET_BOUNDS


@pytest.mark.parametrize("given", [len(BUCKET_BOUNDS), len(BUCKET_BOUNDS) + 2])
def test_counts_that_do_not_fit_the_bounds_are_refused_and_nothing_is_added(given: int) -> None:
    metrics = MetricsRecorder()
    with pytest.raises(ValueError, match="one more than BUCKET_BOUNDS"):
        metrics.record(
            successes=1,
            attempts={("a", "succeeded"): 1},
            handler_seconds={"fits": _calls(0.1), "a": ([1] * given, 0.1)},
        )
    assert _changed(metrics) == {}
    metrics.record(successes=1)
    assert metrics.snapshot().successes == 1


def test_types_beyond_the_first_two_hundred_are_counted_together() -> None:
    metrics = MetricsRecorder()
    for first in range(0, 1000, 100):
        names = [f"type {n}" for n in range(first, first + 100)]
        metrics.record(
            attempts={(name, "failed"): 2 for name in names},
            handler_seconds=dict.fromkeys(names, _calls(0.5)),
        )
    metrics.record(attempts={("type 0", "failed"): 1, ("", "failed"): 1})
    snapshot = metrics.snapshot()
    named = {f"type {n}" for n in range(200)}
    assert {name for name, _ in snapshot.attempts} == named | {OTHER_TYPES, ""}
    assert set(snapshot.handler_seconds) == named | {OTHER_TYPES}
    assert snapshot.attempts[OTHER_TYPES, "failed"] == 2 * 800
    assert snapshot.attempts["type 0", "failed"] == 3
    assert snapshot.handler_seconds[OTHER_TYPES].count == 800
    assert snapshot.handler_seconds[OTHER_TYPES].sum == 400.0


def test_the_bounds_ascend_within_the_durations_of_handlers() -> None:
    assert all(0 < below < above for below, above in pairwise(BUCKET_BOUNDS))


def test_a_histogram_adds_up_its_counts_to_infinity() -> None:
    histogram = Histogram(bounds=(0.1, 1.0), counts=(3, 0, 2), sum=7.5)
    assert histogram.cumulative() == ((0.1, 3), (1.0, 3), (inf, 5))
    assert histogram.count == 5


def test_a_histogram_without_calls_is_all_zero() -> None:
    assert Histogram().cumulative() == tuple((bound, 0) for bound in (*BUCKET_BOUNDS, inf))
    assert Histogram().count == 0


def test_a_snapshot_is_ready_for_json() -> None:
    metrics = MetricsRecorder()
    metrics.record(attempts={("a", "failed"): 1}, handler_seconds={"a": _calls(0.25, 99.0)})
    metrics.looked(at=5 * SECOND, depth=3, due=2, oldest_due=SECOND)
    plain = metrics.snapshot().as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["handler_seconds"]["a"] == {
        "bounds": list(BUCKET_BOUNDS),
        "counts": _calls(0.25, 99.0)[0],
        "count": 2,
        "sum": 99.25,
    }


# Gauges


def test_a_look_sets_the_gauges() -> None:
    metrics = MetricsRecorder()
    metrics.looked(at=100 * SECOND + 500_000, depth=7, due=4, oldest_due=40 * SECOND)
    assert _changed(metrics) == {
        "depth": 7,
        "due": 4,
        "oldest_due": 40.0,
        "lag": 60.5,
        "looked_at": 100.5,
        "last_check": 100,
    }


def test_a_look_that_finds_none_due_has_no_oldest_and_no_lag() -> None:
    metrics = MetricsRecorder()
    metrics.looked(at=100 * SECOND, depth=7, due=4, oldest_due=40 * SECOND)
    metrics.looked(at=101 * SECOND, depth=7, due=0, oldest_due=None)
    snapshot = metrics.snapshot()
    assert (snapshot.due, snapshot.oldest_due, snapshot.lag) == (0, None, 0.0)


def test_a_letter_that_failed_after_the_look_does_not_lag() -> None:
    metrics = MetricsRecorder()
    metrics.looked(at=SECOND, depth=1, due=1, oldest_due=2 * SECOND)
    snapshot = metrics.snapshot()
    assert (snapshot.oldest_due, snapshot.lag) == (2.0, 0.0)


@pytest.mark.parametrize(
    ("counts", "depth", "due"),
    [
        ({"successes": 3}, 97, 47),
        ({"failures": 3}, 100, 47),
        ({"failures": 3, "permanent_failures": 2}, 98, 47),
        ({"permanent_failures": 3}, 97, 50),
        ({"snoozed": 3}, 100, 47),
        ({"skipped": 3}, 100, 47),
        ({"successes": 99, "permanent_failures": 9}, 0, 0),
    ],
)
def test_depth_and_due_go_down_between_looks(counts: dict[str, Any], depth: int, due: int) -> None:
    metrics = MetricsRecorder()
    metrics.looked(at=9 * SECOND, depth=100, due=50, oldest_due=SECOND)
    metrics.record(**counts)
    snapshot = metrics.snapshot()
    assert (snapshot.depth, snapshot.due) == (depth, due)
    assert (snapshot.oldest_due, snapshot.lag) == (1.0, 8.0)


def test_the_next_look_has_the_last_word() -> None:
    metrics = MetricsRecorder()
    metrics.looked(at=SECOND, depth=10, due=5, oldest_due=SECOND)
    metrics.record(successes=5)
    metrics.looked(at=2 * SECOND, depth=8, due=6, oldest_due=SECOND)
    assert (metrics.snapshot().depth, metrics.snapshot().due) == (8, 6)


# Drains


def test_drains_are_counted_and_the_last_tells_whether_failures_stopped_it() -> None:
    metrics = MetricsRecorder()
    metrics.drained(stopped=True)
    assert _changed(metrics) == {"drains": 1, "stopped": True}
    metrics.drained(stopped=False)
    assert _changed(metrics) == {"drains": 2}


def test_lost_groups_are_counted() -> None:
    metrics = MetricsRecorder()
    metrics.lost_group()
    metrics.lost_group()
    assert _changed(metrics) == {"lost_groups": 2}


def test_a_charged_death_is_counted_and_its_letter_no_longer_due() -> None:
    metrics = MetricsRecorder()
    metrics.looked(at=SECOND, depth=5, due=3, oldest_due=SECOND)
    metrics.record(failures=1, charged_deaths=1)
    metrics.record(failures=1, charged_deaths=1)
    snapshot = metrics.snapshot()
    assert (snapshot.charged_deaths, snapshot.failures) == (2, 2)
    assert (snapshot.due, snapshot.depth) == (1, 5)


def test_what_was_added_last_is_not_added_again() -> None:
    metrics, groups = MetricsRecorder(), [object(), object()]
    for of in (groups[0], groups[0], groups[1], None, None):
        metrics.record(successes=1, of=of)
    assert _changed(metrics) == {"successes": 4, "groups": 4}


def test_groups_counted_by_several_threads_at_once_all_count_and_none_shows_in_part() -> None:
    metrics = MetricsRecorder()

    def count() -> bool:
        whole = True
        for _ in range(1000):
            metrics.record(
                successes=2,
                failures=1,
                attempts={("a", "succeeded"): 2, ("a", "failed"): 1},
                handler_seconds={"a": _calls(0.5, 0.5, 0.5)},
            )
            seen = metrics.snapshot()
            ours = (seen.failures, seen.attempts["a", "failed"], seen.handler_seconds["a"].count)
            whole = whole and ours == (seen.groups, seen.groups, 3 * seen.groups)
            whole = whole and seen.successes == 2 * seen.failures
        return whole

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lambda _: count(), range(4)))
    finally:
        sys.setswitchinterval(interval)
    snapshot = metrics.snapshot()
    assert snapshot == DlqMetricsSnapshot(successes=8000, failures=4000)
    assert snapshot.attempts == {("a", "succeeded"): 8000, ("a", "failed"): 4000}
    assert snapshot.handler_seconds["a"].sum == 6000.0
