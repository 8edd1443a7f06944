"""One line of JSON a letter, and back: each value keeps its type of SQLite's."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from json import JSONDecodeError, JSONDecoder, JSONEncoder
from math import isfinite
from typing import Any, Final, NoReturn

from azoth_dlq.store.whole import COLUMNS, HISTORY_COLUMNS, ORIGIN_BYTES, WholeLetter

TABLES: Final = {False: "dead_letter_queue", True: "permanent_failures"}
_PARKED_BY_TABLE: Final = {table: parked for parked, table in TABLES.items()}
_PAYLOAD: Final = "event_bytes"  # its plain form is base64 of a BLOB, that of others is TEXT
_INT64: Final = range(-(2**63), 2**63)
_INFINITIES: Final = {"Infinity": float("inf"), "-Infinity": float("-inf")}
# Columns of the crate's tables: they stand in each line, also where they are NULL.
_REQUIRED: Final = {
    parked: frozenset(column for column in columns if not column.startswith("azoth_"))
    for parked, columns in COLUMNS.items()
}
_NONE: Final[frozenset[str]] = frozenset()
_OF_ATTEMPTS: Final = frozenset(HISTORY_COLUMNS[:5])


class UnreadableLine(Exception):
    """Why a line is none of ours; the message quotes no value."""


# Out

_encode: Final = JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def line_of(document: Mapping[str, Any]) -> bytes:
    """One line, ASCII, with its end."""
    return _encode(document).encode("ascii") + b"\n"


def letter_line(letter: WholeLetter) -> bytes:
    """What is NULL beyond the crate's columns is left out."""
    document: dict[str, Any] = {
        "table": TABLES[letter.parked],
        "id": letter.id,
        "origin": letter.origin.hex(),
        **_fields(COLUMNS[letter.parked], letter.values, _REQUIRED[letter.parked]),
    }
    if letter.history:
        document["history"] = [
            _fields(HISTORY_COLUMNS, attempt, _NONE) for attempt in letter.history
        ]
    return line_of(document)


def _fields(
    columns: Sequence[str], values: Sequence[Any], required: frozenset[str]
) -> dict[str, Any]:
    return {
        column: (
            value
            if type(value) is int
            else _base64(value)
            if column == _PAYLOAD and type(value) is bytes
            else _written(value, plain_text=column != _PAYLOAD)
        )
        for column, value in zip(columns, values, strict=True)
        if value is not None or column in required
    }


def _written(value: Any, *, plain_text: bool) -> Any:
    if isinstance(value, bytearray):
        try:
            return value.decode() if plain_text else {"text": _base64(value)}
        except UnicodeDecodeError:
            return {"text": _base64(value)}
    if isinstance(value, bytes):
        return {"blob": _base64(value)}
    if isinstance(value, float) and not isfinite(value):
        return {"real": "Infinity" if value > 0 else "-Infinity"}
    return value


def _base64(content: bytes | bytearray) -> str:
    return b2a_base64(content, newline=False).decode("ascii")


# In


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableLine(f"{name} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise UnreadableLine("a key stands twice in one object")
    return document


_decoder: Final = JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def object_of(line: bytes) -> dict[str, Any]:
    """The object that a line is. Errors: UnreadableLine."""
    try:
        document = _decoder.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UnreadableLine(f"its byte {error.start + 1} is not UTF-8") from None
    except JSONDecodeError as error:
        raise UnreadableLine(f"it is no JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise UnreadableLine("it is nested too deeply") from None
    except ValueError:
        # Python reads no int of more than 4,300 digits.
        raise UnreadableLine("it has a number of too many digits") from None
    if not isinstance(document, dict):
        raise UnreadableLine("it is no JSON object")
    return document


def letter_of(document: Mapping[str, Any], needed: Mapping[bool, frozenset[str]]) -> WholeLetter:
    """The letter of a line; `needed`: columns that take no NULL, by whether it is parked. Unknown
    keys are left alone. Errors: UnreadableLine."""
    table = document.get("table")
    parked = _PARKED_BY_TABLE.get(table) if isinstance(table, str) else None
    if parked is None:
        raise UnreadableLine(f"its table must be one of {', '.join(_PARKED_BY_TABLE)}")
    history = document.get("history", [])
    if not isinstance(history, list) or not all(isinstance(one, dict) for one in history):
        raise UnreadableLine("its history must be a list of objects")
    row_id = document.get("id")
    if type(row_id) is not int or row_id not in _INT64:
        raise UnreadableLine("its id must be a whole number of 64 bits")
    return WholeLetter(
        parked,
        row_id,
        _origin(document.get("origin")),
        _values(document, COLUMNS[parked], _REQUIRED[parked], needed[parked]),
        [_values(one, HISTORY_COLUMNS, _NONE, _OF_ATTEMPTS) for one in history],
    )


def _origin(text: object) -> bytes:
    try:
        origin = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        origin = b""
    if len(origin) != ORIGIN_BYTES:
        raise UnreadableLine(f"its origin must be {2 * ORIGIN_BYTES} hexadecimal digits")
    return origin


def _values(
    document: Mapping[str, Any],
    columns: Sequence[str],
    required: frozenset[str],
    needed: frozenset[str],
) -> tuple[Any, ...]:
    if not document.keys() >= required:
        missing = ", ".join(column for column in columns if column in required - document.keys())
        raise UnreadableLine(f"its {missing} is missing")
    stored = map(document.get, columns)
    values = [None if v is None else _read(v, c) for v, c in zip(stored, columns, strict=True)]
    if None in values:
        for column, value in zip(columns, values, strict=True):
            if value is None and column in needed:
                raise UnreadableLine(f"its {column} is NULL, which the table here does not take")
    return tuple(values)


def _read(value: Any, column: str) -> Any:
    """The value as SQLite is to store it."""
    kind = type(value)
    if kind is str:
        return bytes_of(value, column) if column == _PAYLOAD else text_of(value, column)
    if kind is int:
        if value not in _INT64:
            raise UnreadableLine(f"its {column} is beyond 64 bits")
        return value
    if kind is float:
        if not isfinite(value):
            raise UnreadableLine(f"its {column} is beyond what a number can be")
        return value
    if kind is dict and len(value) == 1:
        ((form, content),) = value.items()
        if form in _TYPED and isinstance(content, str):
            return _TYPED[form](content, column)
    raise UnreadableLine(f"its {column} is of no type that a column has")


def text_of(value: str, name: str) -> bytearray:
    """A TEXT of this value. Errors: UnreadableLine."""
    try:
        return bytearray(value, "utf-8")
    except UnicodeEncodeError:
        raise UnreadableLine(f"its {name} has a lone surrogate, which is no text") from None


def bytes_of(value: str, name: str) -> bytes:
    """What base64 stands for. Errors: UnreadableLine."""
    try:
        return a2b_base64(value, strict_mode=True)
    except ValueError:
        raise UnreadableLine(f"its {name} is no base64") from None


def _text_of_bytes(value: str, name: str) -> bytearray:
    return bytearray(bytes_of(value, name))


def _real(value: str, name: str) -> float:
    if value not in _INFINITIES:
        raise UnreadableLine(f"its {name} must be one of {', '.join(_INFINITIES)}")
    return _INFINITIES[value]


_TYPED: Final = {"blob": bytes_of, "text": _text_of_bytes, "real": _real}
