"""What the groups of a drain, or of all the drains of a run, have committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from azoth_dlq.engine.errors_met import ErrorsMet


class Tally:
    """Adds up counts of letters, by the names of `ReplayReport`'s fields, and the errors met."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._errors = ErrorsMet()
        self._last: object = None

    def add(self, counts: Mapping[str, int], errors: Iterable[str], of: object = None) -> None:
        """Add what a committed group did, and the errors of its failed attempts: all or, where a
        signal comes between, none. Nothing where `of` was the last to be added already."""
        if of is not None and of is self._last:
            return
        all_counts, all_errors = self._counts + Counter(counts), self._errors.with_those(errors)
        self._counts, self._errors, self._last = all_counts, all_errors, of

    @property
    def counts(self) -> dict[str, int]:
        """The sums of everything added."""
        return dict(self._counts)

    def commonest(self) -> tuple[tuple[str, int], ...]:
        """The commonest errors with how many letters met each, and the others together."""
        return self._errors.commonest()
