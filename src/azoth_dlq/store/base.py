"""The port between the engine and the place where dead letters are kept.

The engine and the queue know this module and nothing below it. Instants are integer microseconds
(UTC since 1970); ids of dead letters and of permanent failures are two spaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, overload

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.upkeep import Exchange, Upkeep

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from azoth_dlq.filters import LetterFilter
    from azoth_dlq.kernels.eligibility import Rules
    from azoth_dlq.store.settlement import Settlement
    from azoth_dlq.types import AttemptRecord, Drainer, FailedEvent, PermanentFailure

# What `fetch` tells of a letter beside its columns, as bits of one integer.
RECORDED = 1  # an attempt failed or was snoozed before: there may be a history
ALONE = 2  # a process died while a batch with this letter was in hand: never in a batch again

NOT_STARTED = -1  # in place of a call's slot: its death charges nobody


class NewLetter(NamedTuple):
    """A letter to add: `failed_at` in microseconds."""

    event_id: int
    event_bytes: bytes
    error_message: str
    failed_at: int


class Opened(NamedTuple):
    """What a store found when it opened a group.

    unchanged: nobody but this connection has written since `candidates` was read. stopped: a stop
    by failures is recorded. others: other drains go on.
    died_in: the letters that the last holder of the file had in hand when it died, not settled yet:
    one, or (`in_batch`) those of a batch. The group that returns them counts as their charge:
    settle them in it and commit.
    """

    unchanged: bool
    died_in: tuple[int, ...] = ()
    in_batch: bool = False
    stopped: bool = False
    others: bool = False


class Abandoned(NamedTuple):
    """Claims of drains whose process died: letters that were in hand singly, and in batches."""

    single: list[int]
    in_batch: list[int]


class DrainSettings(NamedTuple):
    """What a store needs to know of a drain: how long handlers' own statements wait for a lock (in
    seconds), the text that `figures` shows as the settings of the last drain, when it began
    (microseconds), how many attempts a letter's history keeps, and how many bytes of the store may
    be cached (at least) and mapped into memory meanwhile (None: as they are)."""

    busy_timeout: float
    settings: str
    started_at: int = 0
    history_limit: int = 20
    cache_size: int | None = None
    mmap_size: int | None = None


class Figures(NamedTuple):
    """Counts of both tables, the commonest texts (their first 200 characters) of letters' latest
    errors with how often each occurs, the settings of the last drain (None before the first), who
    drains now, since when (microseconds) a stop by failures is recorded (None: none is), and the
    commonest reasons that permanent failures were parked for, as the errors."""

    dead: int
    parked: int
    by_error: list[tuple[str, int]]
    settings: str | None
    draining: list[Drainer] = []  # noqa: RUF012 -- never changed
    stopped_at: int | None = None
    by_reason: list[tuple[str, int]] = []  # noqa: RUF012 -- never changed


class Suspects:
    """Asks `candidates` for those letters alone that may be due at `now`, as told by the least
    time that a letter of a retry count waits (all in microseconds).

    `least_wait(retry_count)` is None where the letter must be looked at in any case. `next_due` is
    set by the store: a lower bound of when the first of the letters that it left out is due; and
    `others_wrote`: whether another program may have written since the look before.
    """

    __slots__ = ("least_wait", "next_due", "now", "others_wrote")

    def __init__(self, now: int, least_wait: Callable[[int], int | None]) -> None:
        self.now = now
        self.least_wait = least_wait
        self.next_due: int | None = None
        self.others_wrote = True


class Busy(Exception):
    """Another program holds the store; nothing was done, ask again."""

    transient = True  # waiting may mend it


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

    transient = False


class StorageFault(Exception):
    """The database itself failed (full, I/O, corrupt, …); `transient`: waiting may mend it."""

    def __init__(self, message: str = "", *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient


class Letters(Protocol):
    """The queue: each verb joins a transaction that is open, and otherwise commits by itself."""

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

    def find(self, wanted: LetterFilter, now: int, rules: Rules | None = None) -> array[int]:
        """The ids (int64, ascending) of the letters that fit, of those that `wanted.parked` names
        (None: dead letters); ages are reckoned from `now`, and what is due is told by `rules`."""

    def errors(
        self, ids: Sequence[int] | None = None, *, parked: bool = False
    ) -> AbstractContextManager[Iterator[tuple[Any, ...]]]:
        """The rows of `ids` (each once; all: None), in any order, as they are stored: `(id, latest
        error, failed_at, retry_count, the first EVENT_START of the event)`; text comes as `str` or
        `bytearray`. What is read within is of one instant."""

    def history(self, row_id: int, *, parked: bool = False) -> list[AttemptRecord]:
        """The attempts kept of a letter, oldest first."""

    def delete(self, ids: Sequence[int] | None, *, parked: bool = False) -> int:
        """Delete those of `ids` (all: None) with their histories; how many there were."""

    def in_hands(self) -> set[int]:
        """The ids of the letters that drains which run have claimed: their handlers are called, or
        will be. It stays so within a transaction that writes."""

    def requeue(self, ids: Sequence[int], now: int) -> int:
        """Move permanent failures back among the dead letters; how many there were. One stays whose
        old id is another letter's now, and a call of it goes on that was given up."""

    def mark_retry(self, letter_id: int, now: int) -> bool:
        """Count an attempt that failed elsewhere; whether there is such a letter."""

    def count(self, *, parked: bool = False) -> int:
        """How many there are."""

    def figures(self, errors: int = 0) -> Figures:
        """Counts, the `errors` commonest error texts, the last drain's settings, who drains."""

    def parked_failures(self) -> Iterator[tuple[object, bytes]]:
        """Of each permanent failure `failed_at` and its event's type, as of `candidates`."""


class Groups(Protocol):
    """A drain: within `draining`, `candidates` once, then groups of `begin`, `fetch` and, letter by
    letter, `isolate` … `keep` or `undo`; at last `settle` and `end`."""

    @property
    def connection(self) -> Any:
        """What transactional handlers write through."""

    def draining(self, settings: DrainSettings) -> AbstractContextManager[None]:
        """Prepare for a drain, and put everything back on every way out.

        Errors: ConfigError or InvalidStateError where the connection or store cannot be drained.
        """

    def candidates(
        self,
        *,
        with_error: bool,
        with_type: bool = False,
        ids: Sequence[int] | None = None,
        suspects: Suspects | None = None,
    ) -> AbstractContextManager[Iterator[tuple[object, ...]]]:
        """Every row that may be due: `(id, retry_count, failed_at, last_retry_at, not_before)`, and
        on demand behind them `error_message`, and (of all letters alone) what stands before the
        event's first colon, as bytes, b"" where more than 64 do. Text comes as `str` or
        `bytearray`; `bytes` are no text. May be read outside `draining`, too; `figures` read within
        are of the same instant. `ids`: of these alone. `suspects`: without those that `catch_up`
        has noted as not due, as long as their rows are as they were.
        """

    def catch_up(self) -> bool:
        """Note, in a transaction of its own, letters that the last `candidates` has seen and that
        are still there, so that they need not be read again before they are due; whether that is
        done (else call it again). Errors: Busy, StorageFault."""

    def is_as_seen(self) -> bool:
        """Whether certainly nobody has written since the last `candidates`, but `catch_up`."""

    def checkpoint(self) -> None:
        """Between groups: bring what was committed to where it belongs. Errors: StorageError."""

    def begin(self) -> Opened:
        """Open a group: from here on nobody else changes the letters that are fetched.

        Errors: Busy, StorageFault.
        """

    def fetch(
        self, ids: Sequence[int], *, inline: int | None, verify: bool
    ) -> list[tuple[Any, ...]]:
        """The rows of `ids` that are still there, in that order: `(id, retry_count, …, notes,
        event_id, event_bytes)`; `notes` are bits (RECORDED, ALONE) or None, `event_bytes` is None
        where longer than `inline` bytes; with `verify` the columns of `candidates` stand between.
        """

    def isolate(self, letter_id: int) -> None:
        """What is written from here on belongs to this letter, which is now in hand. Errors:
        TransactionLost, by a letter before."""

    def join(self, letter_id: int) -> bool:
        """This letter is in hand, too, in one batch with those since `isolate`; False where there
        is no room for more."""

    def keep(self) -> bool:
        """The call is over, its writes stay; whether it changed letters that may have been fetched
        (fetch them anew, and verify).

        Errors: TransactionLost; Forked; InvalidStateError where the handler tried to end the
        transaction (the letter is still in hand: `undo` it).
        """

    def undo(self, error: BaseException | None = None, *, unless: int | None = None) -> str | None:
        """Take back what the letters in hand wrote, if the last of them is not `unless`; what
        their handler tried that no handler may, or None.

        Errors: TransactionLost; StorageFault, also where `error`, which the handler raised, is one
        of the store's own; Forked.
        """

    def settle(self, settlement: Settlement) -> None:
        """Write what becomes of letters. Errors: CommitRefused, StorageFault."""

    def end(self, *, commit: bool) -> None:
        """Commit the group or take it back.

        Errors: Busy (ask again), TransactionLost (by some letter), CommitRefused, StorageFault.
        """

    def was_committed(self) -> bool:
        """Whether the group that was begun last is committed, where an interrupt or the disk kept
        `end` from telling; False where that cannot be found out."""


class Reader(Protocol):
    """What one thread's handlers read through; for that thread alone."""

    def connection(self) -> Any:
        """One that only reads. Errors: InvalidStateError where the store cannot be opened twice."""

    def tidy(self, error: BaseException | None = None) -> str | None:
        """After a call: end what it left open; what that was, where that is its letter's fault.
        Errors: StorageFault where `error`, which the call raised, is one of the store's own."""

    def close(self) -> None:
        """Nothing is read any more."""


class Claims(Protocol):
    """Letters whose handlers run outside any transaction: claimed in one group, settled in a later
    one. A claim ends with `settle`, or with the process of its drain."""

    def claim(self, ids: Sequence[int], *, batch: bool, slots: Sequence[int] | None = None) -> None:
        """These letters are in hand, from the commit of the open group on: in one call, or
        singly. Where `slots` are given, one each, a death charges a letter only if its is marked.
        """

    def start_marks(self, slots: int) -> Any:
        """Within a group: so many bytes, one a slot, not 0 where the call of that slot has started.
        They are this drain's, and outlive its process. Errors: StorageError."""

    def outlive(self) -> Callable[[], None]:
        """Have the claims that are not settled stand when the drain is over, until what this
        returns is called, by any thread, or the process ends."""

    def claimed(self) -> set[int]:
        """Within a group: letters in the hands of other drains."""

    def abandoned(self) -> Abandoned:
        """Within a group: claims of drains whose process died, to be settled in it. Those of
        drains that ended otherwise without settling them just end."""

    def reader(self) -> Any:
        """A connection that only reads, for handlers outside a transaction. Errors:
        InvalidStateError where the store cannot be opened twice."""

    def open_reader(self) -> Reader:
        """The same for handlers in another thread, which it is then used in alone."""

    def tidy(self, error: BaseException | None = None) -> str | None:
        """After a call outside a transaction: take back what it left open on `connection`; what
        that was. Errors: StorageFault where `error`, which the call raised, is one of the store's
        own; StorageError where the call closed the connection."""


class Store(Letters, Upkeep, Groups, Claims, Protocol):
    """A place for dead letters, and the group in which a drain works on them."""

    @property
    def exchange(self) -> Exchange:
        """Letters as a whole, out of it and into it."""
