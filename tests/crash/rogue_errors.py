"""Handlers that raise or return what nobody would, or change the process that they run in.

They are added to `ROGUES`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from tests.crash.rogues import ROGUES, Act, refuse, rogue

__all__ = ["ROGUES"]


def _raising(outcome: str, name: str, make: Callable[[], BaseException]) -> None:
    def act(_conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
        raise make()

    act.__name__ = f"raises_{name}"
    rogue(outcome)(act)


def _own(name: str, base: type[BaseException] = Exception, **members: Any) -> Any:
    return type(name, (base,), members)


# What goes up

for _type in (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError):
    _raising(_type.__name__, _type.__name__, _type)
_Interrupt = _own("Interrupt", BaseException)
_raising("Interrupt", "of_its_own", _Interrupt)
_raising(
    "BaseExceptionGroup", "a_group", lambda: BaseExceptionGroup("several", [KeyboardInterrupt()])
)


def _interrupt(*_arguments: object) -> None:
    raise _Interrupt


_raising("Interrupt", "an_interrupting_text", _own("Error", __str__=_interrupt))
_raising("Interrupt", "interrupting_attributes", _own("Error", __getattribute__=_interrupt))

# What fails

for _error in (StopIteration, StopAsyncIteration, MemoryError, RecursionError):
    _raising("fails", _error.__name__, _error)


def _group(depth: int) -> Exception:
    error: Exception = ValueError("innermost")
    for _ in range(depth):
        error = ExceptionGroup("a group", [error])
    return error


def _circle(link: str) -> Exception:
    first, second = ValueError("first"), ValueError("second")
    setattr(first, link, second)
    setattr(second, link, first)
    return first


def _chain(length: int) -> Exception:
    error = ValueError("innermost")
    for _ in range(length):
        outer = ValueError("outer")
        outer.__context__ = error
        error = outer
    return error


def _endless(link: str) -> Any:
    kind = _own("Error")
    setattr(kind, link, property(lambda _self: kind()))
    return kind


def _property_that_raises() -> Any:
    return property(refuse)


for _name, _make in {
    "a_bad_text": _own("Error", __str__=refuse),
    "a_bad_repr": _own("Error", __repr__=refuse),
    "a_bad_reduce": _own("Error", __reduce__=refuse),
    "no_text": _own("Error", __str__=lambda _self: 5),
    "a_huge_text": _own("Error", __str__=lambda _self: "x\0\ud800" * 30_000_000),
    "a_huge_argument": lambda: ValueError("x" * 100_000_000),
    "a_text_of_itself": _own("Error", __str__=str),
    "bad_comparisons": _own("Error", __eq__=refuse, __hash__=refuse, __bool__=refuse),
    "a_bad_class": _own("Error", __class__=_property_that_raises()),
    "a_bad_traceback": _own("Error", __traceback__=_property_that_raises(), with_traceback=refuse),
    "a_bad_end": _own("Error", __del__=refuse),
    "bad_attributes": _own("Error", __getattribute__=refuse),
    "unstorable_text": lambda: ValueError("\ud800\0\x1b[31m\n\r\x85\u202e"),
    "causes_without_end": _endless("__cause__"),
    "contexts_without_end": _endless("__context__"),
    "a_circle_of_causes": lambda: _circle("__cause__"),
    "a_circle_of_contexts": lambda: _circle("__context__"),
    "a_long_chain": lambda: _chain(50_000),
    "a_deep_group": lambda: _group(5_000),
    "a_misuse": lambda: sqlite3.ProgrammingError("Cannot operate on a closed database."),
}.items():
    _raising("fails", _name, _make)


def _using_the_connection(outcome: str, name: str, use: Callable[[Any], object]) -> None:
    """An error whose own text uses the connection."""

    def act(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
        def text(_self: object) -> str:
            use(conn)
            return "a text"

        raise _own("Error", __str__=text)

    act.__name__ = f"{name}_in_its_text"
    rogue(outcome)(act)


_using_the_connection("fails", "commits", lambda conn: conn.commit())
_using_the_connection("fails", "rolls_back", lambda conn: conn.execute("ROLLBACK"))
_using_the_connection("fails", "writes", lambda c: c.execute("INSERT INTO effects VALUES (-1)"))
_using_the_connection("ends", "closes", sqlite3.Connection.close)


@rogue("fails")
def recurses(conn: sqlite3.Connection, letter: int, folder: Path) -> None:
    recurses(conn, letter, folder)


@rogue("fails")
def recurses_in_sql(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    def again() -> Any:
        return conn.execute("SELECT again()").fetchone()

    conn.create_function("again", 0, again)
    again()


@rogue("fails")
def asks_for_all_memory(_conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    bytearray(2**62)


# What it returns


def _returning(outcome: str, name: str, make: Callable[[], object]) -> None:
    def act(_conn: sqlite3.Connection, _letter: int, _folder: Path) -> object:
        return make()

    act.__name__ = f"returns_{name}"
    rogue(outcome)(act)


async def _coroutine() -> None:
    pass


async def _async_generator() -> AsyncIterator[None]:
    yield


def _generator() -> Iterator[None]:
    yield


_returning("harmless", "false", lambda: False)
_returning("harmless", "an_error", lambda: ValueError("not raised"))
_returning("harmless", "NotImplemented", lambda: NotImplemented)
_returning("fails", "a_coroutine", _coroutine)
_returning("fails", "an_async_generator", _async_generator)
_returning("fails", "a_generator", _generator)
_returning("fails", "bad_attributes", _own("Result", __getattribute__=refuse))
_returning("Interrupt", "interrupting_attributes", _own("Result", __getattribute__=_interrupt))


# The process


def _changing(outcome: str, name: str, change: Callable[[Path], object]) -> Act:
    def act(_conn: sqlite3.Connection, _letter: int, folder: Path) -> None:
        change(folder)

    act.__name__ = name
    return rogue(outcome)(act)


def _close_outputs(_folder: Path) -> None:
    os.close(1)
    os.close(2)


def _ignore_signals(_folder: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _trace(_frame: FrameType, _event: str, _argument: object) -> None:
    return None


def _remove_marker(folder: Path) -> None:
    for file in folder.glob("*-azoth"):
        file.unlink()


def _overwrite_marker(folder: Path) -> None:
    for file in folder.glob("*-azoth"):
        file.write_bytes(b"garbage!" * 10_000)


def _patch(_folder: Path) -> None:
    for name in ("connect", "Connection", "Cursor"):
        setattr(sqlite3, name, None)


_changing("harmless", "goes_to_another_folder", lambda _folder: os.chdir("/"))
_changing("harmless", "closes_the_outputs", _close_outputs)
_changing("ends", "closes_all_files", lambda _folder: os.closerange(3, 60))
_changing("harmless", "ignores_signals", _ignore_signals)
_changing("harmless", "lowers_the_recursion_limit", lambda _folder: sys.setrecursionlimit(60))
_changing("harmless", "disables_the_collector", lambda _folder: gc.disable())
_changing("harmless", "traces_the_program", lambda _folder: sys.settrace(_trace))
_changing("harmless", "removes_the_marker", _remove_marker)
_changing("harmless", "overwrites_the_marker", _overwrite_marker)
_changing("harmless", "patches_sqlite3", _patch)


def _faulting(name: str, code: int) -> None:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    _raising("ends", name, lambda: error)


_faulting("a_full_disk", sqlite3.SQLITE_FULL)
_faulting("a_damaged_file", sqlite3.SQLITE_CORRUPT)
