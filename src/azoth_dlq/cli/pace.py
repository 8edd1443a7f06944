"""How fast letters are done, and how long the others will take."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from time import monotonic

_SECONDS = 30.0  # that it is told of
_LEAST_SECONDS = 0.5  # between two samples, and in which a speed is none
_SLOW = 10.0  # a second


class Pace:
    """Over the last half minute, or since it was begun anew."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._latest: tuple[float, int] | None = None

    def note(self, done: int) -> None:
        """So many are done by now."""
        now = monotonic()
        self._latest = (now, done)
        if not self._samples or now - self._samples[-1][0] >= _LEAST_SECONDS:
            self._samples.append(self._latest)
        while len(self._samples) > 1 and now - self._samples[1][0] >= _SECONDS:
            self._samples.popleft()

    def begin_anew(self) -> None:
        """As after a pause: what was before tells nothing."""
        self._samples.clear()
        self._latest = None

    @property
    def a_second(self) -> float | None:
        """None: it is too early to tell."""
        if self._latest is None:
            return None
        (began, done), (now, done_now) = self._samples[0], self._latest
        seconds = now - began
        return (done_now - done) / seconds if seconds >= _LEAST_SECONDS else None

    def time_for(self, letters: int) -> timedelta | None:
        """How long so many take, if it goes on like this; None: nobody knows."""
        speed = self.a_second
        return timedelta(seconds=letters / speed) if speed and speed > 0 else None


def speed_text(a_second: float) -> str:
    """`1,203/s`; a slow one with a decimal."""
    return f"{a_second:,.1f}/s" if 0 < abs(a_second) < _SLOW else f"{a_second:,.0f}/s"
