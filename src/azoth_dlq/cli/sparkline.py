"""Failures over time as lines of bars."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from azoth_dlq.cli.output import duration_text
from azoth_dlq.cli.times import instant_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azoth_dlq.timeline import Timeline

_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = ".:-=+*#@"  # where the terminal has no others
_NONE: Final = " "


def timeline_lines(line: Timeline) -> list[str]:
    """A line of bars for dead letters, one for permanent failures, each from 0 to its own most, and
    what they mean."""
    rows = {"dead letters": line.dead_letters, "permanent failures": line.permanent_failures}
    lines = [
        f"  {name:<18}  |{sparkline(counts)}|  {sum(counts):,}, at most {max(counts):,} a bar"
        for name, counts in rows.items()
        if any(counts)
    ]
    span = f"{instant_text(line.start)} to {instant_text(line.end)}"
    beyond = f"; {line.beyond:,} failed before or after" if line.beyond else ""
    return [
        f"failed first, from {span}, a bar is {duration_text(line.width)}{beyond}",
        *lines,
    ]


def sparkline(counts: Sequence[int]) -> str:
    """A bar for each count, as high as its share of the largest; a blank for 0."""
    bars, most = _bars(), max(counts, default=0)
    return "".join(bars[-(-count * len(bars) // most) - 1] if count else _NONE for count in counts)


def _bars() -> str:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        _BARS.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return _PLAIN_BARS
    return _BARS
