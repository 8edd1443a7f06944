"""The queue of dead letters, as programs use it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from azoth_dlq import clock
from azoth_dlq.engine.failure import describe, readable
from azoth_dlq.errors import ConfigError
from azoth_dlq.store.base import NewLetter
from azoth_dlq.store.sqlite import SqliteStore, open_connection
from azoth_dlq.store.sqlite.faults import explained

if TYPE_CHECKING:
    from array import array

    from azoth_dlq.acting import Act, Purged
    from azoth_dlq.config import DlqReplayConfig
    from azoth_dlq.durations import Duration
    from azoth_dlq.filters import LetterFilter
    from azoth_dlq.groups import LetterGroup
    from azoth_dlq.types import AttemptRecord, AuditRecord, FailedEvent, PermanentFailure

_INT64 = range(-(2**63), 2**63)
_LIMITS = range(2**63)
_LETTER_FORM = "a tuple (event_id, event_bytes, error)"


class DeadLetterQueue:
    """Dead letters and permanent failures in one SQLite file.

    Each method joins a transaction that is open on the connection and leaves the commit to its
    owner; otherwise it commits itself. Ids of dead letters and of permanent failures are two
    spaces. A queue belongs to one thread and one process. Errors: StorageError (the database),
    ConfigError (an argument that is not allowed), InvalidStateError (closed, or in another thread
    or a forked process).
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use a connection of yours; it stays open when the queue is closed.

        One with autocommit=False always has a transaction open: the methods here join it, and a
        drain refuses it.
        """
        if not isinstance(connection, sqlite3.Connection):
            raise ConfigError.for_field(
                "connection",
                connection,
                "a sqlite3.Connection; DeadLetterQueue.open(path) opens a file",
            )
        with explained("the connection"):
            self._store = SqliteStore(connection)
        self._owned = False

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a file, or make it (in WAL mode) where there is none. In one that exists nothing
        is changed before the first write."""
        connection = open_connection(_checked_path(path))
        try:
            queue = cls(connection)
        except BaseException:
            connection.close()
            raise
        queue._owned = True
        return queue

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection that drains, and that transactional handlers get."""
        return self._store.connection

    @property
    def file(self) -> str | None:
        """The path of the database file; None for one without a file."""
        return self._store.file

    @property
    def store(self) -> SqliteStore:
        """What the engine works on."""
        return self._store

    def close(self) -> None:
        """Close the connection, if the queue opened it."""
        if self._owned:
            with explained(self._store.where):
                self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Dead letters

    def add(self, event_id: int, event_bytes: bytes, error: BaseException | str) -> int:
        """Add a letter that failed now with `error`; its id."""
        return self._store.add([_new_letter((event_id, event_bytes, error), "", clock.now())])[0]

    def add_many(self, letters: Iterable[tuple[int, bytes, BaseException | str]]) -> list[int]:
        """Add `(event_id, event_bytes, error)` letters, all or none; their ids, in order."""
        if not isinstance(letters, Iterable):
            raise ConfigError.for_field("letters", letters, f"a collection, each {_LETTER_FORM}")
        now = clock.now()
        new = [_new_letter(letter, f"letters[{n}]", now) for n, letter in enumerate(letters)]
        return self._store.add(new)

    def get(self, letter_id: int) -> FailedEvent | None:
        """The dead letter of an id, or None."""
        return next(iter(self._store.read(ids=[checked_id(letter_id)])), None)

    def letters(self, limit: int = 100) -> list[FailedEvent]:
        """The newest dead letters."""
        return self._store.read(limit=_checked_limit(limit))

    def count(self) -> int:
        """How many dead letters there are."""
        return self._store.count()

    def mark_retry(self, letter_id: int) -> bool:
        """Count a failed attempt that was made elsewhere, now; whether there is such a letter."""
        return self._store.mark_retry(checked_id(letter_id), clock.now())

    def remove(self, letter_id: int) -> bool:
        """Delete a letter that was handled elsewhere; whether there was one."""
        return self._store.delete([checked_id(letter_id)]) == 1

    def clear(self) -> int:
        """Delete every dead letter; how many there were."""

        def change(_act: Act) -> int:
            return self._store.delete(None)

        return self._act("discard", self._all(), change, parked=False)

    # Dead letters and, by their own ids, permanent failures

    def find(self, wanted: LetterFilter, *, config: DlqReplayConfig | None = None) -> array[int]:
        """The ids (int64, ascending) of the letters that fit now: of the dead letters, or with
        `LetterFilter(parked=True)` of the permanent failures. What is due is told by `config`
        (None: by the settings of the last drain)."""
        from azoth_dlq import acting  # noqa: PLC0415 -- who only adds letters needs nothing of it
        from azoth_dlq.filters import LetterFilter  # noqa: PLC0415 -- as above

        if not isinstance(wanted, LetterFilter):
            raise ConfigError.for_field("wanted", wanted, "a LetterFilter")
        return acting.find(self._store, wanted, clock.now(), config)

    def groups(
        self, limit: int = 20, *, which: LetterFilter | None = None, parked: bool = False
    ) -> list[LetterGroup]:
        """Dead letters, or (`parked`) permanent failures, grouped by what went wrong, all of them
        or `which`; at most `limit` groups, most letters first, ties by fingerprint. Where there are
        more than 10,000 groups, the letters of the smallest are in none: what shares lack is
        theirs."""
        from azoth_dlq import acting  # noqa: PLC0415 -- few programs group letters
        from azoth_dlq.groups import group_letters  # noqa: PLC0415 -- as above

        most, is_parked, ids = _checked_limit(limit), _checked_parked(parked), None
        if which is not None:
            ids = self.find(acting.wanted_of(which, parked=is_parked))
        return group_letters(self._store, ids, limit=most, parked=is_parked).groups

    def history(self, letter_id: int, *, parked: bool = False) -> list[AttemptRecord]:
        """What is kept of the attempts of a dead letter, or (`parked`) of a permanent failure by
        its own id, and of changes of its payload, oldest first."""
        return self._store.history(checked_id(letter_id), parked=_checked_parked(parked))

    def show(
        self,
        letter_id: int,
        *,
        parked: bool = False,
        redact: Callable[[str], str] | None = None,
    ) -> dict[str, Any] | None:
        """A letter ready for JSON, with its history and payload, as `azoth-dlq show --json` prints
        it; None where there is none. `redact` gets the payload, each error and each traceback as a
        text, and returns it without what must not be seen."""
        from azoth_dlq import shown  # noqa: PLC0415 -- who only adds letters needs nothing of it

        redacting = shown.checked_redact(redact)
        letter = self._letter(checked_id(letter_id), parked=_checked_parked(parked))
        if letter is None:
            return None
        history = self._store.history(letter_id, parked=parked)
        return shown.whole_letter_as_dict(letter, history, clock.now(), redacting)

    def original(self, letter_id: int, *, parked: bool = False) -> bytes | None:
        """The bytes of a letter before it was edited first; None where it never was."""
        return self._store.original(checked_id(letter_id), parked=_checked_parked(parked))

    def edit(
        self, letter_id: int, event_bytes: bytes, *, parked: bool = False, by: str | None = None
    ) -> bool:
        """Give a letter other bytes; whether there is such a letter. Those of before the first edit
        stay for as long as the letter: `put_back` gives them back. `by` is who does it (None: the
        login name). Errors: InvalidStateError where a handler has the letter in hand."""
        payload = _checked_bytes(event_bytes)

        def change(act: Act) -> int:
            return self._store.edit(letter_id, payload, act.at, act.who, parked=parked)

        return self._act("edit", [checked_id(letter_id)], change, parked=parked, by=by) == 1

    def put_back(self, letter_id: int, *, parked: bool = False, by: str | None = None) -> bool:
        """Give a letter that was edited its first bytes again; whether there is such a letter.
        Errors and `by` as of `edit`."""

        def change(act: Act) -> int:
            return self._store.put_back(letter_id, act.at, act.who, parked=parked)

        return self._act("put back", [checked_id(letter_id)], change, parked=parked, by=by) == 1

    def discard(
        self, which: Iterable[int] | LetterFilter, *, parked: bool = False, by: str | None = None
    ) -> int:
        """Delete dead letters, or (`parked`) permanent failures, on purpose: those of these ids, or
        those that fit; how many. `by` as of `edit`."""

        def change(act: Act) -> int:
            return self._store.delete(act.ids(), parked=parked)

        return self._act("discard", which, change, parked=parked, by=by)

    def audit(self, limit: int = 100) -> list[AuditRecord]:
        """What was done on purpose, by whom and to which letters, the newest first."""
        return self._store.actions(_checked_limit(limit))

    # Permanent failures

    def permanent_failures(self, limit: int = 100) -> list[PermanentFailure]:
        """The newest permanent failures."""
        return self._store.read(parked=True, limit=_checked_limit(limit))

    def permanent_failure_count(self) -> int:
        """How many permanent failures there are."""
        return self._store.count(parked=True)

    def clear_permanent_failures(self) -> int:
        """Delete every permanent failure; how many there were."""

        def change(_act: Act) -> int:
            return self._store.delete(None, parked=True)

        return self._act("discard", self._all(), change, parked=True)

    def requeue(self, which: Iterable[int] | LetterFilter, *, by: str | None = None) -> int:
        """Move permanent failures (those of these ids, of their own, or those that fit) back among
        the dead letters, to be attempted afresh, each with its old id where that is free; how many
        there were. `by` as of `edit`."""

        def change(act: Act) -> int:
            return self._store.requeue(act.ids(), act.at)

        return self._act("requeue", which, change, parked=True, by=by)

    def purge(self, older_than: Duration, *, by: str | None = None) -> Purged:
        """Delete permanent failures that were parked so long ago, and what is kept of attempts of
        so long ago, a bounded number in each transaction; how many of each. `by` as of `edit`."""
        from azoth_dlq.acting import Purge  # noqa: PLC0415 -- who only adds letters needs none

        purge = Purge(self._store, older_than, by)
        while purge.step():
            pass
        return purge.purged

    def _all(self) -> LetterFilter:
        from azoth_dlq.filters import LetterFilter  # noqa: PLC0415 -- as above

        return LetterFilter()

    def _letter(self, letter_id: int, *, parked: bool) -> FailedEvent | PermanentFailure | None:
        found: Sequence[FailedEvent | PermanentFailure] = (
            self._store.read(parked=True, ids=[letter_id])
            if parked
            else self._store.read(ids=[letter_id])
        )
        return found[0] if found else None

    def _act(
        self,
        action: str,
        which: Iterable[int] | LetterFilter,
        change: Callable[[Act], int],
        *,
        parked: bool,
        by: str | None = None,
    ) -> int:
        """Change letters in one transaction, and record it; how many."""
        from azoth_dlq.acting import Act, wanted_of  # noqa: PLC0415 -- as above

        act = Act(self._store, action, wanted_of(which, parked=_checked_parked(parked)), by)
        with self._store.together():
            done = change(act)
            if done:
                act.write(done)
        return done


def _checked_path(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text or "\0" in text:
        allowed = "the path of a file, a str or a pathlib.Path, such as 'projection.db'"
        raise ConfigError.for_field("path", path, allowed)
    return text


def _new_letter(letter: tuple[int, bytes, BaseException | str], place: str, now: int) -> NewLetter:
    """Errors: ConfigError, naming `place` where there is one."""
    if not isinstance(letter, (tuple, list)):
        raise ConfigError(f"{place} is of type {type(letter).__name__}: must be {_LETTER_FORM}")
    if len(letter) != len(("event_id", "event_bytes", "error")):
        raise ConfigError(f"{place} has {len(letter)} items: must be {_LETTER_FORM}")
    event_id, event_bytes, error = letter
    prefix = f"{place}: " if place else ""
    if type(event_id) is not int or event_id not in _INT64:
        allowed = "an int from -2**63 to 2**63-1"
        raise ConfigError.for_field(f"{prefix}event_id", event_id, allowed)
    payload = _checked_bytes(event_bytes, prefix)
    if not isinstance(error, (BaseException, str)):
        raise ConfigError.for_field(f"{prefix}error", error, "an exception or a text")
    text = readable(error) if isinstance(error, str) else describe(error)
    return NewLetter(event_id, payload, text, now)


def _checked_bytes(event_bytes: object, prefix: str = "") -> bytes:
    if not isinstance(event_bytes, (bytes, bytearray, memoryview)):
        kind = type(event_bytes).__name__  # what it holds may be a payload
        raise ConfigError(f"{prefix}event_bytes is of type {kind}: must be bytes, as b'deposit:1'")
    return bytes(event_bytes)


def checked_id(letter_id: int) -> int:
    """Errors: ConfigError."""
    if type(letter_id) is not int or letter_id not in _INT64:
        raise ConfigError.for_field("id", letter_id, "an int from -2**63 to 2**63-1")
    return letter_id


def _checked_parked(parked: bool) -> bool:  # noqa: FBT001 -- the argument that is checked
    if type(parked) is not bool:
        allowed = "True (ids of permanent failures) or False (of dead letters)"
        raise ConfigError.for_field("parked", parked, allowed)
    return parked


def _checked_limit(limit: int) -> int:
    if type(limit) is not int or limit not in _LIMITS:
        raise ConfigError.for_field("limit", limit, "an int from 0 to 2**63-1")
    return limit
