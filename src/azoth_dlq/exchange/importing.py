"""Taking letters in: all lines are read and found good before the first letter comes in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO, Final

from azoth_dlq import clock
from azoth_dlq.acting import checked_name
from azoth_dlq.chunks import taking_turns
from azoth_dlq.engine.failure import readable
from azoth_dlq.errors import ExchangeError
from azoth_dlq.exchange.parsing import Form, Parser
from azoth_dlq.exchange.reports import ImportReport
from azoth_dlq.exchange.source import Source, opened
from azoth_dlq.store.sqlite.origin_set import OriginSet
from azoth_dlq.store.upkeep import NewAction
from azoth_dlq.store.whole import NO_FILE, Origins, Taken, WholeLetter
from azoth_dlq.who import login_name

if TYPE_CHECKING:
    from azoth_dlq.store.upkeep import Exchange, Upkeep

_DIGEST_BYTES: Final = 16


def import_(  # noqa: PLR0913 -- one keyword a choice
    store: Exchange,
    file: str | os.PathLike[str] | BinaryIO,
    *,
    again: bool = False,
    dry_run: bool = False,
    record: Record | None = None,
    into: Callable[[], tuple[Exchange, Record]] | None = None,
) -> ImportReport:
    """Take in the letters of an export, or of the Rust crate's log, each once and for ever.

    All of the file is read first: where a line cannot be, nothing comes in. Then letters come in by
    chunks, each a transaction, between which others write; what was interrupted is made whole by
    doing it again. `again`: also letters that came in before, or are gone from here. `dry_run`:
    tell what would come in. `record`: where that is written down. `into`: opens the store that they
    go into, like this one, and its record, once the file is found good. Errors: ExchangeError,
    StorageError.
    """
    began = monotonic()
    with opened(file) as source:
        importing = _Import(store, source, again=again, dry_run=dry_run)
        form = importing.check()
        if record is not None:
            importing.record = record
        if into is not None:
            importing.store, importing.record = into()
        with ExitStack() as stack:
            stack.callback(importing.close)
            importing.take_in()
        duration = timedelta(seconds=monotonic() - began)
        report = importing.report(form.name, duration)
        importing.record.end(report)
        return report


class Record:
    """What an import brings in, written down with it: at first the file's name, then each chunk in
    its own transaction. Of no store: nothing."""

    def __init__(
        self,
        store: Upkeep | None = None,
        file: str | os.PathLike[str] | BinaryIO = "",
        by: str | None = None,
    ) -> None:
        self._store = store
        if store is None:
            return
        who = login_name() if by is None else checked_name(by)
        name = os.fsdecode(file) if isinstance(file, (str, os.PathLike)) else "a stream"
        wanted, details = {"file": readable(name)}, {"whole": False}
        action = NewAction(clock.now(), who, "import", wanted, 0, details=details)
        self._action = store.record(action)

    @contextmanager
    def chunk(self) -> Iterator[None]:
        """A transaction."""
        if self._store is None:
            yield
            return
        with self._store.together():
            yield

    def took(self, letters: int) -> None:
        """Within it."""
        if self._store is not None and letters:
            self._store.record_done(self._action, letters)

    def end(self, report: ImportReport) -> None:
        """The file is whole."""
        if self._store is not None:
            matched = report.dead + report.parked + report.skipped
            self._store.record_done(self._action, 0, {"whole": True}, matched=matched)


class _Import:
    def __init__(self, store: Exchange, source: Source, *, again: bool, dry_run: bool) -> None:
        self.store = store
        self.record = Record()
        self._source = source
        self._again = again
        self._dry_run = dry_run
        self._needed = {parked: store.needed(parked=parked) for parked in (False, True)}
        self._digests = bytearray()  # of the chunks, as they were found good
        self._has_own = self._has_nameless = False
        self._here: OriginSet | None = None
        self._met: OriginSet | None = None  # in this file
        self._taken = Taken()
        self._is_here = self._is_twice = 0

    def check(self) -> Form:
        """Read every line."""
        parser = Parser(self._source, self._needed)
        own = Origins(self.store.identity)
        for chunk in self._source.chunks():
            for letter in parser.letters(chunk):
                self._has_own = self._has_own or own.are_of(letter.origin)
                self._has_nameless = self._has_nameless or letter.origin.startswith(NO_FILE)
            self._digests += chunk.digest
        return parser.finish()

    def take_in(self) -> None:
        if self._has_own or self._has_nameless or self._again:
            self._here = OriginSet()
            self._look_around(self._here)
        if self._again or self._dry_run:
            self._met = OriginSet()
        parser = Parser(self._source, self._needed)
        for letters in taking_turns(self._chunks(parser)):
            with self.record.chunk():
                new = self._not_here(letters)
                taken = self.store.take_in(new, again=self._again, dry_run=self._dry_run)
                self.record.took(taken.dead + taken.parked)
            self._taken = Taken(*map(sum, zip(self._taken, taken, strict=True)))

    def _chunks(self, parser: Parser) -> Iterator[list[WholeLetter]]:
        """The letters of the chunks that were found good. Errors: ExchangeError where the file is
        another one by now."""
        place = 0
        for chunk in self._source.chunks():
            if self._digests[place : place + _DIGEST_BYTES] != chunk.digest:
                self._raise_changed()
            place += _DIGEST_BYTES
            yield list(parser.letters(chunk))
        if place != len(self._digests):
            self._raise_changed()

    def _raise_changed(self) -> None:
        raise ExchangeError(
            f"{self._source.where} was changed while it was read; what came in before that is as "
            "it stood there, and the same import goes on with the rest"
        )

    def _look_around(self, here: OriginSet) -> None:
        """What is here by its origin, also by the one from before the file had an identity."""
        own = Origins(self.store.identity)
        for parked in (False, True):
            with (
                self.store.reading(),
                closing(self.store.letters(parked=parked)) as letters,
            ):
                for letter in letters:
                    here.add(letter.origin)
                    if self._has_nameless:
                        here.add(own.without_file(letter))

    def _not_here(self, letters: Iterable[WholeLetter]) -> Iterator[WholeLetter]:
        for letter in letters:
            if self._here is not None and letter.origin in self._here:
                self._is_here += 1
            elif self._met is not None and not self._met.add(letter.origin):
                self._is_twice += 1
            else:
                yield letter

    def close(self) -> None:
        for origins in (self._here, self._met):
            if origins is not None:
                origins.close()

    def report(self, form: str, duration: timedelta) -> ImportReport:
        taken = self._taken
        return ImportReport(
            format=form,
            dead=taken.dead,
            parked=taken.parked,
            here=self._is_here,
            before=taken.before + self._is_twice,
            gone=taken.gone,
            dry_run=self._dry_run,
            duration=duration,
        )
