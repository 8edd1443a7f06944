"""Lines of a terminal, below what was printed before, that are drawn anew in place."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TextIO

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"  # the cursor
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
_TO_END_OF_LINE, _BELOW, _ALL = "\x1b[K", "\x1b[J", "\x1b[H\x1b[2J"
_USUAL_SIZE = os.terminal_size((80, 24))


class Line(NamedTuple):
    """Of lines that do not all fit, those of the highest rank are left out first."""

    text: Text
    rank: int


class Screen:
    """Draws on the terminal that `stream` is. The cursor stays below the last line, where others
    may print: what they overwrite is drawn anew."""

    def __init__(self, stream: TextIO) -> None:
        self._terminal = stream.fileno()
        self._encoding = stream.encoding
        self._console = Console(
            file=stream,
            force_terminal=True,
            soft_wrap=True,
            markup=False,
            highlight=False,
            emoji=False,
        )
        self._height = 0  # of what is drawn
        self._size = self.size

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines, now."""
        with suppress(OSError):
            size = os.get_terminal_size(self._terminal)
            if size.columns and size.lines:
                return size
        return _USUAL_SIZE

    @property
    def draws_boxes(self) -> bool:
        """Whether its encoding has the characters of bars."""
        return self._encoding.lower().startswith("utf")

    def draw(self, lines: Sequence[Line], above: str = "") -> None:
        """Draw these in the place of those before, behind whole lines that stay `above`."""
        size = self.size
        # Others may have been broken at the edge of another width: where they are, nobody knows.
        start = self._to_start() if size == self._size else _ALL
        fitting = _fitting(lines, size.lines - 1)
        shown = self._rendered([line.text for line in fitting], size.columns)
        drawn = "".join(f"{line}{_TO_END_OF_LINE}\r\n" for line in shown)
        printed = f"{_BELOW}{_WRAP}{above}{_NO_WRAP}" if above else ""
        self._height, self._size = len(shown), size
        self._write(f"{_HIDE}{_NO_WRAP}{start}{printed}{drawn}{_BELOW}{_WRAP}")

    def erase(self) -> None:
        """Leave the terminal as if nothing had been drawn."""
        self._write(f"{self._to_start()}{_BELOW}{_SHOW}")
        self._height = 0

    def leave(self) -> None:
        """Draw nothing in the place of what is drawn any more."""
        self._height = 0
        self._write(_SHOW)

    def _to_start(self) -> str:
        return f"\r\x1b[{self._height}A" if self._height else "\r"

    def _rendered(self, texts: Sequence[Text], width: int) -> list[str]:
        for text in texts:
            text.truncate(width, overflow="ellipsis")
        with self._console.capture() as captured:
            self._console.print(Text("\n").join(texts), end="")
        return captured.get().split("\n") if texts else []

    def _write(self, text: str) -> None:
        """At once: whatever else is printed comes before it or behind."""
        left = text.encode(self._encoding, "backslashreplace")
        with suppress(OSError):  # the terminal is gone
            while left:
                left = left[os.write(self._terminal, left) :]


def _fitting(lines: Sequence[Line], most: int) -> list[Line]:
    ranked = sorted(range(len(lines)), key=lambda n: lines[n].rank)
    return [lines[n] for n in sorted(ranked[: max(most, 1)])]
