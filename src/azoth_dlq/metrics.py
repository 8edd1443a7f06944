"""Counters and gauges of a replayer since it was made, as exporters want them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from math import inf
from operator import add
from typing import Any, Final

# In seconds: half decades, as a handler takes from some microseconds (a statement) to some seconds
# (a request). A call that takes exactly a bound counts below it (bisect_left finds its bucket).
BUCKET_BOUNDS: Final = (
    *(0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003),
    *(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
OTHER_TYPES: Final = "(other types)"
PHASES: Final = (
    *("plan", "open", "fetch", "handlers", "write", "commit", "checkpoint", "yield", "other"),
)
_MOST_TYPES: Final = 200  # told apart
_NO_CALLS: Final = (0,) * (len(BUCKET_BOUNDS) + 1)
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How long calls took.

    `bounds` in seconds, ascending. `counts` has one more: of the calls that took longer than the
    bound before and at most this one, the last of those beyond all bounds; they are not cumulative.
    `sum` is in seconds.
    """

    bounds: tuple[float, ...] = BUCKET_BOUNDS
    counts: tuple[int, ...] = _NO_CALLS
    sum: float = 0.0

    @property
    def count(self) -> int:
        """How many calls there were."""
        return sum(self.counts)

    def cumulative(self) -> tuple[tuple[float, int], ...]:
        """Return each bound in seconds, at last infinity, with the calls that took at most that:
        the buckets of Prometheus."""
        return tuple(zip((*self.bounds, inf), accumulate(self.counts), strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Return the histogram ready for JSON, in seconds."""
        return {
            "bounds": list(self.bounds),
            "counts": list(self.counts),
            "count": self.count,
            "sum": self.sum,
        }


_EMPTY: Final = Histogram()


@dataclass(frozen=True, slots=True, kw_only=True)
class DlqMetricsSnapshot:
    """The counters and gauges at one instant.

    Counters of letters, committed ones only: `successes`, `failures`, `snoozed`,
    `permanent_failures` (all the parked ones), `skipped` (gone, changed or claimed by others since
    they were selected). `attempts` by event type and outcome ("succeeded", "failed", "snoozed");
    the type is "" where the event led to no handler. `handler_seconds`: how long the calls took, by
    event type. Types beyond the first 200 are counted together as "(other types)".

    Other counters: `drains` that ended; `groups` committed; `lost_groups`, taken back and done
    again; `charged_deaths`, failures that are attempts which ended with their process;
    `lost_calls`, that were left behind after their timeout.

    `stopped`: the last drain was stopped by failures. `last_check` is the unix time of the last
    look for due letters in whole seconds, 0 for never; `looked_at` the same with its fraction,
    once that look was over.

    Gauges of that look: `depth`, dead letters, due or not. `due`, those to be attempted. Between
    looks `depth` goes down by the letters replayed and parked, `due` by those attempted, skipped or
    charged with a death; what others add or take away is seen at the next look (by a run, which
    counts the letters a hundredth of the time at most, at one of the next). `oldest_due`
    (unix time in seconds) is when the oldest due letter failed, None where none is due, and `lag`
    how many seconds before the look that was, 0 where none is due. Both stay until the next look.

    `phase_seconds`: where the time of drains that ended went, by phase. plan: letters were looked
    at and ordered; open: a group was begun, the lock waited for; fetch: payloads were read;
    handlers: they were called, each letter isolated from the others, or waited for; write: outcomes
    were written; commit: they were committed; checkpoint: the write-ahead log was copied into the
    database; yield: the file was left to others, during a pause, too; other: the rest,
    `on_progress` within it.

    Snapshots are equal where their counters of letters and `last_check` are.
    """

    successes: int = 0
    failures: int = 0
    snoozed: int = 0
    permanent_failures: int = 0
    skipped: int = 0
    last_check: int = 0
    # Beyond comparison: how often a drain commits, and how long a call takes, no two runs repeat.
    attempts: Mapping[tuple[str, str], int] = field(default_factory=dict, compare=False)
    handler_seconds: Mapping[str, Histogram] = field(default_factory=dict, compare=False)
    phase_seconds: Mapping[str, float] = field(
        default_factory=lambda: dict.fromkeys(PHASES, 0.0), compare=False
    )
    depth: int = field(default=0, compare=False)
    due: int = field(default=0, compare=False)
    oldest_due: float | None = field(default=None, compare=False)
    lag: float = field(default=0.0, compare=False)
    looked_at: float = field(default=0.0, compare=False)
    drains: int = field(default=0, compare=False)
    groups: int = field(default=0, compare=False)
    stopped: bool = field(default=False, compare=False)
    lost_groups: int = field(default=0, compare=False)
    lost_calls: int = field(default=0, compare=False)
    charged_deaths: int = field(default=0, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the snapshot ready for JSON: `attempts` by type, then by outcome; in seconds."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        attempts: dict[str, dict[str, int]] = {}
        for (event_type, outcome), number in self.attempts.items():
            attempts.setdefault(event_type, {})[outcome] = number
        plain["attempts"] = attempts
        plain["phase_seconds"] = dict(self.phase_seconds)
        plain["handler_seconds"] = {
            event_type: histogram.as_dict()
            for event_type, histogram in self.handler_seconds.items()
        }
        return plain


class DlqMetrics:
    """Counters and gauges of a replayer, for any thread to read."""

    __slots__ = ("_current",)

    def __init__(self) -> None:
        self._current = DlqMetricsSnapshot()

    def snapshot(self) -> DlqMetricsSnapshot:
        """Return the counters and gauges; never waits, so a signal handler may ask."""
        current = self._current
        return replace(
            current,
            attempts=dict(current.attempts),
            handler_seconds=dict(current.handler_seconds),
            phase_seconds=dict(current.phase_seconds),
        )


class MetricsRecorder(DlqMetrics):
    """Those that a replayer adds to, from any of its threads."""

    __slots__ = ("_last", "_lock", "_types")

    def __init__(self) -> None:
        super().__init__()
        self._last: object = None
        self._types: set[str] = set()
        # Of the thread's own: one that was interrupted as it let it go may come again.
        self._lock = threading.RLock()

    def record(  # noqa: PLR0913 -- by name only: all that a group counts is added at once
        self,
        *,
        successes: int = 0,
        failures: int = 0,
        snoozed: int = 0,
        permanent_failures: int = 0,
        skipped: int = 0,
        charged_deaths: int = 0,
        lost_calls: int = 0,
        groups: int = 1,
        attempts: Mapping[tuple[str, str], int] = {},
        handler_seconds: Mapping[str, tuple[Sequence[int], float]] = {},
        of: object = None,
    ) -> None:
        """Add one committed group (or, with `groups=0`, letters skipped without one): a snapshot
        shows all of it or none.

        `attempts` by event type and outcome; `handler_seconds` by event type: how many calls fell
        between the BUCKET_BOUNDS (one number more than there are bounds), and their sum in seconds.
        Nothing is added where `of` was the last to be added already.
        """
        with self._lock:
            if of is not None and of is self._last:
                return
            before = self._current
            after = replace(
                before,
                successes=before.successes + successes,
                failures=before.failures + failures,
                snoozed=before.snoozed + snoozed,
                permanent_failures=before.permanent_failures + permanent_failures,
                skipped=before.skipped + skipped,
                charged_deaths=before.charged_deaths + charged_deaths,
                lost_calls=before.lost_calls + lost_calls,
                groups=before.groups + groups,
                depth=max(before.depth - successes - permanent_failures, 0),
                due=max(before.due - successes - failures - snoozed - skipped, 0),
                attempts=self._attempts_with(attempts),
                handler_seconds=self._handler_seconds_with(handler_seconds),
            )
            self._current, self._last = after, of

    def looked(self, *, at: int, depth: int | None, due: int, oldest_due: int | None) -> None:
        """Set the gauges to what a look found: its instant and when the oldest due letter failed
        (None: none is due) in microseconds since 1970 (UTC); `depth` None: as it was."""
        with self._lock:
            self._current = replace(
                self._current,
                depth=self._current.depth if depth is None else depth,
                due=due,
                oldest_due=None if oldest_due is None else oldest_due / _MICROSECONDS,
                lag=0.0 if oldest_due is None else max(at - oldest_due, 0) / _MICROSECONDS,
                looked_at=at / _MICROSECONDS,
                last_check=at // _MICROSECONDS,
            )

    def checked(self, unix_seconds: int) -> None:
        """Set `last_check` (unix time in seconds): a look begins."""
        with self._lock:
            self._current = replace(self._current, last_check=unix_seconds)

    def drained(self, *, stopped: bool) -> None:
        """Count a drain that ended; `stopped`: by failures."""
        with self._lock:
            before = self._current
            self._current = replace(before, drains=before.drains + 1, stopped=stopped)

    def spent(self, phase_seconds: Mapping[str, float]) -> None:
        """Add what a drain that ended took, in seconds by phase (some of PHASES)."""
        with self._lock:
            before = self._current
            known = before.phase_seconds
            seconds = {phase: known[phase] + phase_seconds.get(phase, 0.0) for phase in PHASES}
            self._current = replace(before, phase_seconds=seconds)

    def lost_group(self) -> None:
        """Count a group that was taken back and is done again."""
        with self._lock:
            before = self._current
            self._current = replace(before, lost_groups=before.lost_groups + 1)

    def _attempts_with(self, more: Mapping[tuple[str, str], int]) -> Mapping[tuple[str, str], int]:
        # Never changed in place: a snapshot may be taken at any moment.
        attempts = dict(self._current.attempts)
        for (event_type, outcome), number in more.items():
            key = (self._told_apart(event_type), outcome)
            attempts[key] = attempts.get(key, 0) + number
        return attempts

    def _handler_seconds_with(
        self, more: Mapping[str, tuple[Sequence[int], float]]
    ) -> Mapping[str, Histogram]:
        histograms = dict(self._current.handler_seconds)
        for event_type, (counts, seconds) in more.items():
            if len(counts) != len(_NO_CALLS):
                raise ValueError(
                    f"handler_seconds[{event_type!r}] has {len(counts)} counts: must be "
                    f"{len(_NO_CALLS)}, one more than BUCKET_BOUNDS"
                )
            key = self._told_apart(event_type)
            known = histograms.get(key, _EMPTY)
            histograms[key] = Histogram(
                counts=tuple(map(add, known.counts, counts)), sum=known.sum + seconds
            )
        return histograms

    def _told_apart(self, event_type: str) -> str:
        if not event_type or event_type in self._types:
            return event_type
        if len(self._types) == _MOST_TYPES:
            return OTHER_TYPES
        self._types.add(event_type)
        return event_type
