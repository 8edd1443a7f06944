"""A figure: what the benchmarks tell, and `benchmarks.document` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_UNIT = re.compile(r"_(us|ns|ms)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`value` is a ratio unless its name says otherwise. Of several rounds it is the median, and
    `lowest` and `highest` are known. `details` is what it was made of: a name that ends in _us, _ms
    or _ns has that unit."""

    name: str
    value: float
    lowest: float | None = None
    highest: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_short(self) -> bool:
        too_low = self.at_least is not None and self.value < self.at_least
        return too_low or (self.at_most is not None and self.value > self.at_most)

    @property
    def asked(self) -> str:
        """What it should be; "" where nothing is asked of it."""
        bars = {"at least": self.at_least, "at most": self.at_most}
        return ", ".join(f"{bar} {value:g}" for bar, value in bars.items() if value is not None)

    @property
    def found(self) -> str:
        """The value, with how far its rounds went apart."""
        if self.lowest is None or self.highest is None:
            return readable(self.value)
        return f"{readable(self.value)} ({readable(self.lowest)} to {readable(self.highest)})"

    @property
    def made_of(self) -> str:
        return ", ".join(
            " ".join(filter(None, (words(name), readable(value), unit(name))))
            for name, value in self.details.items()
        )

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, without what is not known."""
        optional = {
            name: getattr(self, name) for name in ("lowest", "highest", "at_least", "at_most")
        }
        known = {name: value for name, value in optional.items() if value is not None}
        return {"name": self.name, "value": self.value, **known, "details": dict(self.details)}


def readable(value: float) -> str:
    """Three digits, or all of a large number's."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def words(detail: str) -> str:
    """The name of a detail, without its unit."""
    return _UNIT.sub("", detail).replace("_", " ")


def unit(detail: str) -> str:
    """ "" where it has none."""
    found = _UNIT.search(detail)
    return found[1].replace("us", "µs") if found else ""
