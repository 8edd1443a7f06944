"""An error as a text that can be stored and read, whatever the error is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any

Place = tuple[str, int, str]  # of a frame: file, line, function
ERROR_LIMIT = 4096  # bytes of UTF-8, as all limits here
TRACEBACK_LIMIT = 16_384
_MESSAGE_LIMIT = 500  # within a traceback
_TYPE_LIMIT = 200
_LONGEST_CHAIN = 16  # of errors raised from others
_CUT = " … (cut)"
TRACEBACK_HEAD = "Traceback (most recent call last):"
_CAUSE = "\n\nThe above exception was the direct cause of the following exception:\n"
_CONTEXT = "\n\nDuring handling of the above exception, another exception occurred:\n"
_EARLIER_LEFT_OUT = "(the errors before these are left out)"
_CALLERS = ("azoth_dlq.engine.", "azoth_dlq.registry", "azoth_dlq.registration")
_NAMELESS = "(a type without a name)"
_FEW_FRAMES = 16  # whose text is kept
_NOTICE = 50  # characters kept free for how many frames are left out


def readable(text: str, limit: int = ERROR_LIMIT) -> str:
    """The text, bounded and without what SQLite cannot take: NUL, lone surrogates."""
    if len(text) <= limit and text.isascii() and "\0" not in text:
        return text
    # Cut before it is escaped, for it may be megabytes, and after, for that makes it longer.
    plain = text[: limit + 1].replace("\0", "\N{SYMBOL FOR NULL}")
    stored = plain.encode("utf-8", "backslashreplace")
    if len(stored) <= limit:
        return stored.decode()
    return stored[: limit - _size(_CUT)].decode("utf-8", "ignore") + _CUT


def _size(storable: str) -> int:
    return len(storable) if storable.isascii() else len(storable.encode())


# The spaces (category Zs) beside the one that str.isprintable() knows.
_SPACES = frozenset((0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000))


class _Shown(dict[int, int | str]):
    """For str.translate: what cannot be seen, as its code; all else as it is."""

    def __missing__(self, code: int) -> int | str:
        character = chr(code)
        if code in _SPACES or character.isprintable():
            return code
        if character.isascii():
            return f"\\x{code:02x}"
        return character.encode("ascii", "backslashreplace").decode()


_SHOWN = _Shown()


def one_line(text: str) -> str:
    """The text for a log or a terminal: what would be obeyed or not be seen (control characters,
    directions of writing, marks of no width, lone surrogates) is shown as its code."""
    return text if text.isprintable() else text.translate(_SHOWN)


def message_of(error: BaseException) -> str:
    """The error's own text, of any length; where that raises, what it raised."""
    try:
        return str.__str__(str(error))  # plain, where its own gives a subclass
    except Exception as broken:  # noqa: BLE001 -- whatever it raises, the letter's error is told
        return f"(its __str__ raised {type(broken).__qualname__})"


def describe(error: BaseException) -> str:
    """`Type: message`, bounded and storable; an error whose own text raises is named so."""
    return described(error, message_of(error))


def described(error: BaseException, message: str) -> str:
    """The same where its message is known."""
    kind = _kind_of(error)
    return readable(f"{kind}: {message}" if message else kind)


def _kind_of(error: BaseException) -> str:
    try:
        return str.__str__(type(error).__qualname__)
    except Exception:  # noqa: BLE001 -- a metaclass may raise anything
        return _NAMELESS


def error_type_name(error: BaseException) -> str:
    """The error's type with its module, unless that is `builtins`; bounded and storable."""
    kind = type(error)
    try:
        return _type_name(kind.__module__, kind.__qualname__)
    except Exception:  # noqa: BLE001 -- a metaclass may raise anything
        return _NAMELESS


def letter_text(row: tuple[Any, ...]) -> str:
    """A letter by its id and its event's, as a row of `Store.fetch` has them."""
    event_id = row[-2]
    # Where it is no int it may be anything, also of any length.
    return f"letter {row[0]} (event {event_id if type(event_id) is int else '?'})"


def traceback_text(error: BaseException) -> str:
    """The error with its frames, behind those that it was raised from, as Python shows them.

    At most `TRACEBACK_LIMIT` bytes, storable; of each error the innermost frames are kept.
    There are no source lines: they would be read from files.
    """
    try:
        chain, complete = _chain(error)
        parts: list[str] = []
        room = TRACEBACK_LIMIT - len(_EARLIER_LEFT_OUT) - 1
        for place, (link, leads_to) in enumerate(chain):
            part = _with_frames(link, room // (len(chain) - place) - len(leads_to)) + leads_to
            room -= _size(part) + 1
            parts.append(part)
    except Exception as broken:  # noqa: BLE001 -- properties of a handler's own errors
        return f"(its traceback cannot be told: {error_type_name(broken)})"
    return "\n".join(reversed(parts if complete else [*parts, _EARLIER_LEFT_OUT]))


def _chain(error: BaseException) -> tuple[list[tuple[BaseException, str]], bool]:
    """The error and those it was raised from, the latest first, each with the words that lead to
    the one after it; whether these are all. A circle ends where it would begin again."""
    chain, seen = [(error, "")], {id(error)}
    while True:
        origin, leads_to = error.__cause__, _CAUSE
        if origin is None and not error.__suppress_context__:
            origin, leads_to = error.__context__, _CONTEXT
        if origin is None or id(origin) in seen:
            return chain, True
        if len(chain) == _LONGEST_CHAIN:
            return chain, False
        chain.append((origin, leads_to))
        seen.add(id(origin))
        error = origin


def _with_frames(error: BaseException, room: int) -> str:
    """One error, in `room` bytes or, without any frame, a few more."""
    message = _shown(message_of(error), _MESSAGE_LIMIT)
    name = error_type_name(error)
    last = f"{name}: {message}" if message else name
    traceback = error.__traceback__
    if traceback is None:
        return last
    frames = _frames(traceback, room - _size(last) - len(TRACEBACK_HEAD) - _NOTICE)
    return f"{TRACEBACK_HEAD}\n{frames}\n{last}" if frames else last


def _frames(traceback: TracebackType, room: int) -> str:
    """The frames from the handler on, a line each, or as many of the innermost ones as fit."""
    link: TracebackType | None = traceback
    while link is not None and calls_handlers(link):
        link = link.tb_next
    places = []
    while link is not None:
        code = link.tb_frame.f_code
        places.append((code.co_filename, link.tb_lineno, code.co_qualname))
        link = link.tb_next
    if len(places) > _FEW_FRAMES:
        return _innermost(places, room)
    text = _few_frames(tuple(places))
    return text if _size(text) <= room else _innermost(places, room)


def _innermost(places: Sequence[Place], room: int) -> str:
    lines: list[str] = []
    for place in reversed(places):
        line = frame_line(place)
        room -= _size(line) + 1
        if room < 0:
            lines.append(f"  ({len(places) - len(lines)} outer frames left out)")
            break
        lines.append(line)
    return "\n".join(reversed(lines))


def calls_handlers(link: TracebackType) -> bool:
    """Whether the frame is of what stands between a drain and a handler's own code."""
    module = link.tb_frame.f_globals.get("__name__")
    return isinstance(module, str) and module.startswith(_CALLERS)


# The same places and types fail again and again.


@lru_cache(maxsize=256)
def _few_frames(places: tuple[Place, ...]) -> str:
    return "\n".join(map(frame_line, places))


@lru_cache(maxsize=1024)
def frame_line(place: Place) -> str:
    filename, line, name = place
    return one_line(f'  File "{filename}", line {line}, in {name}')


@lru_cache(maxsize=256)
def _type_name(module: str, name: str) -> str:
    return _shown(name if module == "builtins" else f"{module}.{name}", _TYPE_LIMIT)


def _shown(text: str, limit: int) -> str:
    """A part of a traceback, bounded."""
    return readable(one_line(text[: limit + 1]), limit)
