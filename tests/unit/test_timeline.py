"""Failures over time: each in the bucket of its instant, whatever the counts are held by."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq import timeline as module
from azoth_dlq.kernels.eligibility import format_timestamp
from azoth_dlq.timeline import MOST_BUCKETS, FailureTimes, Timeline, timeline

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOW_US = (NOW - EPOCH) // timedelta(microseconds=1)
INSTANTS = st.lists(
    st.integers(-(10**7), 10**5) | st.integers(-(5 * 10**9), 0) | st.integers(-60, 60), max_size=40
)


def times_of(seconds: list[int]) -> FailureTimes:
    times = FailureTimes()
    texts = [format_timestamp(NOW_US + 1_000_000 * s).encode() for s in seconds]
    times.add(map(bytearray, texts))
    return times


def line_of(dead: list[int], parked: list[int], over: timedelta | None = None) -> Timeline | None:
    return timeline(times_of(dead), times_of(parked), NOW_US, over)


@given(INSTANTS, INSTANTS, st.sampled_from([None, 3_600, 86_400]))
def test_each_failure_is_in_the_bucket_of_its_instant(
    dead: list[int], parked: list[int], over: int | None
) -> None:
    line = line_of(dead, parked, None if over is None else timedelta(seconds=over))
    past = [s for s in (*dead, *parked) if s <= 0]
    if line is None:
        assert not past
        return
    start, width = (line.start - NOW).total_seconds(), line.width.total_seconds()
    for seconds, counts in ((dead, line.dead_letters), (parked, line.permanent_failures)):
        expected = Counter((s - start) // width for s in seconds if s <= 0)
        assert list(counts) == [expected[place] for place in range(len(counts))]
    assert len(line.dead_letters) == len(line.permanent_failures) <= MOST_BUCKETS
    told = sum(line.dead_letters) + sum(line.permanent_failures) + line.beyond
    assert told == len(dead) + len(parked)
    if over is None:
        assert line.beyond == len(dead) + len(parked) - len(past)


@given(st.lists(st.integers(-(10**9), 0), min_size=1, max_size=60, unique=True))
def test_counts_held_by_the_minute_the_hour_or_the_day_are_as_right(dead: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST_COUNTS", 3)
        coarse = times_of(dead)
    fine = times_of(dead)
    assert coarse.width in {1, 60, 3_600, 86_400}
    line = timeline(coarse, FailureTimes(), NOW_US)
    assert line is not None
    start, width = (line.start - NOW).total_seconds(), line.width.total_seconds()
    expected = Counter((s - start) // width for s in dead)
    assert list(line.dead_letters) == [expected[n] for n in range(len(line.dead_letters))]
    assert fine.earliest == coarse.earliest


def test_bounds_are_round_and_reach_from_the_first_to_the_last() -> None:
    line = line_of([-7_000, -3_600, -10], [-20])
    assert line is not None
    assert line.width == timedelta(minutes=5)
    assert line.start == NOW - timedelta(hours=2)
    assert line.end == NOW
    assert (line.dead_letters[0], line.dead_letters[12], line.dead_letters[-1]) == (1, 1, 1)
    assert line.permanent_failures[-1] == 1
    document = line.as_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["bucket_seconds"] == 300
    assert document["buckets"][0] == {
        "from": "2026-11-24T10:00:00.000000Z",
        "to": "2026-11-24T10:05:00.000000Z",
        "dead_letters": 1,
        "permanent_failures": 0,
    }


def test_what_failed_before_the_span_or_will_fail_is_told_apart() -> None:
    line = line_of([-90_000, -10, 10_000], [], timedelta(hours=24))
    assert line is not None
    assert (sum(line.dead_letters), line.beyond) == (1, 2)


def test_nothing_has_no_timeline() -> None:
    assert line_of([], []) is None
    assert line_of([60], []) is None
    times = FailureTimes()
    times.add([None, 5, b"2026-11-24 10:00:00", bytearray(b"yesterday")])
    assert timeline(times, FailureTimes(), NOW_US) is None


def test_the_first_and_the_last_year_have_one() -> None:
    times = FailureTimes()
    times.add(["0001-01-01 00:00:00", "9999-12-31 23:59:59"])
    line = timeline(times, FailureTimes(), NOW_US)
    assert line is not None
    assert (sum(line.dead_letters), line.beyond) == (1, 1)
    assert json.dumps(line.as_dict())


@pytest.mark.parametrize("days", [5_000_000, 10_000_000, 999_999_999])
def test_a_time_before_all_times_reaches_back_to_the_first_year(days: int) -> None:
    line = line_of([-10], [-20], timedelta(days=days))
    assert line is not None
    assert (sum(line.dead_letters), sum(line.permanent_failures), line.beyond) == (1, 1, 0)
    assert json.dumps(line.as_dict())
