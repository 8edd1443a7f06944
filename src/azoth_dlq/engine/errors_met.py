"""How often each kind of error was met in a drain, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from azoth_dlq.kernels.templates import fingerprint

_TEXT = 200  # characters of an example
_KINDS = 1000  # told apart at all
_COMMONEST = 10
OTHERS = "(other errors)"


class ErrorsMet:
    """Counts errors by their fingerprints, each kind told by the first error of it that was met;
    those beyond the first thousand together."""

    def __init__(
        self, counts: Counter[str] | None = None, examples: dict[str, str] | None = None
    ) -> None:
        self._counts: Counter[str] = Counter() if counts is None else counts
        self._examples = {OTHERS: OTHERS} if examples is None else examples

    def with_those(self, errors: Iterable[str]) -> ErrorsMet:
        """These and those before; these alone where they are none."""
        counts: Counter[str] | None = None
        for error in errors:
            if counts is None:
                counts = Counter(self._counts)
            kind = fingerprint(error)
            if kind not in counts and len(counts) >= _KINDS:
                kind = OTHERS
            self._examples.setdefault(kind, error[:_TEXT])
            counts[kind] += 1
        return self if counts is None else ErrorsMet(counts, self._examples)

    def commonest(self) -> tuple[tuple[str, int], ...]:
        """An error of each of the commonest kinds with its count, and the rest under `OTHERS`."""
        named = Counter(self._counts)
        others = named.pop(OTHERS, 0)
        told = ((self._examples[kind], count) for kind, count in named.items())
        ranked = sorted(told, key=lambda item: (-item[1], item[0]))
        others += sum(count for _, count in ranked[_COMMONEST:])
        rest = ((OTHERS, others),) if others else ()
        return (*ranked[:_COMMONEST], *rest)
