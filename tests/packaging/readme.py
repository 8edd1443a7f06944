"""The two commands of the README, and what it says they print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_TIMES = re.compile(r"Drained in .* s \(.* letters a second\)")


@dataclass(frozen=True)
class Command:
    """It stands behind `before` in the README, and ends with `after`."""

    before: str
    after: str

    def line(self, checkout: Path) -> str:
        """What is typed."""
        found = re.search(
            f"{self.before}(python3 -m venv .*?){self.after}", _text(checkout), re.DOTALL
        )
        assert found
        return found[1]

    def shown(self, checkout: Path) -> str:
        """What the README has below it."""
        behind = _text(checkout).partition(self.line(checkout) + self.after)[2]
        return behind.partition("```")[0]


DEMO = Command(before=r"\$ ", after="\n")
TESTS = Command(before=r"The tests: `", after="`")


def steady(text: str) -> list[str]:
    """Its lines, without the times."""
    return _TIMES.sub("Drained", text).strip().splitlines()


def _text(checkout: Path) -> str:
    return (checkout / "README.md").read_text("utf-8")
