"""Counters of a replayer since it was made."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class DlqMetricsSnapshot:
    """The counters at one instant, in letters.

    `permanent_failures` are all the parked ones; `last_check` is the unix time of the last look
    for due letters in seconds, 0 for never.
    """

    successes: int = 0
    failures: int = 0
    snoozed: int = 0
    permanent_failures: int = 0
    skipped: int = 0
    last_check: int = 0


class DlqMetrics:
    """Counters that any thread may add to and read."""

    __slots__ = ("_current", "_lock")

    def __init__(self) -> None:
        self._current = DlqMetricsSnapshot()
        self._lock = threading.Lock()

    def snapshot(self) -> DlqMetricsSnapshot:
        """Return the counters; never waits, so a signal handler may ask."""
        return self._current

    def record(
        self,
        *,
        successes: int = 0,
        failures: int = 0,
        snoozed: int = 0,
        permanent_failures: int = 0,
        skipped: int = 0,
    ) -> None:
        """Add the counts of one group: a snapshot shows all of them or none."""
        with self._lock:
            before = self._current
            self._current = DlqMetricsSnapshot(
                successes=before.successes + successes,
                failures=before.failures + failures,
                snoozed=before.snoozed + snoozed,
                permanent_failures=before.permanent_failures + permanent_failures,
                skipped=before.skipped + skipped,
                last_check=before.last_check,
            )

    def checked(self, unix_seconds: int) -> None:
        """Set `last_check` (unix time in seconds)."""
        with self._lock:
            self._current = replace(self._current, last_check=unix_seconds)
