"""What a drain reads and tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from azoth_dlq.engine.stop import Stop
from azoth_dlq.engine.tally import Tally
from azoth_dlq.metrics import DlqMetrics
from azoth_dlq.types import ReplayReport


@dataclass(slots=True)
class FailuresInRow:
    """How many attempts in a row have failed so far."""

    count: int = 0


@dataclass(slots=True)
class LockHeld:
    """For how long the file was locked since others had their turn."""

    seconds: float = 0.0


@dataclass(slots=True)
class Surroundings:
    """Of all drains of one replayer: `clock()` in microseconds, `sleep(seconds)`, the request to
    stop, counters, failures in a row, how long others had to wait. Of one drain or run: who gets
    the report so far after each commit, and where a run of several drains adds up what they did."""

    clock: Callable[[], int]
    sleep: Callable[[float], None]
    stop: Stop
    metrics: DlqMetrics
    failures_in_row: FailuresInRow = field(default_factory=FailuresInRow)
    lock_held: LockHeld = field(default_factory=LockHeld)
    on_progress: Callable[[ReplayReport], None] | None = None
    total: Tally = field(default_factory=Tally)
