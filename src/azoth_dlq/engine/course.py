"""Where a drain is in its plan, and which letters of it have an outcome."""

from __future__ import annotations

from collections.abc import Collection

from azoth_dlq.kernels.eligibility import Selection

_LOOKED_THROUGH = 10_000  # letters at once


class Course:
    """`place` is that of the first letter in `letters` that was not attempted yet.

    Letters before the place where the last committed group ended have an outcome, and a few behind
    it: those that were settled out of order.
    """

    def __init__(self) -> None:
        self.letters = Selection()
        self.place = 0
        self.start = 0  # of the group
        self._limit: int | None = None
        self._attempted = 0
        self._settled = 0
        self._settled_further: list[int] = []
        self._aside: set[int] = set()

    def follow(self, letters: Selection, limit: int | None) -> None:
        """Have these letters attempted, at most `limit` of them."""
        self.letters, self._limit = letters, limit

    @property
    def still_allowed(self) -> int:
        """How many letters may be attempted, those of the open group among them."""
        return len(self.letters) if self._limit is None else self._limit - self._attempted

    @property
    def is_over(self) -> bool:
        return self.place >= len(self.letters)

    @property
    def remaining(self) -> int:
        """How many letters from `place` on have no outcome."""
        further = sum(place >= self.place for place in self._settled_further)
        aside = sum(place < self.place for place in self._aside)
        return len(self.letters) - self.place - further + aside

    def next_ids(self, most: int) -> list[int]:
        """The letters from `place` on."""
        return self.letters.ids(self.place, min(len(self.letters), self.place + most))

    def place_of(self, letter_id: int, within: int) -> int:
        """The place of a letter among the last `within` that were passed."""
        first = max(0, self.place - within)
        return first + self.letters.ids(first, self.place).index(letter_id)

    def begin_group(self) -> None:
        self.start = self.place

    def put_aside(self, place: int) -> None:
        """The letter there gets no outcome."""
        self._aside.add(place)

    def go_back(self) -> None:
        """The group is lost: it is done again."""
        self.place = self.start

    def commit_group(self, attempted: int, *, in_hand: int) -> None:
        """All before `place` have an outcome but the last `in_hand`."""
        self._attempted += attempted
        self._settled = self.place - in_hand
        self._settled_further = [p for p in self._settled_further if p >= self._settled]

    def note_settled(self, ids: Collection[int], end: int) -> None:
        """Those letters between `place` and `end` have an outcome, too."""
        end = min(end, len(self.letters))
        for first in range(self.place if ids else end, end, _LOOKED_THROUGH):
            places = enumerate(self.letters.ids(first, min(end, first + _LOOKED_THROUGH)), first)
            self._settled_further += [place for place, i in places if i in ids]

    def end(self) -> None:
        """Have `place` before every letter without an outcome."""
        self.place = self._settled
