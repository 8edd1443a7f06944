"""Letters that are written out before they are deleted: what is deleted is what was written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from azoth_dlq.acting import not_in_hand
from azoth_dlq.errors import ExchangeError
from azoth_dlq.exchange.exporting import export
from azoth_dlq.exchange.lines import letter_line, object_of
from azoth_dlq.exchange.selection import Selection
from azoth_dlq.exchange.source import Chunk, opened

if TYPE_CHECKING:
    from array import array

    from azoth_dlq.acting import Act
    from azoth_dlq.store.base import Store


def export_and_discard(
    store: Store, act: Act, ids: array[int], file: str | os.PathLike[str], beside: str
) -> Iterator[None]:
    """Write letters to a file that `import_` reads, and delete them when it is whole and on the
    disk, a bounded number in each transaction; comes back before each.

    The file is read again, and a letter that is not as it stands there (it was attempted or edited
    meanwhile), or that a handler has in hand, stays. Those deleted may be imported again. Errors:
    ExchangeError, StorageError; before the first transaction, nothing is deleted.
    """
    with store.together():
        # A file that has its identity from now on, and whose letters have one origin.
        same = act.same(ids)
    of = {"parked_ids": same} if act.parked else {"dead_ids": same}
    selection = Selection(dead=not act.parked, parked=act.parked, **of)
    try:
        report = export(store.exchange, file, selection, resume=False, beside=beside)
    except ExchangeError as error:
        reason = str(error).partition("; ")[0]
        raise ExchangeError(f"{reason}; nothing was deleted: give another FILE, or room") from error
    act.details["export"] = report.file
    with opened(file) as source:
        for chunk in source.chunks():
            lines = _letters_of(chunk)
            yield
            act.done += _discard(store, act, lines)


def _letters_of(chunk: Chunk) -> dict[int, bytes]:
    """The lines of letters by their ids: neither the first line of the file nor the last."""
    documents = ((object_of(content), content) for _, content in chunk.lines)
    return {document["id"]: content for document, content in documents if "table" in document}


def _discard(store: Store, act: Act, lines: dict[int, bytes]) -> int:
    ids: Sequence[int] = sorted(lines)
    exchange, parked = store.exchange, act.parked
    with act.part():
        with exchange.reading(), closing(exchange.letters(parked=parked, ids=ids)) as letters:
            same = [one.id for one in letters if letter_line(one) == lines[one.id]]
        free = not_in_hand(store, same, parked=parked)
        exchange.let_return(free, parked=parked)
        done = store.delete(free, parked=parked)
        if done:
            act.write(done, {"export": act.details["export"]})
    return done
