"""The port between the engine and the place where dead letters are kept.

The engine and the queue know this module and nothing below it. Instants are integer microseconds
(UTC since 1970); ids of dead letters and of permanent failures are two spaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, overload

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.types import FailedEvent, PermanentFailure


class NewLetter(NamedTuple):
    """A letter to add: `failed_at` in microseconds."""

    event_id: int
    event_bytes: bytes
    error_message: str
    failed_at: int


class Retry(NamedTuple):
    """A failed attempt whose letter stays: its new count, when it was made, its error, and the
    instant that the handler asked for in place of the backoff."""

    id: int
    retry_count: int
    last_retry_at: int
    error: str
    not_before: int | None = None


class Snoozed(NamedTuple):
    """A letter put off until `not_before`, no attempt spent."""

    id: int
    not_before: int


class Parking(NamedTuple):
    """A letter to move to the permanent failures.

    `retry_count` and `last_retry_at` are None where no attempt was made: the row's own values are
    copied as they are.
    """

    id: int
    parked_at: int
    reason: str
    retry_count: int | None = None
    last_retry_at: int | None = None
    error: str | None = None


@dataclass(slots=True)
class Settlement:
    """What becomes of a group's letters, written together and committed together."""

    acked: list[int] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    snoozed: list[Snoozed] = field(default_factory=list)
    parked: list[Parking] = field(default_factory=list)

    def ids(self) -> list[int]:
        """Of every letter in it."""
        return [
            *self.acked,
            *(retry.id for retry in self.retries),
            *(snoozed.id for snoozed in self.snoozed),
            *(parking.id for parking in self.parked),
        ]


class Opened(NamedTuple):
    """What a store found when it opened a group.

    unchanged: nobody but this connection has written since `candidates` was read.
    died_in: the letter in whose handler the last holder of the file died, not charged yet. The
    group that returns it counts as the charge: settle that letter in it and commit.
    """

    unchanged: bool
    died_in: int | None


class DrainSettings(NamedTuple):
    """What a store needs to know of a drain: how long handlers' own statements wait for a lock (in
    seconds), and the text that `figures` shows as the settings of the last drain."""

    busy_timeout: float
    settings: str


class Figures(NamedTuple):
    """Counts of both tables, the commonest error texts (their first 200 characters) with how often
    each occurs, and the settings of the last drain (None before the first)."""

    dead: int
    parked: int
    by_error: list[tuple[str, int]]
    settings: str | None


class Busy(Exception):
    """Another program holds the store; nothing was done, ask again."""


class TransactionLost(Exception):
    """The group's transaction is gone, with what it held.

    by_letter_in_hand: its call did it. Otherwise the culprit is not known yet, and `keep` will tell
    when the group is done again. committed: it was committed by the handler, so the group's effects
    are there and its acks not.
    """

    def __init__(
        self, message: str, *, by_letter_in_hand: bool = True, committed: bool = False
    ) -> None:
        super().__init__(message)
        self.by_letter_in_hand = by_letter_in_hand
        self.committed = committed


class Forked(InvalidStateError):
    """This process is a child of the one that drains, and must not touch its connection."""


class CommitRefused(Exception):
    """The group cannot be written or committed because of what one of its letters did."""


class StorageFault(Exception):
    """The database itself failed (full, I/O, corrupt, read-only, out of memory)."""


class Store(Protocol):
    """A place for dead letters, and the group in which a drain works on them.

    The first six verbs each join a transaction that is open, and otherwise commit by themselves.
    The others make a drain: within `draining`, `candidates` once, then groups of `begin`, `fetch`
    and, letter by letter, `isolate` … `keep` or `undo`; at last `settle` and `end`.
    """

    @property
    def connection(self) -> Any:
        """What transactional handlers write through."""

    # The queue

    def add(self, letters: Iterable[NewLetter]) -> list[int]:
        """Add letters; their ids, in order."""

    @overload
    def read(
        self, *, parked: Literal[False] = False, ids: Sequence[int] | None = None, limit: int = -1
    ) -> list[FailedEvent]: ...
    @overload
    def read(
        self, *, parked: Literal[True], ids: Sequence[int] | None = None, limit: int = -1
    ) -> list[PermanentFailure]:
        """Those of `ids` (all: None), newest first, at most `limit` (-1: all) of them."""

    def delete(self, ids: Sequence[int] | None, *, parked: bool = False) -> int:
        """Delete those of `ids` (all: None); how many there were."""

    def requeue(self, ids: Sequence[int], now: int) -> int:
        """Move permanent failures back among the dead letters; how many there were."""

    def mark_retry(self, letter_id: int, now: int) -> bool:
        """Count an attempt that failed elsewhere; whether there is such a letter."""

    def figures(self, errors: int = 0) -> Figures:
        """Counts, the `errors` commonest error texts, and the last drain's settings."""

    # A drain

    def draining(self, settings: DrainSettings) -> AbstractContextManager[None]:
        """Prepare for a drain, and put everything back on every way out.

        Errors: ConfigError or InvalidStateError where the connection or store cannot be drained.
        """

    def candidates(
        self, *, with_error: bool
    ) -> AbstractContextManager[Iterator[tuple[object, ...]]]:
        """Every row that may be due: `(id, retry_count, failed_at, last_retry_at, not_before)`,
        and `error_message` behind them on demand. Text comes as `str` or `bytearray`; `bytes` are
        no text. May be read outside `draining`, too; `figures` read within are of the same instant.
        """

    def begin(self) -> Opened:
        """Open a group: from here on nobody else changes the letters that are fetched.

        Errors: Busy, StorageFault.
        """

    def fetch(
        self, ids: Sequence[int], *, inline: int | None, verify: bool
    ) -> list[tuple[Any, ...]]:
        """The rows of `ids` that are still there, in that order: `(id, retry_count, …, event_id,
        event_bytes)`; `event_bytes` is None where longer than `inline` bytes; with `verify` the
        columns of `candidates` stand between."""

    def isolate(self, letter_id: int) -> None:
        """What is written from here on belongs to this letter, which is now in hand.

        Errors: TransactionLost, by a letter before.
        """

    def keep(self) -> bool:
        """The call is over, its writes stay; whether it changed letters that may have been fetched
        (fetch them anew, and verify).

        Errors: TransactionLost; Forked; InvalidStateError where the handler tried to end the
        transaction (the letter is still in hand: `undo` it).
        """

    def undo(self, error: BaseException | None = None, *, unless: int | None = None) -> str | None:
        """Take back what the letter in hand wrote, if it is not `unless`; what its handler tried
        that no handler may, or None.

        Errors: TransactionLost; StorageFault, also where `error`, which the handler raised, is one
        of the store's own; Forked.
        """

    def settle(self, settlement: Settlement) -> None:
        """Write what becomes of letters. Errors: CommitRefused, StorageFault."""

    def end(self, *, commit: bool) -> None:
        """Commit the group or take it back.

        Errors: Busy (ask again), TransactionLost (by some letter), CommitRefused, StorageFault.
        """
