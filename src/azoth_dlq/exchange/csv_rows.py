"""Letters as rows of a table, for people and spreadsheets: RFC 4180, UTF-8, to be read only."""

from __future__ import annotations

import csv
from binascii import b2a_base64
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from azoth_dlq.clock import to_datetime
from azoth_dlq.event_type import shown_event_type
from azoth_dlq.exchange.lines import TABLES
from azoth_dlq.store.sqlite.raw import text_of
from azoth_dlq.store.whole import COLUMNS

if TYPE_CHECKING:
    from azoth_dlq.exchange.exporting import Sink
    from azoth_dlq.store.whole import WholeLetter

_HEADINGS: Final = (
    "table", "id", "dead_letter_id", "event_id", "event_type", "event_size", "retry_count",
    "failed_at", "last_retry_at", "not_before", "marked_permanent_at", "error_message",
    "last_error", "reason", "attempts_kept",
)  # fmt: skip
_PAYLOAD_HEADINGS: Final = ("payload_encoding", "payload")
# A spreadsheet takes what begins so for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class CsvWriter:
    """Writes rows, the headings first; payloads on demand, as text where they are UTF-8, else in
    base64."""

    def __init__(self, sink: Sink, *, payload: bool) -> None:
        self._sink = sink
        self._with_payload = payload
        self._write((*_HEADINGS, *(_PAYLOAD_HEADINGS if payload else ())))

    def write(self, letter: WholeLetter) -> None:
        columns = dict(zip(COLUMNS[letter.parked], letter.values, strict=True))
        event = columns["event_bytes"]
        stored = bytes(event) if isinstance(event, (bytes, bytearray)) else text_of(event).encode()
        row = [
            TABLES[letter.parked],
            letter.id,
            columns.get("azoth_dead_letter_id"),
            columns["event_id"],
            shown_event_type(stored),
            len(stored),
            columns["retry_count"],
            columns["failed_at"],
            columns.get("azoth_last_retry_at" if letter.parked else "last_retry_at"),
            _not_before(columns),
            columns.get("marked_permanent_at"),
            columns["error_message"],
            columns["azoth_last_error"],
            columns.get("azoth_reason"),
            len(letter.history),
        ]
        if self._with_payload:
            row += _payload(stored)
        self._write([_cell(value) for value in row])

    def flush(self) -> None:
        self._sink.flush()

    def _write(self, row: Any) -> None:
        buffer = StringIO(newline="")
        csv.writer(buffer).writerow(row)
        self._sink.write(buffer.getvalue().encode())


def _not_before(columns: dict[str, Any]) -> str | None:
    """The instant, where it still counts."""
    value = columns.get("azoth_not_before")
    as_left = (columns.get("azoth_not_before_count"), columns.get("azoth_not_before_retry_at"))
    if type(value) is not int or as_left != (columns["retry_count"], columns.get("last_retry_at")):
        return None
    return f"{to_datetime(value):%Y-%m-%d %H:%M:%S.%f}"


def _payload(stored: bytes) -> tuple[str, str]:
    try:
        return "utf-8", stored.decode()
    except UnicodeDecodeError:
        return "base64", b2a_base64(stored, newline=False).decode()


def _cell(value: object) -> object:
    """Texts that a spreadsheet would reckon stand behind an apostrophe; NUL, which many programs
    take for the end, is shown."""
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, bytes):  # a BLOB where there should be a text
        value = text_of(value)
    text = text_of(value).replace("\0", "\N{SYMBOL FOR NULL}")
    return f"'{text}" if text.startswith(_FORMULA) else text
