"""Counters that threads share."""

from __future__ import annotations

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from azoth_dlq.metrics import DlqMetrics, DlqMetricsSnapshot


def test_the_counters_start_at_zero_and_unchecked() -> None:
    snapshot = DlqMetrics().snapshot()
    assert dataclasses.asdict(snapshot) == dict.fromkeys(dataclasses.asdict(snapshot), 0)


def test_the_counts_of_groups_add_up() -> None:
    metrics = DlqMetrics()
    metrics.record(successes=8, failures=1, snoozed=1, permanent_failures=2)
    metrics.record(successes=4, permanent_failures=1, skipped=5)
    assert metrics.snapshot() == DlqMetricsSnapshot(
        successes=12,
        failures=1,
        snoozed=1,
        permanent_failures=3,
        skipped=5,
    )


def test_a_check_sets_its_time_and_leaves_the_counts() -> None:
    metrics = DlqMetrics()
    metrics.record(successes=3)
    metrics.checked(1_795_000_000)
    metrics.record(successes=1)
    assert metrics.snapshot() == DlqMetricsSnapshot(successes=4, last_check=1_795_000_000)


def test_a_snapshot_does_not_follow_later_counts() -> None:
    metrics = DlqMetrics()
    before = metrics.snapshot()
    metrics.record(failures=1)
    assert before.failures == 0


def test_a_snapshot_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(DlqMetrics().snapshot(), "successes", 1)  # noqa: B010 -- mypy knows it is frozen


def test_groups_counted_by_several_threads_at_once_all_count_and_none_shows_in_part() -> None:
    metrics = DlqMetrics()

    def count() -> bool:
        whole = True
        for _ in range(2000):
            metrics.record(successes=2, failures=1)
            snapshot = metrics.snapshot()
            whole = whole and snapshot.successes == 2 * snapshot.failures
        return whole

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lambda _: count(), range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert metrics.snapshot() == DlqMetricsSnapshot(successes=16_000, failures=8000)
