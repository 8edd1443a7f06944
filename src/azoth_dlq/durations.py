"""Durations: a `timedelta` or seconds outside (as text with a unit, too), microseconds inside.

Anything longer than `MAX_US` (292,471 years) counts as `MAX_US`, the longest the kernels know.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final, TypeAlias

from azoth_dlq.errors import not_allowed

Duration: TypeAlias = timedelta | float
"""A `timedelta`, or seconds as an int or a float."""

MAX_US: Final = 2**63 - 1

_US_PER_SECOND: Final = 10**6
_MICROSECOND: Final = timedelta(microseconds=1)
_BEYOND_TIMEDELTA: Final = 1e13
_SECONDS_BY_UNIT: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TEXT: Final = r"([0-9]{1,19})(?:\.([0-9]{1,6}))?([smhd]?)"
_COMPOUND: Final = "".join(rf"(?:([0-9]{{1,19}}){unit})?" for unit in "dhms")
TEXT_FORMS: Final = (
    "seconds, such as 90 or 0.5, or a number with its unit: 90s, 15m, 2h, 3d, 1h30m "
    "(seconds, minutes, hours, days)"
)
"""What `parse_duration` reads, for messages."""


def to_microseconds(value: object, field: str, *, minimum: int = 0) -> int:
    """Return a `timedelta` or seconds as microseconds, from `minimum` (µs) to `MAX_US`.

    Floats are rounded to the nearest microsecond. Errors: `ConfigError` naming `field`.
    """
    microseconds = _microseconds(value)
    if microseconds is None or microseconds < minimum:
        raise not_allowed(field, value, f"a timedelta or seconds, {_at_least(minimum)}")
    return min(microseconds, MAX_US)


def parse_duration(text: str, field: str, *, minimum: int = 0, word: str | None = None) -> int:
    """Return decimal seconds (`10`, `0.25`), a number with its unit (`90s`, `15m`, `2h`, `3d`), or
    whole ones together (`1h30m`), as microseconds, from `minimum` (µs) to `MAX_US`.

    Errors: `ConfigError` naming `field`, and the `word` that is allowed, too.
    """
    microseconds = _text_in_microseconds(text)
    if microseconds is None or microseconds < minimum:
        or_word = "" if word is None else f", or {word}"
        raise not_allowed(field, text, f"{TEXT_FORMS}; {_at_least(minimum)}{or_word}")
    return min(microseconds, MAX_US)


def from_microseconds(microseconds: int) -> timedelta:
    """Return microseconds as a `timedelta`."""
    return timedelta(microseconds=microseconds)


def format_seconds(microseconds: int) -> str:
    """Return microseconds as decimal seconds, the form that `parse_duration` reads back."""
    seconds, fraction = divmod(microseconds, _US_PER_SECOND)
    return f"{seconds}.{fraction:06}".rstrip("0").rstrip(".")


def plain_seconds(duration: timedelta) -> int | float | str:
    """Return a duration as JSON-ready seconds that lose no microsecond.

    An int where it is whole, else a float, else (over some 140 years) the decimal text.
    """
    seconds, rest = divmod(duration, timedelta(seconds=1))
    if not rest:
        return seconds
    as_float = duration.total_seconds()
    if _microseconds(as_float) == duration // _MICROSECOND:
        return as_float
    return format_seconds(duration // _MICROSECOND)


def _microseconds(value: object) -> int | None:
    if isinstance(value, timedelta):
        return value // _MICROSECOND
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value * _US_PER_SECOND
    if not math.isfinite(value):
        return None
    if abs(value) >= _BEYOND_TIMEDELTA:
        return int(value) * _US_PER_SECOND
    return timedelta(seconds=value) // _MICROSECOND


def _text_in_microseconds(text: str) -> int | None:
    if match := re.fullmatch(_TEXT, text):
        return _in_microseconds(*match.groups(""))
    if text and (match := re.fullmatch(_COMPOUND, text)):
        numbers = zip(match.groups("0"), "dhms", strict=True)
        return sum(_in_microseconds(number, "", unit) for number, unit in numbers)
    return None


def _in_microseconds(whole: str, fraction: str, unit: str) -> int:
    in_units = int(whole) * _US_PER_SECOND + int(fraction.ljust(6, "0"))
    return in_units * _SECONDS_BY_UNIT[unit]


def _at_least(minimum: int) -> str:
    if minimum == 0:
        return "0 or more"
    return f"at least {format_seconds(minimum)} s"
