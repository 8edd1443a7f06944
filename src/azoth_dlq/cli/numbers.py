"""Whole numbers as arguments: ids, and how many."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Container

_DIGITS: Final = re.compile(r"-?[0-9]{1,100}")


class WholeNumber(click.ParamType):  # type: ignore[type-arg]  # older click takes none
    """One that is in `numbers`; `allowed` says so in the error."""

    name = "integer"

    def __init__(self, numbers: Container[int], allowed: str) -> None:
        self._numbers = numbers
        self._allowed = allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not _DIGITS.fullmatch(text) or int(text) not in self._numbers:
            self.fail(f"{text!r}: must be {self._allowed}", param, ctx)
        return int(text)


ID: Final = WholeNumber(
    range(-(2**63), 2**63),
    "an id, a whole number such as 17, below 2**63 (`azoth-dlq list` shows them)",
)
HOW_MANY: Final = WholeNumber(range(10**100), "a whole number, 0 or more")
