"""Where the time of a drain goes."""

from __future__ import annotations

from time import monotonic

from azoth_dlq.metrics import PHASES

_OTHER = PHASES[-1]


class Phases:
    """One phase after the other; `seconds` of those that are over, by phase."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._phase = _OTHER
        self._since = monotonic()

    def begin(self, phase: str = _OTHER) -> None:
        """The phase before is over."""
        now = monotonic()
        self.seconds[self._phase] += now - self._since
        self._phase, self._since = phase, now
