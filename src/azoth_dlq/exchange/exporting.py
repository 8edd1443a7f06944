"""Writing letters out, each once: to a stream, or to a file that gets its name when it is whole."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, Protocol

from azoth_dlq import clock
from azoth_dlq.errors import ExchangeError, not_allowed
from azoth_dlq.exchange.csv_rows import CsvWriter
from azoth_dlq.exchange.lines import letter_line, line_of
from azoth_dlq.exchange.members import MemberWriter
from azoth_dlq.exchange.partial import PartialFile
from azoth_dlq.exchange.reports import ExportReport
from azoth_dlq.exchange.selection import Selection, header_of, trailer_of
from azoth_dlq.exchange.taking_up import OfAnotherExport, take_up
from azoth_dlq.exchange.walking import each_once
from azoth_dlq.store.sqlite.faults import shown_path
from azoth_dlq.store.sqlite.origin_set import OriginSet

if TYPE_CHECKING:
    from azoth_dlq.store.upkeep import Exchange
    from azoth_dlq.store.whole import WholeLetter

Form = Literal["jsonl", "csv"]
_BESIDE_DATABASES: Final = ("", "-wal", "-shm", "-journal")
_OF_DRAINS: Final = "-azoth"  # how the names of the files go on that drains keep there


class Sink(Protocol):
    """What lines are written to."""

    def write(self, line: bytes, /) -> object: ...
    def flush(self) -> object: ...


def export(  # noqa: PLR0913 -- one keyword a choice
    store: Exchange,
    target: str | os.PathLike[str] | BinaryIO,
    selection: Selection | None = None,
    *,
    form: Form = "jsonl",
    gzip: bool | None = None,
    payload: bool = False,
    force: bool = False,
    resume: bool = True,
    beside: str | None = None,
) -> ExportReport:
    """Write the letters selected (all: None) to a file, or to a stream, which stays open.

    `gzip`: None is as the file's name ends. `payload`: also in a CSV. `force`: over a file that
    exists. `resume`: go on with what the same export left when it was interrupted. `beside`: the
    database's file, over which nothing is written. Errors: ConfigError, ExchangeError,
    StorageError.
    """
    if form not in ("jsonl", "csv"):
        raise not_allowed("form", form, "'jsonl' or 'csv'")
    selection = Selection() if selection is None else selection
    if not isinstance(target, (str, os.PathLike)):
        exporting = _Export(store, selection)
        exporting.write(MemberWriter(target) if gzip else target, form, payload=payload)
        target.flush()
        return exporting.report(None)
    path = os.fspath(target)
    gzip = path.endswith(".gz") if gzip is None else gzip
    _check_not_database(path, beside)
    with _told(path), ExitStack() as left:
        partial = PartialFile(path, force=force)
        left.callback(partial.leave)
        exporting = _Export(store, selection)
        left.callback(exporting.close)
        if form == "csv" or not resume or not exporting.take_up(partial, gzip=gzip):
            partial.cut(0)
        sink = MemberWriter(partial.file) if gzip else partial.file
        exporting.write(sink, form, payload=payload)
        partial.publish()
    return exporting.report(path)


def _check_not_database(path: str, database: str | None) -> None:
    """Errors: ExchangeError where the file is the database's, or one that belongs to it."""
    if database is None:
        return
    own = [os.path.realpath(f"{database}{suffix}") for suffix in _BESIDE_DATABASES]
    name, of_drains = os.path.realpath(path), os.path.realpath(f"{database}{_OF_DRAINS}")
    if name in own or name.startswith(of_drains):
        raise ExchangeError(f"{path} belongs to the database itself; choose another name")


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ExchangeError(
            f"{shown_path(path)} cannot be written: {reason}; the same export goes on with what "
            "is written, if there is any"
        ) from error


class _Export:
    """One file's or stream's."""

    def __init__(self, store: Exchange, selection: Selection) -> None:
        self._store = store
        self._spaces = selection.spaces()
        self._began = monotonic()
        self._header = header_of(selection, store.identity, clock.now())
        self._restarted: str | None = None
        self._written: OriginSet | None = None
        self._begin()

    def _begin(self) -> None:
        self._has_header = False
        self._resumed = 0
        self._letters = {False: 0, True: 0}
        self._ids = {parked: array("q") for parked, ids in self._spaces if ids is not None}

    def close(self) -> None:
        if self._written is not None:
            self._written.close()

    def take_up(self, partial: PartialFile, *, gzip: bool) -> bool:
        """Go on with what was left there; whether any of it is of this export."""
        written = self._written = OriginSet()

        def note(letter: WholeLetter) -> None:
            written.add(letter.origin)
            self._count(letter)

        try:
            end = take_up(partial.file, self._header, self._store, note, gzip=gzip)
        except OfAnotherExport as error:
            self._restarted, end = str(error), 0
        if end == 0:
            self.close()
            self._written = None
            self._begin()
            return False
        self._has_header = True
        self._resumed = sum(self._letters.values())
        partial.cut(end)
        return True

    def write(self, sink: Sink, form: Form, *, payload: bool) -> None:
        """The letters that are not there yet."""
        letters = each_once(self._store, self._spaces, self._written)
        with closing(letters):
            if form == "csv":
                self._write_table(CsvWriter(sink, payload=payload), letters)
            else:
                self._write_lines(sink, letters)

    def _write_table(self, table: CsvWriter, letters: Iterator[WholeLetter]) -> None:
        for letter in letters:
            table.write(letter)
            self._count(letter)
        table.flush()

    def _write_lines(self, sink: Sink, letters: Iterator[WholeLetter]) -> None:
        if not self._has_header:
            sink.write(line_of(self._header))
        for letter in letters:
            sink.write(letter_line(letter))
            self._count(letter)
        sink.flush()  # so that the last line of a gzip file is a member of its own
        sink.write(line_of(trailer_of(sum(self._letters.values()))))
        sink.flush()

    def _count(self, letter: WholeLetter) -> None:
        self._letters[letter.parked] += 1
        if letter.parked in self._ids:
            self._ids[letter.parked].append(letter.id)

    def report(self, file: str | None) -> ExportReport:
        return ExportReport(
            file=file,
            dead=self._letters[False],
            parked=self._letters[True],
            resumed=self._resumed,
            restarted=self._restarted,
            duration=timedelta(seconds=monotonic() - self._began),
            dead_ids=self._ids.get(False),
            parked_ids=self._ids.get(True),
        )
