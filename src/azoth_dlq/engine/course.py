"""Where a drain is in its plan, and how many letters of it have no outcome."""

from __future__ import annotations

from collections.abc import Collection

from azoth_dlq.engine._group import Group
from azoth_dlq.kernels.eligibility import Selection

_LOOKED_THROUGH = 10_000  # letters at once


class Course:
    """`place` is that of the first letter in `letters` that was not attempted yet, `unfit_place`
    that of the first unfit one that was not parked.

    What was attempted need not have an outcome: its group may be lost, its call may be under way.
    """

    def __init__(self) -> None:
        self.letters = Selection()
        self.place = 0
        self.unfit_place = 0
        self._start = 0  # of the group
        self._limit: int | None = None
        self._attempted = 0
        self._done = 0  # attempted, skipped, or parked
        self._counted: object = None  # the group counted last

    def follow(self, letters: Selection, limit: int | None) -> None:
        """Have these letters attempted, at most `limit` of them."""
        self.letters, self._limit = letters, limit

    @property
    def has_limit(self) -> bool:
        """Whether only so many letters may be attempted."""
        return self._limit is not None

    @property
    def still_allowed(self) -> int:
        """How many letters may be attempted, those of the open group among them."""
        return len(self.letters) if self._limit is None else self._limit - self._attempted

    @property
    def is_over(self) -> bool:
        return self.place >= len(self.letters)

    @property
    def remaining(self) -> int:
        """How many letters have no outcome that is committed, unfit ones among them."""
        return len(self.letters) + self.letters.unfit_count - self._done

    def next_ids(self, most: int) -> list[int]:
        """The letters from `place` on."""
        return self.letters.ids(self.place, min(len(self.letters), self.place + most))

    def place_of(self, letter_id: int, within: int) -> int:
        """The place of a letter among the last `within` that were passed."""
        first = max(0, self.place - within)
        return first + self.letters.ids(first, self.place).index(letter_id)

    def begin_group(self) -> None:
        self._start = self.place

    def go_back(self) -> int:
        """The group is lost: it is done again, from the place that is returned."""
        self.place = self._start
        return self.place

    def count(self, group: Group) -> None:
        """It is committed. Counted twice, it counts once."""
        if group.identity is self._counted:
            return
        attempted = self._attempted + len(group)
        unattempted = group.skipped + group.unreadable + group.exhausted
        done = self._done + len(group) - group.not_planned + unattempted
        self._counted, self._attempted, self._done = group.identity, attempted, done

    def ahead(self, ids: Collection[int]) -> set[int]:
        """Those letters from `place` on, and from `unfit_place`."""
        found: set[int] = set()
        if not ids:
            return found
        end = len(self.letters)
        for first in range(self.place, end, _LOOKED_THROUGH):
            some = self.letters.ids(first, min(end, first + _LOOKED_THROUGH))
            found.update(i for i in some if i in ids)
        end = self.letters.unfit_count
        for first in range(self.unfit_place, end, _LOOKED_THROUGH):
            unfit = self.letters.unfit(first, min(end, first + _LOOKED_THROUGH))
            found.update(i for i, _ in unfit if i in ids)
        return found
