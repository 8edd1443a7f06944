"""What an export is of, and its first and last line."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from azoth_dlq.acting import find, wanted_of
from azoth_dlq.errors import not_allowed
from azoth_dlq.exchange.lines import TABLES
from azoth_dlq.kernels.eligibility import format_timestamp
from azoth_dlq.store.whole import Origins

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping

    from azoth_dlq.filters import LetterFilter
    from azoth_dlq.store.base import Letters

FORMAT: Final = "azoth-dlq"
VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Both spaces, or one of them; where ids (int64, ascending) are given, these alone."""

    dead: bool = True
    parked: bool = True
    dead_ids: array[int] | None = None
    parked_ids: array[int] | None = None

    def spaces(self) -> list[tuple[bool, array[int] | None]]:
        """Each as whether it is that of the permanent failures, and its ids."""
        both = ((False, self.dead, self.dead_ids), (True, self.parked, self.parked_ids))
        return [(parked, ids) for parked, is_wanted, ids in both if is_wanted]


def selected(store: Letters, which: LetterFilter, now: int) -> Selection:
    """The letters of both spaces, or of that of the filter, that fit at `now` (µs). Errors:
    ConfigError, StorageError."""
    if which.ids is not None and which.parked is None:
        allowed = "True or False beside ids, which are of one of the tables"
        raise not_allowed("parked", which.parked, allowed)
    ids = [
        None if which.is_empty else find(store, wanted_of(which, parked=parked), now)
        for parked in (False, True)
        if which.parked in (None, parked)
    ]
    dead_ids = None if which.parked else ids[0]
    parked_ids = None if which.parked is False else ids[-1]
    return Selection(
        dead=not which.parked,
        parked=which.parked is not False,
        dead_ids=dead_ids,
        parked_ids=parked_ids,
    )


def header_of(selection: Selection, identity: bytes | None, now: int) -> dict[str, Any]:
    """The first line of an export."""
    spaces = selection.spaces()
    return {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": format_timestamp(now),
        "file": None if identity is None else Origins(identity).file.hex(),
        "tables": [TABLES[parked] for parked, _ in spaces],
        "ids": [_digest(ids) for _, ids in spaces],
    }


def is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two first lines are of exports of the same letters, at whatever time."""
    return {**one, "exported_at": None} == {**other, "exported_at": None}


def trailer_of(letters: int) -> dict[str, Any]:
    """The last line of an export: without it, it is not whole."""
    return {"end": True, "letters": letters}


def _digest(ids: array[int] | None) -> str | None:
    return None if ids is None else blake2b(ids, digest_size=8).hexdigest()
