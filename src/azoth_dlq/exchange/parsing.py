"""Lines as letters: of an export, or of the log that the Rust crate azoth 0.2.5 keeps of events
that it could not write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from azoth_dlq.exchange.lines import (
    UnreadableLine,
    bytes_of,
    letter_of,
    object_of,
    text_of,
)
from azoth_dlq.exchange.selection import FORMAT, VERSION
from azoth_dlq.exchange.source import Chunk, Line, Source
from azoth_dlq.kernels.eligibility import parse_timestamp
from azoth_dlq.store.sqlite.queue import second_text
from azoth_dlq.store.whole import COLUMNS, CRATE_LOG, WholeLetter, origin_of

Needed = Mapping[bool, frozenset[str]]
CRATE_FORMAT: Final = "azoth event log"
_CRATE_FIELDS: Final = ("event_id", "event_data_b64", "timestamp", "error")
_COUNTS: Final = range(2**63)
_U64: Final = range(2**64)


class Form(Protocol):
    """What a file's lines are."""

    name: str

    def letter(self, document: Mapping[str, Any]) -> WholeLetter | None:
        """What a line holds; None: it is no letter. Errors: UnreadableLine."""

    def missing(self) -> str | None:
        """What the file should have had behind its last line."""


class Parser:
    """Reads one file once. `needed`: columns in which the store takes no NULL."""

    def __init__(self, source: Source, needed: Needed) -> None:
        self._source = source
        self._needed = needed
        self._last = 0
        self.form: Form | None = None

    def letters(self, chunk: Chunk) -> Iterator[WholeLetter]:
        """Errors: ExchangeError, naming the line."""
        for line in chunk.lines:
            self._last = line.number
            try:
                document = object_of(line.content)
                if self.form is None:
                    self.form = _form_of(document, self._needed)
                letter = self.form.letter(document)
            except UnreadableLine as error:
                reason = f"{error}{self._if_torn(line)}"
                raise self._source.error(line.number, reason) from None
            if letter is not None:
                yield letter

    def finish(self) -> Form:
        """Errors: ExchangeError where the file is not whole."""
        if self.form is None:
            raise self._source.error(1, "the file is empty")
        missing = self.form.missing()
        if missing is not None:
            raise self._source.error(self._last + 1, missing)
        return self.form

    def _if_torn(self, line: Line) -> str:
        if line.content.endswith(b"\n"):
            return ""
        way = f"`head -n {line.number - 1}` gives those before"
        lost = isinstance(self.form, _CrateLog)
        return (
            f"; the line has no end, so whoever wrote it is not done, or died: {way}"
            if lost
            else "; the line has no end: the file is not whole"
        )


def _form_of(document: Mapping[str, Any], needed: Needed) -> Form:
    """Told by the first line. Errors: UnreadableLine."""
    if document.get("format") == FORMAT:
        version = document.get("version")
        if type(version) is not int:
            raise UnreadableLine("it has no version, a whole number")
        if version != VERSION:
            raise UnreadableLine(
                f"it is of version {version} of the format, and this azoth-dlq reads {VERSION}"
                + ("; upgrade azoth-dlq" if version > VERSION else "")
            )
        return _Exported(needed)
    if all(field in document for field in _CRATE_FIELDS):
        return _CrateLog()
    raise UnreadableLine(
        "it is neither the first line of an export of azoth-dlq, nor an entry of "
        "dead_letter_queue.jsonl of the Rust crate azoth, which has "
        f"{', '.join(_CRATE_FIELDS)}"
    )


class _Exported:
    name = FORMAT

    def __init__(self, needed: Needed) -> None:
        self._needed = needed
        self._has_begun = False
        self._letters = 0
        self._is_over = False

    def letter(self, document: Mapping[str, Any]) -> WholeLetter | None:
        if not self._has_begun:
            self._has_begun = True
            return None
        if self._is_over:
            raise UnreadableLine("it stands behind the last line of the export")
        if document.get("end") is True:
            self._end(document)
            return None
        self._letters += 1
        return letter_of(document, self._needed)

    def _end(self, document: Mapping[str, Any]) -> None:
        counted = document.get("letters")
        if type(counted) is not int or counted not in _COUNTS:
            raise UnreadableLine("it does not tell how many letters there are")
        if counted != self._letters:
            raise UnreadableLine(
                f"it tells of {counted:,} letters, and there are {self._letters:,}"
            )
        self._is_over = True

    def missing(self) -> str | None:
        if self._is_over:
            return None
        return (
            "the file is not whole: an export ends with a line that tells how many letters it has; "
            "the same export, made again, goes on with what an interrupted one left"
        )


class _CrateLog:
    name = CRATE_FORMAT

    def letter(self, document: Mapping[str, Any]) -> WholeLetter | None:
        """An entry is one letter however often it stands there."""
        event_id, encoded, timestamp, error = (self._field(document, f) for f in _CRATE_FIELDS)
        if type(event_id) is not int or event_id not in _U64:
            raise UnreadableLine("its event_id must be a whole number, 0 or more")
        if event_id not in _COUNTS:
            raise UnreadableLine("its event_id is beyond 2**63-1, the highest that a row can have")
        for field, value in zip(_CRATE_FIELDS[1:], (encoded, timestamp, error), strict=True):
            if not isinstance(value, str):
                raise UnreadableLine(f"its {field} must be a text")
        event_bytes = bytes_of(encoded, "event_data_b64")
        message = text_of(error, "error")
        content = (event_bytes, text_of(timestamp, "timestamp"), message)
        values = (event_id, event_bytes, message, _failed_at(timestamp), 0)
        rest = (None,) * (len(COLUMNS[False]) - len(values))
        origin = origin_of(CRATE_LOG, event_id, content)
        return WholeLetter(parked=False, id=0, origin=origin, values=values + rest, history=[])

    def _field(self, document: Mapping[str, Any], field: str) -> Any:
        if field not in document:
            raise UnreadableLine(f"it has no {field}")
        return document[field]

    def missing(self) -> str | None:
        return None


def _failed_at(timestamp: str) -> bytearray:
    """In the form that the crate orders its letters by."""
    try:
        return bytearray(second_text(parse_timestamp(timestamp)), "ascii")
    except ValueError:
        raise UnreadableLine(
            "its timestamp is none: it must be as 2026-11-24T03:46:00.123456789+00:00"
        ) from None
