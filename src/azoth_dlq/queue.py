"""The queue of dead letters, as programs use it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from azoth_dlq import clock
from azoth_dlq.arguments import INT64, checked_bytes, checked_id, checked_limit
from azoth_dlq.engine.failure import describe, readable
from azoth_dlq.errors import ConfigError, not_allowed
from azoth_dlq.on_call import OnCall
from azoth_dlq.store.base import NewLetter
from azoth_dlq.store.sqlite import SqliteStore, open_connection
from azoth_dlq.store.sqlite.faults import explained

if TYPE_CHECKING:
    from azoth_dlq.exchange.exporting import Form
    from azoth_dlq.exchange.reports import ExportReport, ImportReport
    from azoth_dlq.filters import LetterFilter
    from azoth_dlq.types import FailedEvent, PermanentFailure

_LETTER_FORM = "a tuple (event_id, event_bytes, error)"


class DeadLetterQueue(OnCall):
    """Dead letters and permanent failures in one SQLite file.

    Each method joins a transaction that is open on the connection and leaves the commit to its
    owner; otherwise it commits itself. Ids of dead letters and of permanent failures are two
    spaces. A queue belongs to one thread and one process; `with` closes it. Errors: StorageError
    (the database), ConfigError (an argument that is not allowed), InvalidStateError (closed, or in
    another thread or a forked process).
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use a connection of yours; it stays open when the queue is closed.

        One with autocommit=False always has a transaction open: the methods here join it, and a
        drain refuses it.
        """
        if not isinstance(connection, sqlite3.Connection):
            raise not_allowed(
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
        """What the engine works on.

        :meta private:
        """
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
            raise not_allowed("letters", letters, f"a collection, each {_LETTER_FORM}")
        now = clock.now()
        new = [_new_letter(letter, f"letters[{n}]", now) for n, letter in enumerate(letters)]
        return self._store.add(new)

    def get(self, letter_id: int) -> FailedEvent | None:
        """The dead letter of an id, or None."""
        return next(iter(self._store.read(ids=[checked_id(letter_id)])), None)

    def letters(self, limit: int = 100) -> list[FailedEvent]:
        """The newest dead letters."""
        return self._store.read(limit=checked_limit(limit))

    def count(self) -> int:
        """How many dead letters there are."""
        return self._store.count()

    def mark_retry(self, letter_id: int) -> bool:
        """Count a failed attempt that was made elsewhere, now; whether there is such a letter."""
        return self._store.mark_retry(checked_id(letter_id), clock.now())

    def remove(self, letter_id: int) -> bool:
        """Delete a letter that was handled elsewhere; whether there was one."""
        return self._store.delete([checked_id(letter_id)]) == 1

    # Permanent failures

    def permanent_failures(self, limit: int = 100) -> list[PermanentFailure]:
        """The newest permanent failures."""
        return self._store.read(parked=True, limit=checked_limit(limit))

    def permanent_failure_count(self) -> int:
        """How many permanent failures there are."""
        return self._store.count(parked=True)

    # From file to file

    def export_to(  # noqa: PLR0913 -- one keyword a choice
        self,
        target: str | os.PathLike[str] | BinaryIO,
        which: LetterFilter | None = None,
        *,
        form: Form = "jsonl",
        gzip: bool | None = None,
        payload: bool = False,
        force: bool = False,
        resume: bool = True,
    ) -> ExportReport:
        """Write the letters that fit now (all: None) to a file, or to a binary stream: with `form`
        "jsonl" one that `import_from` reads, with "csv" a table for people, which has payloads on
        demand. They are of both tables, but where the filter's `parked` says of which; its `ids`
        need that.

        A file gets its name when it is whole and on the disk, and replaces none (but with `force`).
        The same export goes on with what an interrupted one left (but without `resume`). `gzip`:
        None is as the name ends. Errors: ExchangeError, too.
        """
        from azoth_dlq.exchange.exporting import export  # noqa: PLC0415 -- few export
        from azoth_dlq.exchange.selection import selected  # noqa: PLC0415 -- as above

        return export(
            self._store.exchange,
            target,
            None if which is None else selected(self._store, which, clock.now()),
            form=form,
            gzip=gzip,
            payload=payload,
            force=force,
            resume=resume,
            beside=self.file,
        )

    def import_from(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        again: bool = False,
        dry_run: bool = False,
        by: str | None = None,
    ) -> ImportReport:
        """Take in the letters of an export, or of the Rust crate's dead_letter_queue.jsonl, gzip or
        not, each letter once and for ever: nothing, where any line of it cannot be read.

        `again`: also what came in before, or was this file's own and is gone. `dry_run`: tell what
        would come in. `by` is who does it (None: the login name). Errors: ExchangeError, too.
        """
        from azoth_dlq.exchange import importing  # noqa: PLC0415 -- few import

        record = importing.Record(None if dry_run else self._store, file, by)
        return importing.import_(
            self._store.exchange, file, again=again, dry_run=dry_run, record=record
        )


def _checked_path(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text or "\0" in text:
        allowed = "the path of a file, a str or a pathlib.Path, such as 'projection.db'"
        raise not_allowed("path", path, allowed)
    return text


def _new_letter(letter: tuple[int, bytes, BaseException | str], place: str, now: int) -> NewLetter:
    """Errors: ConfigError, naming `place` where there is one."""
    if not isinstance(letter, (tuple, list)):
        raise ConfigError(f"{place} is of type {type(letter).__name__}: must be {_LETTER_FORM}")
    if len(letter) != len(("event_id", "event_bytes", "error")):
        raise ConfigError(f"{place} has {len(letter)} items: must be {_LETTER_FORM}")
    event_id, event_bytes, error = letter
    prefix = f"{place}: " if place else ""
    if type(event_id) is not int or event_id not in INT64:
        allowed = "an int from -2**63 to 2**63-1"
        raise not_allowed(f"{prefix}event_id", event_id, allowed)
    payload = checked_bytes(event_bytes, prefix)
    if not isinstance(error, (BaseException, str)):
        raise not_allowed(f"{prefix}error", error, "an exception or a text")
    text = readable(error) if isinstance(error, str) else describe(error)
    return NewLetter(event_id, payload, text, now)
