"""Rates as texts: so many in a second, a minute or an hour."""

from __future__ import annotations

import re
from typing import Final

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_RATE: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,18})?)(?:/([smh]))?", re.ASCII)


def parse_rate(text: str) -> float | str:
    """The number a second that `50`, `50/s`, `600/m` or `3600/h` stands for; the text itself where
    it is of no such form."""
    found = _RATE.fullmatch(text.strip())
    if found is None:
        return text
    number, unit = found.groups()
    return float(number) / _SECONDS[unit or "s"]
