"""Parts of the port that no drain needs: what people do to letters, and letters between stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from azoth_dlq.store.whole import Taken, WholeLetter
    from azoth_dlq.types import AuditRecord

FIRST_ID = -(2**63)


class NewAction(NamedTuple):
    """What somebody does on purpose: at what time (microseconds), who, the verb, to which letters
    (as `LetterFilter.as_dict` gives it), how many were found, and how many it was done to."""

    at: int
    who: str
    action: str
    filter: Mapping[str, Any]
    matched: int
    done: int = 0
    details: Mapping[str, Any] | None = None


class Upkeep(Protocol):
    """What people do to letters on purpose, and the record of it. As with `Letters`, each verb
    joins a transaction that is open."""

    def together(self) -> AbstractContextManager[None]:
        """What the verbs do within is committed together, or not at all."""

    def record(self, action: NewAction) -> int:
        """Write down an action; its id."""

    def record_done(
        self,
        action_id: int,
        done: int,
        details: Mapping[str, Any] | None = None,
        matched: int | None = None,
    ) -> None:
        """Write down that it was done to so many more letters; new details, and how many were
        found, where given."""

    def actions(self, limit: int = -1) -> list[AuditRecord]:
        """The newest actions, at most `limit` (-1: all)."""

    def edit(
        self, letter_id: int, event_bytes: bytes, now: int, who: str, *, parked: bool = False
    ) -> bool:
        """Give a letter other bytes, and keep those of before the first edit; whether there is such
        a letter. Errors: InvalidStateError where a handler has it in hand."""

    def identities(self, ids: Sequence[int], *, parked: bool = False) -> list[int | None]:
        """What tells each letter from another that gets its id later, as long as this process
        lives; None where there is none."""

    def original(self, letter_id: int, *, parked: bool = False) -> bytes | None:
        """The bytes of a letter before the first edit; None where it was never edited."""

    def put_back(self, letter_id: int, now: int, who: str, *, parked: bool = False) -> bool:
        """Give a letter its original bytes; whether there are such. Errors as of `edit`."""

    def purge_attempts(self, until: int, after: int = 0) -> tuple[int, int | None]:
        """Delete what is kept of dead letters' attempts until then (microseconds), among a bounded
        number of records; how many were deleted, and where to go on (None: it is done)."""


class Exchange(Protocol):
    """Letters as a whole, out of a store and into it."""

    @property
    def identity(self) -> bytes | None:
        """Tells the store from others; None where nothing was ever written through this port."""

    @property
    def reading_blocks(self) -> bool:
        """Whether nobody can commit while letters are read."""

    def reading(self) -> AbstractContextManager[None]:
        """What is read within is of one instant."""

    def letters(
        self, *, parked: bool, ids: Sequence[int] | None = None, first: int = FIRST_ID
    ) -> Generator[WholeLetter, None, None]:
        """Within `reading`, one after another: those of `ids` (ascending; all: None), by id, from
        `first` on. Close it before `reading` ends."""

    def needed(self, *, parked: bool) -> frozenset[str]:
        """Columns of letters in which the store takes no NULL."""

    def take_in(
        self,
        letters: Iterable[WholeLetter],
        *,
        again: bool = False,
        dry_run: bool = False,
    ) -> Taken:
        """Add letters with all that is kept of them, each origin once and for ever; `again`: also
        what came in before or is gone. An own letter gets its old id where that is free. `dry_run`:
        only tell. Joins a transaction that is open, or commits by itself.
        """

    def let_return(self, ids: Sequence[int], *, parked: bool = False) -> None:
        """Those of `ids` that are there may come in again once they are gone."""
