"""Sets of ids: single ones and ranges, kept as few numbers however many ids there are."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, final

from azoth_dlq.errors import not_allowed

_INT64: Final = range(-(2**63), 2**63)
_TEXT: Final = re.compile(r"(-?[0-9]{1,19})(?:-(-?[0-9]{1,19}))?")
_SHOWN: Final = 100  # ranges in a text
TEXT_FORMS: Final = "an id, such as 17, or a range, such as 20-30 (both ends included)"


@final
class IdRanges:
    """Ids from -2**63 to 2**63-1, given as ints and as `range`s of step 1, in any order.

    16 bytes for each run of ids that follow one another. Errors: ConfigError.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ids: Iterable[int | range]) -> None:
        # The characters of "12" and the bytes of b"12" would pass for two ids.
        if isinstance(ids, (str, bytes, bytearray)) or not isinstance(ids, Iterable):
            raise not_allowed("ids", ids, "a collection of ids, such as [1, range(4, 8)]")
        self._firsts, self._lasts = array("q"), array("q")
        if isinstance(ids, range) and ids.step == 1:
            ids = [ids] if ids else []
        for first, last in _ascending(ids):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(self._lasts[-1], last)
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def __contains__(self, letter_id: int) -> bool:
        place = bisect_right(self._firsts, letter_id)
        return place > 0 and letter_id <= self._lasts[place - 1]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The first and the last id of each run, ascending."""
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self._firsts)

    @property
    def count(self) -> int:
        """How many ids there are."""
        return sum(last - first + 1 for first, last in self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdRanges):
            return NotImplemented
        return self._firsts == other._firsts and self._lasts == other._lasts

    def __hash__(self) -> int:
        return hash((self._firsts.tobytes(), self._lasts.tobytes()))

    def __str__(self) -> str:
        """`17,20-30`, shortened where it is long."""
        shown = [_shown(first, last) for first, last in islice(self, _SHOWN)]
        rest = len(self) - len(shown)
        return ",".join(shown) + (f",… ({self.count} ids)" if rest else "")

    def __repr__(self) -> str:
        return f"IdRanges({str(self)!r})"

    def __reduce__(self) -> tuple[type[IdRanges], tuple[list[range]]]:
        return IdRanges, ([range(first, last + 1) for first, last in self],)


def parse_ids(text: str) -> range:
    """An id, or a range of ids, as a text: `17`, `20-30`. Errors: ConfigError."""
    match = _TEXT.fullmatch(text)
    first, last = (0, -1) if match is None else (int(match[1]), int(match[2] or match[1]))
    if first > last or first not in _INT64 or last not in _INT64:
        raise not_allowed("ids", text, f"{TEXT_FORMS}, each below 2**63")
    return range(first, last + 1)


def _ascending(ids: Iterable[int | range]) -> list[tuple[int, int]]:
    runs = []
    for item in ids:
        if type(item) is int and item in _INT64:
            runs.append((item, item))
        elif type(item) is range and item.step == 1 and item and _fits(item):
            runs.append((item.start, item.stop - 1))
        else:
            allowed = "an int from -2**63 to 2**63-1, or a range of them of step 1"
            raise not_allowed("ids", item, allowed)
    runs.sort()
    return runs


def _fits(ids: range) -> bool:
    return ids.start in _INT64 and ids.stop - 1 in _INT64


def _shown(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
