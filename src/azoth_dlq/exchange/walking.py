"""Every letter of a store, once, while others go on."""

from __future__ import annotations

from contextlib import closing
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, TypeAlias

from azoth_dlq.chunks import WORK_SECONDS, YIELD_SECONDS
from azoth_dlq.store.sqlite.origin_set import OriginSet
from azoth_dlq.store.upkeep import FIRST_ID

if TYPE_CHECKING:
    from array import array
    from collections.abc import Generator, Sequence

    from azoth_dlq.store.upkeep import Exchange
    from azoth_dlq.store.whole import WholeLetter

Spaces: TypeAlias = "Sequence[tuple[bool, array[int] | None]]"
_Place: TypeAlias = tuple[int, int]  # which space, and from which id on
_START: Final = (0, FIRST_ID)
_LAST_ID: Final = 2**63 - 1


def each_once(
    store: Exchange, spaces: Spaces, written: OriginSet | None = None
) -> Generator[WholeLetter, None, None]:
    """As they are at one instant, but those whose origin is among `written`.

    Where nobody could commit meanwhile, in parts, each of another instant: again from the start
    until a whole look finds nothing more, since a letter may be parked or requeued in between.
    """
    if store.reading_blocks:
        with closing(OriginSet()) as own:
            yield from _in_parts(store, spaces, own if written is None else written)
        return
    with store.reading(), closing(_from(store, spaces, _START)) as letters:
        for _, letter in letters:
            if written is None or written.add(letter.origin):
                yield letter


def _in_parts(
    store: Exchange, spaces: Spaces, written: OriginSet
) -> Generator[WholeLetter, None, None]:
    is_whole = False
    while not is_whole:
        place: _Place | None = _START
        parts = found = 0
        while place is not None:
            if parts:
                sleep(YIELD_SECONDS)
            parts += 1
            until = monotonic() + WORK_SECONDS
            with store.reading(), closing(_from(store, spaces, place)) as letters:
                place = None
                for behind, letter in letters:
                    if written.add(letter.origin):
                        found += 1
                        yield letter
                    if monotonic() >= until:
                        place = behind
                        break
        is_whole = parts == 1 or found == 0


def _from(
    store: Exchange, spaces: Spaces, place: _Place
) -> Generator[tuple[_Place, WholeLetter], None, None]:
    """Each letter from there on, and the place behind it."""
    start, first = place
    for number, (parked, ids) in enumerate(spaces[start:], start):
        for letter in store.letters(parked=parked, ids=ids, first=first):
            behind = (number, letter.id + 1) if letter.id < _LAST_ID else (number + 1, FIRST_ID)
            yield behind, letter
        first = FIRST_ID
