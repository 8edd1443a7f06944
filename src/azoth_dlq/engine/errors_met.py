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

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, errors: Iterable[str]) -> None:
        for error in errors:
            text = error[:_TEXT]
            known = text in self._counts or len(self._counts) < _TEXTS
            self._counts[text if known else OTHERS] += 1

    def commonest(self) -> tuple[tuple[str, int], ...]:
        """The commonest texts with their counts, and the rest under `OTHERS`."""
        named = Counter(self._counts)
        others = named.pop(OTHERS, 0)
        ranked = sorted(named.items(), key=lambda item: (-item[1], item[0]))
        others += sum(count for _, count in ranked[_COMMONEST:])
        rest = ((OTHERS, others),) if others else ()
        return (*ranked[:_COMMONEST], *rest)
