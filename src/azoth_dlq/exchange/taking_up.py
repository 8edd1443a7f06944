"""What an export that was interrupted has left: as much of it as is whole is gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from azoth_dlq.exchange.lines import UnreadableLine, letter_of, object_of
from azoth_dlq.exchange.members import whole_members
from azoth_dlq.exchange.selection import is_same

if TYPE_CHECKING:
    from azoth_dlq.store.upkeep import Exchange
    from azoth_dlq.store.whole import WholeLetter

_ANY_VALUE: Final[Mapping[bool, frozenset[str]]] = {False: frozenset(), True: frozenset()}


class OfAnotherExport(Exception):
    """What was left is not of this export; says why."""


def take_up(
    file: BinaryIO,
    header: Mapping[str, Any],
    store: Exchange,
    note: Callable[[WholeLetter], None],
    *,
    gzip: bool,
) -> int:
    """Have each letter noted that stands in the file as a whole; where they end (0: there is
    nothing). Errors: OfAnotherExport."""
    end = 0
    last: WholeLetter | None = None
    file.seek(0)
    for lines, behind in whole_members(file) if gzip else _whole_lines(file):
        letters = _letters(lines, header if end == 0 else None)
        if letters is None:
            break
        for letter in letters:
            note(letter)
            last = letter
        end = behind
    if last is not None and header["file"] is None and not _is_there(store, last):
        raise OfAnotherExport("nothing tells that it is of this file")
    return end


def _whole_lines(file: BinaryIO) -> Iterator[tuple[list[bytes], int]]:
    end = 0
    for line in file:
        end += len(line)
        if not line.endswith(b"\n"):
            return
        yield [line], end


def _letters(lines: list[bytes], header: Mapping[str, Any] | None) -> list[WholeLetter] | None:
    """None where one of the lines is no letter, but torn, or the last line of a whole export."""
    try:
        documents = [object_of(line) for line in lines]
        if header is not None and not is_same(header, documents.pop(0)):
            raise OfAnotherExport("it is of other letters, or of another file")
        return [letter_of(document, _ANY_VALUE) for document in documents]
    except UnreadableLine as error:
        if header is not None:
            raise OfAnotherExport("it is no export of azoth-dlq") from error
        return None


def _is_there(store: Exchange, letter: WholeLetter) -> bool:
    with store.reading():
        found = list(store.letters(parked=letter.parked, ids=[letter.id]))
    return [one.origin for one in found] == [letter.origin]
