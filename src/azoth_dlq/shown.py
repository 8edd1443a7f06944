"""A letter as it is shown: ready for JSON, its payload in the form that can be read best, and
without what a `redact` function takes out."""

from __future__ import annotations

import base64
import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from azoth_dlq.clock import rfc3339
from azoth_dlq.engine.failure import one_line
from azoth_dlq.errors import not_allowed
from azoth_dlq.event_type import shown_event_type
from azoth_dlq.kernels.eligibility import Rules, parse_timestamp
from azoth_dlq.next_attempt import next_attempt
from azoth_dlq.types import FailedEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azoth_dlq.types import AttemptRecord, PermanentFailure

Redact: TypeAlias = Callable[[str], str]
"""Gets a text, and returns it without what must not be seen."""

_LARGEST_JSON: Final = 64 * 1024  # characters; beyond that nobody reads it indented
_ESCAPED_SHARE: Final = 10  # one character in so many, at most, or it is no text
_INDENT: Final = "  "
_OPENING: Final = ("{", "[")
_CLOSING: Final = ("}", "]")
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class Payload(NamedTuple):
    """What stands behind the type of an event (all of it, where it has none) for people: JSON
    indented, other text as it is, but for its control characters, else bytes in hex."""

    form: Literal["json", "text", "hex"]
    lines: list[str]


def as_it_is(text: str) -> str:
    """Redact nothing."""
    return text


def age_of(letter: FailedEvent | PermanentFailure, now: int) -> timedelta | None:
    """The time since the failure at `now` (µs), 0 where it lies ahead; None where unreadable."""
    try:
        return timedelta(microseconds=max(now - parse_timestamp(letter.failed_at), 0))
    except ValueError:
        return None


def letter_as_dict(
    letter: FailedEvent | PermanentFailure, now: int, redact: Redact = as_it_is
) -> dict[str, Any]:
    """The letter ready for JSON: every column but the payload, whose size in bytes is told."""
    age = age_of(letter, now)
    document: dict[str, Any] = {}
    for field in fields(letter):
        if field.name == "event_bytes":
            named = shown_event_type(letter.event_bytes)
            document["event_type"] = None if named is None else redact(named)
            document["event_size"] = len(letter.event_bytes)
        else:
            value = getattr(letter, field.name)
            document[field.name] = plain(value, as_it_is if _is_time(value) else redact)
    return {**document, "age": None if age is None else age.total_seconds()}


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_timestamp(value) is not None
    except ValueError:
        return False


def plain(value: Any, redact: Redact = as_it_is) -> Any:
    """A column's value for JSON; another program may have left any type there."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value


def history_as_dicts(
    history: Sequence[AttemptRecord], redact: Redact = as_it_is
) -> list[dict[str, Any]]:
    """What is kept of attempts ready for JSON: durations in seconds, instants as RFC 3339."""
    return [
        {
            "at": rfc3339(record.at),
            "outcome": record.outcome,
            "error_type": redact(record.error_type),
            "message": redact(record.message),
            "traceback": redact(record.traceback),
            "duration": None if record.duration is None else record.duration.total_seconds(),
        }
        for record in history
    ]


def whole_letter_as_dict(
    letter: FailedEvent | PermanentFailure,
    history: Sequence[AttemptRecord],
    rules: Rules,
    redact: Redact = as_it_is,
    *,
    payload: bool = True,
) -> dict[str, Any]:
    """The letter ready for JSON, with what is kept of attempts and, on demand, its payload; a dead
    letter with its state by the rules, at their instant."""
    document = letter_as_dict(letter, rules.now, redact)
    if isinstance(letter, FailedEvent):
        upcoming = next_attempt(letter, rules)
        document |= {"state": upcoming.state, "next_attempt": rfc3339(upcoming.at)}
    document["history"] = history_as_dicts(history, redact)
    return document | payload_as_dict(letter.event_bytes, redact) if payload else document


def payload_as_dict(event_bytes: bytes, redact: Redact = as_it_is) -> dict[str, str]:
    """The whole event for JSON: as text, or in base64 where it is none."""
    shown = redacted(event_bytes, redact)
    try:
        return {"payload_encoding": "utf-8", "payload": shown.decode()}
    except UnicodeDecodeError:
        text = base64.b64encode(shown).decode()
        return {"payload_encoding": "base64", "payload": text}


def redacted(event_bytes: bytes, redact: Redact) -> bytes:
    """The event without what is taken out of its text, which is Latin-1 where it is not UTF-8."""
    if redact is as_it_is:
        return event_bytes
    try:
        return redact(event_bytes.decode()).encode("utf-8", "backslashreplace")
    except UnicodeDecodeError:
        return redact(event_bytes.decode("latin-1")).encode("latin-1", "backslashreplace")


def payload_of(event_bytes: bytes, limit: int) -> Payload:
    """For people, of about the first `limit` bytes; see `Payload`."""
    shown = event_bytes[:limit]
    try:
        # A character that is cut in two is left out.
        text = getincrementaldecoder("utf-8")().decode(shown, final=len(shown) == len(event_bytes))
    except UnicodeDecodeError:
        return _in_hex(shown)
    if len(text) <= _LARGEST_JSON and len(shown) == len(event_bytes):
        head, body = _json_in(text)
        if body:
            return Payload("json", [*filter(None, [head]), *map(one_line, _indented(body))])
    lines = ["\t".join(map(one_line, line.split("\t"))) for line in text.split("\n")]
    escaped = sum(not (character.isprintable() or character in "\n\t") for character in text)
    return _in_hex(shown) if escaped * _ESCAPED_SHARE > len(text) else Payload("text", lines)


def _in_hex(shown: bytes) -> Payload:
    lines = [shown[start : start + 32].hex(" ") for start in range(0, len(shown), 32)]
    return Payload("hex", lines)


def _json_in(text: str) -> tuple[str, str]:
    """What stands before an object or array that all the rest is, and that; nothing: there is
    none."""
    for head, colon, body in (("", "", text), text.partition(":")):
        if body.lstrip()[:1] in ("{", "["):
            try:
                json.loads(body)
            except (ValueError, RecursionError):
                continue
            return f"{head}{colon}", body
    return "", ""


def _indented(source: str) -> Iterator[str]:
    """The lines of a JSON text whose every token stays as it is written."""
    tokens = _TOKEN.findall(source)
    line, depth = "", 0
    for mark, following in zip(tokens, [*tokens[1:], ""], strict=True):
        line += ": " if mark == ":" else mark
        opens = mark in _OPENING and following not in _CLOSING
        closes = following in _CLOSING and mark not in _OPENING
        depth += opens - closes
        if opens or closes or mark == ",":
            yield line
            line = _INDENT * depth
    yield line


def checked_redact(redact: object) -> Redact:
    """Errors: ConfigError."""
    if redact is None:
        return as_it_is
    if not callable(redact):
        raise not_allowed("redact", redact, "a callable that takes and returns a text")
    return redact
