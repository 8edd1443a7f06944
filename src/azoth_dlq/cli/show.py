"""`azoth-dlq show`: everything about one letter."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import click

from azoth_dlq import clock
from azoth_dlq.cli.database import database_argument, readable_store_of
from azoth_dlq.cli.filters import parked_option
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.letters import (
    age_of,
    as_dict,
    no_such_letter,
    read_letter,
    rfc3339,
    space_key,
    space_of,
    stored_instant_text,
)
from azoth_dlq.cli.numbers import ID
from azoth_dlq.cli.output import (
    counted,
    duration_text,
    json_option,
    print_json,
    print_lines,
)
from azoth_dlq.cli.times import instant_text, utc_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azoth_dlq.types import AttemptRecord, FailedEvent, PermanentFailure

_LONGEST_PAYLOAD: Final = 64 * 1024  # bytes, for people
_LONGEST_TEXT: Final = 64 * 1024  # characters of a column, as above
_BYTES_A_LINE: Final = 32
_TIMESTAMPS: Final = {"failed_at", "last_retry_at", "not_before", "marked_permanent_at"}


@click.command(
    "show",
    cls=Command,
    short_help="Show everything about one letter; the file is only read.",
    see_also=("list", "requeue", "discard"),
    epilog="""\b
    Examples:
      azoth-dlq show projection.db 17
      azoth-dlq show projection.db 17 --payload
      azoth-dlq show projection.db 3 --parked --json

    The payload is shown only on demand: as text where it is UTF-8 that can be printed, else in
    hex. Of it and of every text the first 64 KiB are shown; with --json the whole, a payload in
    base64 where it is not UTF-8. The file is never written.
    """,
)
@database_argument
@click.argument("letter_id", metavar="ID", type=ID)
@parked_option
@click.option("--payload", is_flag=True, help="Show the event's bytes, too.")
@utc_option
@json_option
def command(*, database: str, letter_id: int, parked: bool, payload: bool, as_json: bool) -> int:
    """Show the letter ID in DB: its columns, errors, history and, on demand, payload."""
    now = clock.now()
    with readable_store_of(database) as store:
        letter = read_letter(store, letter_id, parked=parked)
        if letter is None:
            way = f"{'leave out' if parked else 'give'} --parked to see that one"
            raise no_such_letter(store, letter_id, database, way=way, parked=parked)
        history = store.history(letter_id, parked=parked)
    if as_json:
        document = {"database": database, "ids_of": space_key(parked), **as_dict(letter, now)}
        document["history"] = [_attempt(record) for record in history]
        print_json({**document, **(_encoded(letter.event_bytes) if payload else {})})
        return 0
    _print_columns(as_dict(letter, now), letter, now, parked=parked)
    _print_history(history)
    if payload:
        _print_payload(letter.event_bytes)
    return 0


def _attempt(record: AttemptRecord) -> dict[str, Any]:
    duration = record.duration
    return {
        "at": rfc3339(record.at),
        "outcome": record.outcome,
        "error_type": record.error_type,
        "message": record.message,
        "traceback": record.traceback,
        "duration": None if duration is None else duration.total_seconds(),
    }


def _encoded(event_bytes: bytes) -> dict[str, str]:
    try:
        return {"payload_encoding": "utf-8", "payload": event_bytes.decode()}
    except UnicodeDecodeError:
        text = base64.b64encode(event_bytes).decode()
        return {"payload_encoding": "base64", "payload": text}


def _print_columns(
    columns: dict[str, Any], letter: FailedEvent | PermanentFailure, now: int, *, parked: bool
) -> None:
    print_lines(f"{letter.id} of the {space_of(parked)}", "")
    age = age_of(letter, now)
    columns["event_type"] = columns["event_type"] or "?"
    columns["event_size"] = counted(columns["event_size"], "bytes")
    for name in columns.keys() & _TIMESTAMPS:
        if columns[name] is not None:
            columns[name] = stored_instant_text(columns[name])
    columns["age"] = "?" if age is None else duration_text(age)
    shown = {name.replace("_", " "): value for name, value in columns.items() if value is not None}
    width = max(map(len, shown))
    for name, value in shown.items():
        first, *others = _bounded(str(value)).splitlines() or [""]
        print_lines(f"  {name:<{width}}  {first}".rstrip())
        print_lines(*(f"  {'':<{width}}  {line}" for line in others))


def _print_history(history: Sequence[AttemptRecord]) -> None:
    if not history:
        return
    print_lines("", "Attempts that did not succeed, oldest first:")
    for record in history:
        took = "" if record.duration is None else f" after {record.duration.total_seconds():.3f} s"
        # A death has no type.
        kind = f"{record.error_type}: " if record.error_type else ""
        error = _bounded(f"{kind}{record.message}").splitlines()
        print_lines(f"  {instant_text(record.at)}  {record.outcome}{took}")
        print_lines(*(f"    {line}" for line in [*error, *_bounded(record.traceback).splitlines()]))


def _bounded(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    return f"{text[:_LONGEST_TEXT]} … (cut: {len(text):,} characters; --json has all of them)"


def _print_payload(event_bytes: bytes) -> None:
    shown = event_bytes[:_LONGEST_PAYLOAD]
    cut = f", its first {len(shown):,} bytes" if len(shown) < len(event_bytes) else ""
    size = counted(len(event_bytes), "bytes")
    text = _printable(event_bytes, len(shown))
    form = "in hex" if text is None else "as text"
    print_lines("", f"Payload, {size}, {form}{cut}:")
    if text is not None:
        click.echo(text)
        return
    for start in range(0, len(shown), _BYTES_A_LINE):
        print_lines(f"  {shown[start : start + _BYTES_A_LINE].hex(' ')}")


def _printable(event_bytes: bytes, length: int) -> str | None:
    """The text of the first `length` bytes, if all are UTF-8 that a terminal does not obey."""
    try:
        text = event_bytes.decode()
    except UnicodeDecodeError:
        return None
    if not text.replace("\n", "").replace("\t", "").isprintable():
        return None
    # A character that is cut in two is left out.
    return event_bytes[:length].decode("utf-8", "ignore")
