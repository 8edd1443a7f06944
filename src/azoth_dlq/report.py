"""What a replayer hands out: how a drain, cycle or run went."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

MOST_LOST = 100
"""Calls that a drain leaves behind before it stops."""
StopCause: TypeAlias = Literal["failures", "shutdown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What a cycle or drain did.

    `failed` counts attempts that ended with another process, too, once they are charged. `parked`
    counts every parked letter: failed ones, and those parked unattempted as `unreadable`
    or `exhausted`. `skipped` were gone, changed or claimed by others since they were selected.
    `remaining` are due, or to be parked, and were not reached, or stay as they were because the
    database refuses every change. `waiting` were not due when it began (None: not counted, by a
    look at those alone that may be due), the first of them at `next_due` (UTC). `errors` are the
    commonest errors of the failed attempts with how many letters met each, and the others together:
    those of one template (as of `LetterGroup`) are one, told by the first of them, its first 200
    characters. `lost`: calls that took longer than their timeout and could not be ended: their
    letters failed with that, and their threads (or tasks) were left behind. After a hundred of
    them, and those that run then, a drain stops. `purged` are the permanent failures that a run has
    deleted by `retention`, `purged_attempts` the records of attempts of dead letters.
    """

    started_at: datetime
    duration: timedelta = timedelta(0)
    succeeded: int = 0
    failed: int = 0
    snoozed: int = 0
    parked: int = 0
    unreadable: int = 0
    exhausted: int = 0
    skipped: int = 0
    remaining: int = 0
    stopped: StopCause | None = None
    waiting: int | None = 0
    next_due: datetime | None = None
    errors: tuple[tuple[str, int], ...] = ()
    lost: int = 0
    purged: int = 0
    purged_attempts: int = 0

    @property
    def attempted(self) -> int:
        """Letters whose handler's outcome was committed."""
        return self.succeeded + self.failed + self.snoozed

    def as_dict(self) -> dict[str, Any]:
        """Return the report ready for JSON: durations in seconds, instants as RFC 3339 in UTC."""
        plain = {"attempted": self.attempted, **asdict(self)}
        plain["started_at"] = _rfc3339(self.started_at)
        plain["duration"] = self.duration.total_seconds()
        plain["errors"] = [{"error": text, "letters": n} for text, n in self.errors]
        plain["next_due"] = None if self.next_due is None else _rfc3339(self.next_due)
        return plain

    def __str__(self) -> str:
        parts = [_counts(self, ("succeeded", "failed", "snoozed"), f"{self.attempted} attempted")]
        if self.parked:
            parts.append(_counts(self, ("unreadable", "exhausted"), f"{self.parked} parked"))
        if self.lost:
            parts.append(f"{self.lost} lost after their timeout")
        if self.purged or self.purged_attempts:
            attempts = f" and {self.purged_attempts} records of attempts"
            parts.append(f"{self.purged} purged{attempts * bool(self.purged_attempts)}")
        if self.skipped:
            parts.append(f"{self.skipped} skipped")
        if self.remaining:
            parts.append(f"{self.remaining} remaining")
        if self.waiting:
            due = f", next due {_rfc3339(self.next_due)}" if self.next_due is not None else ""
            parts.append(f"{self.waiting} waiting{due}")
        if self.stopped is not None:
            parts.append(f"stopped by {self.stopped}")
        return f"{'; '.join(parts)}; {self.duration.total_seconds():.3f} s"


def _counts(report: ReplayReport, names: tuple[str, ...], whole: str) -> str:
    shown = [f"{count} {name}" for name in names if (count := getattr(report, name))]
    return f"{whole} ({', '.join(shown)})" if shown else whole


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
