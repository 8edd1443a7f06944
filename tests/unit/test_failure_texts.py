"""The texts of an error made at once, beside those made singly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from azoth_dlq.engine._failure import texts_of
from azoth_dlq.engine.failure import (
    describe,
    error_type_name,
    message_of,
    readable,
    traceback_text,
)
from tests.unit.test_failure import (
    AppError,
    Mute,
    caught,
    fail,
    raise_from,
    raise_from_none,
    raise_while_handling,
    raise_without_text,
)

FOREIGN = type("Äußerst", (Exception,), {})


class Told(Exception):
    def __str__(self) -> str:
        return TextOfItsOwn("told")


class TextOfItsOwn(str):
    __slots__ = ()


class Framed(Exception):
    @property
    def __cause__(self) -> Any:  # type: ignore[override]  # what it may do
        raise RuntimeError("no cause")


def raising(error: BaseException) -> Callable[[], None]:
    return lambda: fail(error)


def everywhere(file: str, depth: int) -> Callable[[], None]:
    """A function of another file that fails so many calls deep."""
    source = f"def go(n):\n  if n: return go(n - 1)\n  raise ValueError({depth})"
    names: dict[str, Any] = {}
    exec(compile(source, file, "exec"), names)  # noqa: S102 -- for its name
    return lambda: names["go"](depth)


@pytest.mark.thread_unsafe(reason="an error that is raised in two threads has both's frames")
@pytest.mark.parametrize(
    "call",
    [
        *(raising(ValueError(text)) for text in ("", "x", "a: b", "two\nlines", "ß", "\0", "\x7f")),
        *(raising(AppError("x" * size)) for size in (499, 500, 501, 4080, 5000)),
        *(raising(kind("why")) for kind in (KeyError, Mute, Told, FOREIGN, Framed)),
        *(everywhere("plain.py", depth) for depth in (0, 1, 13, 14, 15, 16, 100)),
        everywhere("x" * 300, 100),
        *(everywhere("x" * size, 10) for size in (460, 2000)),
        *(everywhere(name, 1) for name in ("ä.py", "x\ny.py", "x" * 470, "x" * 600)),
        raise_from,
        raise_while_handling,
        raise_from_none,
        raise_without_text,
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_all_texts_at_once_are_those_made_singly(call: Callable[[], None], times: int) -> None:
    for _ in range(times):
        error = caught(call)
        told = describe(error), error_type_name(error), readable(message_of(error))
        assert texts_of(error, with_traceback=True) == (*told, traceback_text(error))
        assert texts_of(error, with_traceback=False) == (*told, "")


def test_what_another_type_or_code_left_in_memory_is_not_told() -> None:
    for n in range(3000):
        kind = type(f"Kind{n}", (Exception,), {"__module__": f"module{n}"})
        names: dict[str, Any] = {"kind": kind}
        exec(compile("def go(): raise kind", f"file{n}.py", "exec"), names)  # noqa: S102 -- many functions of one name
        text, name, _, told = texts_of(caught(names["go"]), with_traceback=True)
        assert (text, name) == (f"Kind{n}", f"module{n}.Kind{n}")
        assert f'File "file{n}.py", line 1, in go' in told
