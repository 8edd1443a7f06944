"""How long a letter waits after each failed attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from azoth_dlq.durations import (
    MAX_US,
    TEXT_FORMS,
    Duration,
    format_seconds,
    from_microseconds,
    parse_duration,
    to_microseconds,
)
from azoth_dlq.errors import ConfigError, not_allowed
from azoth_dlq.kernels.backoff import EXPONENTIAL, FIBONACCI, FIXED, delay

if TYPE_CHECKING:
    from datetime import timedelta

NAMES: Final = {FIXED: "fixed", EXPONENTIAL: "exponential", FIBONACCI: "fibonacci"}
FORMS: Final = "fixed=DELAY, exponential=INITIAL,MAX or fibonacci=INITIAL,MAX"
_TEXT_FORMS: Final = f"{FORMS}, each {TEXT_FORMS}"


@dataclass(frozen=True, slots=True, repr=False)
class BackoffStrategy:
    """A delay for each attempt; attempt 0 is the first replay.

    Made by `fixed`, `exponential`, `fibonacci` or `parse`. The fields are what the kernels take:
    `kind` is one of `kernels.backoff`'s, `initial_us` and `max_us` are microseconds.
    """

    kind: int
    initial_us: int
    max_us: int

    def __post_init__(self) -> None:
        if self.kind not in NAMES:
            raise not_allowed("kind", self.kind, f"one of {sorted(NAMES)}")
        for name in ("initial_us", "max_us"):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= MAX_US:
                raise not_allowed(name, value, f"an int from 0 to {MAX_US}")
        if self.kind == FIXED and self.max_us != self.initial_us:
            raise not_allowed("max_us", self.max_us, "initial_us in a fixed backoff")

    @classmethod
    def fixed(cls, delay: Duration) -> Self:
        """Wait `delay` (`timedelta` or seconds, 0 or more) after every attempt."""
        delay_us = to_microseconds(delay, "delay")
        return cls(FIXED, delay_us, delay_us)

    @classmethod
    def exponential(cls, initial: Duration, max: Duration) -> Self:  # noqa: A002 -- public name
        """Wait `initial * 2**attempt`, at most `max` (`timedelta` or seconds, 0 or more)."""
        return cls(EXPONENTIAL, to_microseconds(initial, "initial"), to_microseconds(max, "max"))

    @classmethod
    def fibonacci(cls, initial: Duration, max: Duration) -> Self:  # noqa: A002 -- public name
        """Wait `initial` times 1, 1, 2, 3, 5, …, at most `max` (`timedelta` or seconds)."""
        return cls(FIBONACCI, to_microseconds(initial, "initial"), to_microseconds(max, "max"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `fixed=30` (seconds), `exponential=10,3600` or, with units, `fibonacci=1s,10m`."""
        name, _, values = text.partition("=")
        kind = next((kind for kind, known in NAMES.items() if known == name), None)
        delays = values.split(",")
        if kind is None or len(delays) != (1 if kind == FIXED else 2):
            raise not_allowed("backoff", text, _TEXT_FORMS)
        try:
            durations = [parse_duration(value.strip(), "backoff") for value in delays]
        except ConfigError:
            raise not_allowed("backoff", text, _TEXT_FORMS) from None
        return cls(kind, durations[0], durations[-1])

    def calculate(self, attempt: int) -> timedelta:
        """Return the delay after `attempt` (0 to 2**63-1, else `ValueError`)."""
        return from_microseconds(delay(self.kind, self.initial_us, self.max_us, attempt))

    def __str__(self) -> str:
        return f"{NAMES[self.kind]}={','.join(self._seconds())}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{NAMES[self.kind]}({', '.join(self._seconds())})"

    def _seconds(self) -> list[str]:
        durations = (self.initial_us,) if self.kind == FIXED else (self.initial_us, self.max_us)
        return [format_seconds(duration) for duration in durations]
