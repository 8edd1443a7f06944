"""Pieces of Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Container, Iterable, Sequence

_WIDTH = 100


def paragraphs(text: str) -> str:
    """Those between blank lines, each laid out anew."""
    return "\n\n".join(map(_filled, text.strip().split("\n\n")))


def bullets(texts: Iterable[str]) -> str:
    return "\n".join(_filled(text, first="- ", others="  ") for text in texts)


def console(*commands: str) -> str:
    return "\n".join(["```console", *(f"$ {command}" for command in commands), "```"])


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: Container[int]) -> str:
    """The columns of these numbers are text, the others are to the right."""
    rule = ["---" if place in texts else "---:" for place in range(len(head))]
    return "\n".join(_row(cells) for cells in (head, rule, *rows))


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A table of two columns of text."""
    return table(("", ""), rows, texts=(0, 1))


def plot(file: str, shows: str) -> str:
    return f"![{shows}]({file})"


def _filled(text: str, first: str = "", others: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _row(cells: Sequence[str]) -> str:
    return "".join(f"| {cell.replace('|', '&#124;')} " for cell in cells) + "|"
