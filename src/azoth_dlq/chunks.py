"""Long work in chunks, with pauses in which other writers get their turn."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")
WORK_SECONDS: Final = 1.0
YIELD_SECONDS: Final = 0.11  # SQLite's waiters only poll, at the longest each 0.1 s


def taking_turns(chunks: Iterable[T]) -> Iterator[T]:
    """The chunks, with a pause after each second in which they are worked on."""
    began = monotonic()
    for chunk in chunks:
        if monotonic() - began >= WORK_SECONDS:
            sleep(YIELD_SECONDS)
            began = monotonic()
        yield chunk
