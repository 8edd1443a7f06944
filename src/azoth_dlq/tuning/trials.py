"""One trial: a drain of a copy under some settings, and what a letter cost in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import NamedTuple

from azoth_dlq import clock
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.queue import DeadLetterQueue
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.replayer import DlqReplayer
from azoth_dlq.report import ReplayReport
from azoth_dlq.store.sqlite.pragmas import TRIED
from azoth_dlq.tuning.candidates import Candidate
from azoth_dlq.tuning.copies import Copies


class Trial(NamedTuple):
    """`due` letters were there when it began; `seconds` in all, and of its phases."""

    report: ReplayReport
    due: int
    seconds: float
    phases: Mapping[str, float]
    is_cycle: bool

    @property
    def cost(self) -> float:
        """Seconds a letter; of a drain that was ended early, the plan is shared by all letters."""
        attempted = max(self.report.attempted, 1)
        plan = self.phases["plan"]
        if self.is_cycle or not self.due:
            return self.seconds / attempted
        return plan / self.due + (self.seconds - plan) / attempted

    def cost_by_phase(self) -> dict[str, float]:
        """Seconds a letter by phase."""
        attempted = max(self.report.attempted, 1)
        shares = {phase: seconds / attempted for phase, seconds in self.phases.items()}
        return shares | {"plan": self.phases["plan"] / max(self.due, 1)}


class Trials:
    """Runs trials of one file and one registry."""

    def __init__(
        self,
        copies: Copies,
        registry: EventHandlerRegistry,
        config: DlqReplayConfig,
        *,
        now: bool = False,
    ) -> None:
        """`now`: letters are attempted whose backoff has not passed, too."""
        self._copies = copies
        self._registry = registry
        # Each trial is to do the same work, whatever fails.
        self._config = replace(config, stop_on_consecutive_failures=None)
        self._now = now
        # The same letters are due in each.
        self._at = clock.now()

    def run(self, candidate: Candidate, *, most_seconds: float) -> Trial:
        """Try a candidate: a drain of `most_seconds` or one group more. Errors: as of `drain`."""
        with self._copies.fresh() as path, DeadLetterQueue.open(path) as dlq:
            for pragma in candidate.pragmas:
                dlq.connection.execute(TRIED[pragma]).fetchall()
            config = replace(self._config, **candidate.settings)
            replayer = DlqReplayer(dlq, self._registry, config, clock=lambda: self._at)
            began = monotonic()

            def end_in_time(_report: ReplayReport) -> None:
                if monotonic() - began >= most_seconds:
                    replayer.shutdown()

            if candidate.is_cycle:
                report = replayer.run_replay_cycle()
            else:
                report = replayer.drain(now=self._now, on_progress=end_in_time)
            seconds = monotonic() - began
        due = report.attempted + report.skipped + report.remaining
        phases = replayer.metrics.snapshot().phase_seconds
        return Trial(report, due, seconds, phases, candidate.is_cycle)
