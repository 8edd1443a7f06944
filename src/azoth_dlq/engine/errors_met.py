"""How often each error was met in a drain, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_TEXT = 200  # characters by which errors are told apart
_TEXTS = 1000  # told apart at all
_COMMONEST = 10
OTHERS = "(other errors)"


class ErrorsMet:
    """Counts error texts; those beyond the first thousand together."""

    def __init__(self, counts: Counter[str] | None = None) -> None:
        self._counts: Counter[str] = Counter() if counts is None else counts

    def with_those(self, errors: Iterable[str]) -> ErrorsMet:
        """These and those before; these alone where they are none."""
        counts: Counter[str] | None = None
        for error in errors:
            if counts is None:
                counts = Counter(self._counts)
            text = error[:_TEXT]
            known = text in counts or len(counts) < _TEXTS
            counts[text if known else OTHERS] += 1
        return self if counts is None else ErrorsMet(counts)

    def commonest(self) -> tuple[tuple[str, int], ...]:
        """The commonest texts with their counts, and the rest under `OTHERS`."""
        named = Counter(self._counts)
        others = named.pop(OTHERS, 0)
        ranked = sorted(named.items(), key=lambda item: (-item[1], item[0]))
        others += sum(count for _, count in ranked[_COMMONEST:])
        rest = ((OTHERS, others),) if others else ()
        return (*ranked[:_COMMONEST], *rest)
