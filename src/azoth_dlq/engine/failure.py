"""An error as a text that can be stored and read, whatever the error is."""

from __future__ import annotations

from collections import deque
from traceback import walk_tb
from typing import Any

ERROR_LIMIT = 4096  # characters
_CUT = " … (cut)"
_SHOWN_FRAMES = 20


def readable(text: str, limit: int = ERROR_LIMIT) -> str:
    """The text, bounded and without what SQLite cannot take: NUL, lone surrogates."""
    if len(text) > limit:
        text = text[: limit - len(_CUT)] + _CUT
    text = text.replace("\0", "\N{SYMBOL FOR NULL}")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def one_line(text: str) -> str:
    """The text for a log or a terminal: control characters are shown, not obeyed."""
    return text.translate(_CONTROLS)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 -- whatever it raises, the letter's error is told
        return f"(its __str__ raised {type(broken).__qualname__})"


def describe(error: BaseException) -> str:
    """`Type: message`, bounded and storable; an error whose own text raises is named so."""
    kind = type(error).__qualname__
    message = _text_of(error)
    return readable(f"{kind}: {message}" if message else kind)


def message_of(error: BaseException) -> str:
    """The message alone, bounded and storable."""
    return readable(_text_of(error))


def letter_text(row: tuple[Any, ...]) -> str:
    """A letter by its id and its event's, as a row of `Store.fetch` has them."""
    event_id = row[-2]
    # Where it is no int it may be anything, also of any length.
    return f"letter {row[0]} (event {event_id if type(event_id) is int else '?'})"


def traceback_text(error: BaseException) -> str:
    """The innermost frames of an error, a line each, without its message. Without their source,
    too: that would be read from files."""
    frames = deque(walk_tb(error.__traceback__), maxlen=_SHOWN_FRAMES)
    places = [
        f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_qualname}'
        for frame, line in frames
    ]
    return "\n".join(["traceback (most recent call last)", *map(one_line, places)])


def error_type_name(error: BaseException) -> str:
    """The error's type, with its module unless that is `builtins`."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
