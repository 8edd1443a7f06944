"""Failures over time: counted as they come, then told in a few buckets whose bounds are round."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from azoth_dlq.clock import to_datetime
from azoth_dlq.kernels.eligibility import format_timestamp
from azoth_dlq.kernels.failures import count_failures

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_BUCKETS: Final = 24
_SECOND: Final = 1_000_000  # µs
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400  # s
# Each is a multiple of the finest counts that a span of so many of its buckets may have.
_WIDTHS: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY for days in (1, 2, 3, 7, 14, 30, 90, 180, 360, 1_800, 3_600, 36_000, 360_000)),
)
_EARLIEST: Final = -62_135_596_800  # the year 1, as seconds since 1970
_COARSER: Final = {1: _MINUTE, _MINUTE: _HOUR, _HOUR: _DAY}
_MOST_COUNTS: Final = 100_000  # held; more seconds apart are counted by the minute, and so on


class FailureTimes:
    """How many failures there were when, in counts whose number is bounded."""

    def __init__(self) -> None:
        self.width = 1  # s
        self.counts: dict[int, int] = {}
        self.earliest: int | None = None  # µs since 1970

    def add(self, stored: Iterable[object]) -> None:
        """Count stored `failed_at`; those that are no timestamps are left out."""
        found = count_failures(list(stored), self.width * _SECOND, self.counts)
        if found is not None and (self.earliest is None or found < self.earliest):
            self.earliest = found
        while len(self.counts) > _MOST_COUNTS and self.width in _COARSER:
            self.coarsen(_COARSER[self.width])

    def coarsen(self, width: int) -> None:
        """Count by `width` seconds, a multiple of what it was."""
        factor = width // self.width
        counts: Counter[int] = Counter()
        for place, number in self.counts.items():
            counts[place // factor] += number
        self.width, self.counts = width, dict(counts)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Dead letters and permanent failures by when they failed first, in buckets of one width from
    `start` on, one after the other.

    `beyond` are those that failed outside of them, or will fail by the clock of another machine.
    """

    start: datetime
    width: timedelta
    dead_letters: tuple[int, ...]
    permanent_failures: tuple[int, ...]
    beyond: int

    @property
    def end(self) -> datetime:
        return _moved(self.start, len(self.dead_letters) * self.width)

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON: the width in seconds, bounds as RFC 3339 in UTC."""
        pairs = zip(self.dead_letters, self.permanent_failures, strict=True)
        return {
            "bucket_seconds": self.width.total_seconds(),
            "buckets": [
                {
                    "from": _rfc3339(_moved(self.start, place * self.width)),
                    "to": _rfc3339(_moved(self.start, (place + 1) * self.width)),
                    "dead_letters": dead,
                    "permanent_failures": parked,
                }
                for place, (dead, parked) in enumerate(pairs)
            ],
            "beyond": self.beyond,
        }


def timeline(
    dead: FailureTimes, parked: FailureTimes, now: int, over: timedelta | None = None
) -> Timeline | None:
    """The failures up to `now` (µs), since the first or the last `over` of them, in at most
    MOST_BUCKETS buckets; None where there are none."""
    finest = max(dead.width, parked.width)
    for times in (dead, parked):
        if times.width < finest:
            times.coarsen(finest)
    last = now // (finest * _SECOND)
    places = [place for times in (dead, parked) for place in times.counts if place <= last]
    if not places:
        return None
    first, last = min(places) * finest, max(places) * finest
    if over is not None:
        first, last = (now - over // timedelta(microseconds=1)) // _SECOND, now // _SECOND
        first = max(first, _EARLIEST)
    width = next(w for w in _WIDTHS if w % finest == 0 and last // w - first // w < MOST_BUCKETS)
    start, buckets = first // width, last // width - first // width + 1
    found = [_in_buckets(times, start, width, buckets, now) for times in (dead, parked)]
    total = sum(dead.counts.values()) + sum(parked.counts.values())
    return Timeline(
        to_datetime(start * width * _SECOND),
        timedelta(seconds=width),
        found[0],
        found[1],
        total - sum(map(sum, found)),
    )


def _in_buckets(
    times: FailureTimes, start: int, width: int, buckets: int, now: int
) -> tuple[int, ...]:
    counts = [0] * buckets
    for place, number in times.counts.items():
        bucket = place * times.width // width - start
        if 0 <= bucket < buckets and place * times.width * _SECOND <= now:
            counts[bucket] += number
    return tuple(counts)


def _moved(instant: datetime, duration: timedelta) -> datetime:
    try:
        return instant + duration
    except OverflowError:
        return datetime.max.replace(tzinfo=instant.tzinfo)


def _rfc3339(instant: datetime) -> str:
    return format_timestamp((instant - to_datetime(0)) // timedelta(microseconds=1))
