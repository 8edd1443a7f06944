"""Errors as texts: whatever they are, bounded, storable, and without reading a file."""

from __future__ import annotations

import linecache
import sys
import traceback
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from azoth_dlq.engine.failure import (
    TRACEBACK_LIMIT,
    describe,
    error_type_name,
    one_line,
    traceback_text,
)

HEAD = "Traceback (most recent call last):"
CAUSE = "The above exception was the direct cause of the following exception:"
CONTEXT = "During handling of the above exception, another exception occurred:"


class AppError(Exception):
    """One with a module."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def caught(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 -- it is what is looked at
        return error
    raise AssertionError("nothing was raised")


def fail(error: BaseException) -> None:
    raise error


def descend(depth: int) -> None:
    if depth == 0:
        raise ValueError("deep")
    descend(depth - 1)


def chained(count: int, size: int = 0) -> BaseException:
    """An error raised from one that was raised from …"""
    error: BaseException = ValueError("no. 0" + "x" * size)
    for n in range(1, count):
        cause, error = error, ValueError(f"no. {n}" + "x" * size)
        error.__cause__ = cause
    return error


def pythons(error: BaseException) -> list[str]:
    """What Python itself shows, without source lines and marks."""
    shown = "".join(traceback.format_exception(error)).splitlines()
    return [line for line in shown if not line.startswith("    ")]


def lines(error: BaseException) -> list[str]:
    """As `pythons` has them, which names functions without what they are in."""
    told = traceback_text(error).splitlines()
    return [
        f"{line.rpartition(', in ')[0]}, in {line.rpartition('.')[2]}"
        if "<locals>" in line
        else line
        for line in told
    ]


def raise_from() -> None:
    try:
        fail(AppError("first"))
    except AppError as error:
        raise ValueError("second") from error


def raise_while_handling() -> None:
    try:
        fail(AppError("first"))
    except AppError:
        fail(ValueError("second"))


def raise_from_none() -> None:
    try:
        fail(AppError("first"))
    except AppError:
        raise ValueError("second") from None


def raise_without_text() -> None:
    raise AppError


@pytest.mark.parametrize(
    "call",
    [
        lambda: fail(ValueError("one")),
        lambda: fail(AppError("one")),
        raise_without_text,
        raise_from,
        raise_while_handling,
        raise_from_none,
        lambda: descend(3),
    ],
)
def test_a_traceback_is_pythons_without_source_lines(call: Callable[[], None]) -> None:
    error = caught(call)
    assert lines(error) == pythons(error)


def test_an_error_that_was_never_raised_has_no_frames() -> None:
    error = ValueError("two")
    error.__cause__ = KeyError("one")
    assert traceback_text(error) == f"KeyError: 'one'\n\n{CAUSE}\n\nValueError: two"


@pytest.mark.parametrize(("first", "words"), [("__cause__", CAUSE), ("__context__", CONTEXT)])
def test_a_circle_of_errors_ends(first: str, words: str) -> None:
    one, two = ValueError("one"), ValueError("two")
    setattr(one, first, two)
    setattr(two, first, one)
    assert traceback_text(one) == f"ValueError: two\n\n{words}\n\nValueError: one"


def test_no_file_is_read() -> None:
    error = caught(raise_from)
    before = dict(linecache.cache)
    told = traceback_text(error)
    assert linecache.cache == before
    assert "fail(AppError" not in told


# Bounds


def test_the_innermost_frames_are_kept_and_the_others_counted() -> None:
    error = caught(lambda: descend(300))
    told = traceback_text(error)
    head, left_out, *frames, last = told.splitlines()
    assert TRACEBACK_LIMIT - 500 < len(told) <= TRACEBACK_LIMIT
    assert (head, last) == (HEAD, "ValueError: deep")
    assert left_out == f"  ({303 - len(frames)} outer frames left out)"
    first = descend.__code__.co_firstlineno
    assert set(frames[:-1]) == {f'  File "{__file__}", line {first + 3}, in descend'}
    assert frames[-1] == f'  File "{__file__}", line {first + 2}, in descend'


def test_each_error_of_a_chain_gets_its_room() -> None:
    error = caught(lambda: descend(300))
    error.__cause__ = caught(lambda: descend(300))
    told = traceback_text(error)
    first, second = told.split(CAUSE)
    assert TRACEBACK_LIMIT - 500 < len(told) <= TRACEBACK_LIMIT
    assert abs(len(first) - len(second)) < 500
    assert told.count("frames left out") == 2


def test_a_long_chain_of_deep_errors_is_bounded() -> None:
    """Whatever is left of its room by the frames of the earliest that is shown."""
    for size in range(80):
        error: BaseException = ValueError()
        for _ in range(17):
            cause, error = error, caught(lambda: descend(100))
            error.args = ("x" * size,)
            error.__cause__ = cause
        told = traceback_text(error)
        assert told.startswith("(the errors before these are left out)\n")
        assert told.count("frames left out") == 16
        assert len(told) <= TRACEBACK_LIMIT


def test_what_a_short_error_leaves_goes_to_its_cause() -> None:
    error = ValueError("short")
    error.__cause__ = caught(lambda: descend(300))
    assert TRACEBACK_LIMIT - 500 < len(traceback_text(error)) <= TRACEBACK_LIMIT


@pytest.mark.parametrize("count", [15, 16, 17, 100_000])
def test_the_latest_errors_of_a_long_chain_are_kept(count: int) -> None:
    told = traceback_text(chained(count)).splitlines()
    errors = [line for line in told if line.startswith("ValueError")]
    kept = min(count, 16)
    assert errors == [f"ValueError: no. {n}" for n in range(count - kept, count)]
    assert (told[0] == "(the errors before these are left out)") == (count > 16)


@pytest.mark.parametrize("character", ["x", "ß", "\n", "\ud800", "\0"])
def test_a_message_is_cut(character: str) -> None:
    told = traceback_text(ValueError(character * 1_000_000))
    assert 495 < len(told.encode()) - len("ValueError: ") <= 500
    assert told.endswith(" … (cut)")


@pytest.mark.parametrize("character", ["x", "\n", "\ud800", "🦀"])
def test_the_whole_is_bounded_whatever_is_long(character: str) -> None:
    long = type("Long", (Exception,), {})
    long.__qualname__ = long.__module__ = character * 10_000
    error: BaseException = long(character * 10_000)
    for _ in range(20):
        cause, error = error, long(character * 10_000)
        error.__cause__ = cause
        error = caught(lambda: fail(error))  # noqa: B023 -- called at once
    assert len(traceback_text(error).encode()) <= TRACEBACK_LIMIT


def test_the_frames_are_bounded_in_bytes() -> None:
    names: dict[str, Any] = {}
    text = "def far(depth):\n    far(depth - 1) if depth else fail()"
    exec(compile(text, "🦀" * 60, "exec"), names)  # noqa: S102 -- for its name
    told = traceback_text(caught(lambda: names["far"](200)))
    assert TRACEBACK_LIMIT - 500 < len(told.encode()) <= TRACEBACK_LIMIT


def test_a_place_that_is_too_long_is_left_out() -> None:
    names: dict[str, Any] = {}
    exec(compile("def far(): raise ValueError('far')", "x" * 20_000, "exec"), names)  # noqa: S102 -- for its name
    assert traceback_text(caught(names["far"])).splitlines() == [
        HEAD,
        "  (2 outer frames left out)",
        "ValueError: far",
    ]


# Errors that are hard to show


def test_control_characters_are_shown_and_not_obeyed() -> None:
    names: dict[str, Any] = {}
    source = "def evil(): raise ValueError('a\\nTraceback\\x1b[2J')"
    exec(compile(source, "x\n\x1b[2J\udc80", "exec"), names)  # noqa: S102 -- for its name
    assert traceback_text(caught(names["evil"])).splitlines()[2:] == [
        r'  File "x\x0a\x1b[2J\udc80", line 1, in evil',
        r"ValueError: a\x0aTraceback\x1b[2J",
    ]


def test_what_sqlite_cannot_take_is_not_in_it() -> None:
    told = traceback_text(ValueError("a\0b\ud800"))
    assert told == r"ValueError: a\x00b\ud800"
    told.encode()


class Hidden(Exception):
    @property
    def __cause__(self) -> BaseException | None:  # type: ignore[override]  # what it may do
        raise RuntimeError("not for you")


class NamelessType(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]  # what it may do
        raise RuntimeError("no module")


class Nameless(Exception, metaclass=NamelessType):
    pass


def test_an_error_whose_text_raises_is_told() -> None:
    told = traceback_text(caught(lambda: fail(Mute())))
    assert told.endswith(f"{__name__}.Mute: (its __str__ raised RuntimeError)")


def test_an_error_that_hides_its_cause_is_told() -> None:
    assert traceback_text(Hidden("x")) == "(its traceback cannot be told: RuntimeError)"


def test_an_endless_recursion_is_told() -> None:
    def forever() -> None:
        forever()

    error = caught(forever)
    told = traceback_text(error)
    assert len(told) <= TRACEBACK_LIMIT
    assert told.splitlines()[-1].startswith("RecursionError: maximum recursion depth exceeded")
    assert f"in {forever.__qualname__}" in told.splitlines()[-2]


def test_an_error_met_at_the_recursion_limit_is_told() -> None:
    error = caught(raise_from)
    expected = traceback_text(error)
    told: list[str] = []

    def to_the_brink() -> None:
        try:
            to_the_brink()
        except RecursionError:
            told.append(traceback_text(error))
            raise

    with pytest.raises(RecursionError):
        to_the_brink()
    assert len(told) > 100
    assert told[-1] == expected


# Types


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("x"), "ValueError"),
        (AppError("x"), f"{__name__}.AppError"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), "UnicodeDecodeError"),
        (Mute(), f"{__name__}.Mute"),
        (Nameless(), "(a type without a name)"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_a_type_is_named_with_its_module(error: BaseException, name: str) -> None:
    assert error_type_name(error) == name


@pytest.mark.parametrize("module", [5, None, []])
def test_a_module_that_is_none_keeps_nobody_from_naming_the_type(module: Any) -> None:
    kind = type("Odd", (Exception,), {"__module__": module})
    assert error_type_name(kind()) in {f"{module}.Odd", "(a type without a name)"}


@pytest.mark.parametrize("character", ["x", "\ud800", "\n"])
def test_the_name_of_a_type_is_bounded_and_storable(character: str) -> None:
    kind = type("Long", (Exception,), {"__module__": character * 10_000})
    name = error_type_name(kind())
    assert 195 < len(name.encode()) <= 200
    assert name.isprintable()


def test_a_description_has_no_module() -> None:
    assert describe(AppError("x")) == "AppError: x"


def test_every_character_that_cannot_be_seen_is_shown_as_its_code() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        shown = one_line(f"a{character}b")
        if character.isprintable() or unicodedata.category(character) == "Zs":
            assert shown == f"a{character}b"
        else:
            assert shown.isascii()
            assert shown.isprintable()
            assert f"{code:x}" in shown
