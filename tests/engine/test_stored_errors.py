"""Errors whose text cannot be stored as it is."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from azoth_dlq import ReplayReport
from tests.conftest import Scene
from tests.engine.raising import letter_of, register_raising


class _UnprintableError(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


class _TextlessError(Exception):
    __str__: Any = lambda _self: None  # a def would have to return a str


class _Namelessness(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__qualname__":
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class _NamelessError(Exception, metaclass=_Namelessness):
    pass


class _RogueText(str):
    __slots__ = ()

    def __format__(self, _form: str) -> str:
        raise RuntimeError("no form")


class _RogueTextError(Exception):
    def __str__(self) -> str:
        return _RogueText("a text")


class _OriginlessError(Exception):
    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]  # an attribute elsewhere
        raise RuntimeError("no cause")


@pytest.mark.parametrize(
    ("error", "stored"),
    [
        (ValueError("a\0b"), "ValueError: a\N{SYMBOL FOR NULL}b"),
        (ValueError("a\ud800b"), r"ValueError: a\ud800b"),
        (_UnprintableError(), "_UnprintableError: (its __str__ raised LookupError)"),
        (_TextlessError(), "_TextlessError: (its __str__ raised TypeError)"),
        (_NamelessError("x"), "(a type without a name): x"),
        (_RogueTextError(), "_RogueTextError: a text"),
        (_OriginlessError("x"), "_OriginlessError: x"),
        (ValueError(), "ValueError"),
        (ValueError("two\nlines"), "ValueError: two\nlines"),
    ],
    ids=[
        "NUL",
        "lone surrogate",
        "__str__ raises",
        "__str__ gives no text",
        "no name",
        "rogue text",
        "no cause",
        "empty",
        "lines",
    ],
)
def test_an_error_is_stored_in_a_readable_form(scene: Scene, error: Exception, stored: str) -> None:
    register_raising(scene, lambda: error)
    letter = scene.letter("raises")
    scene.drain()
    assert letter_of(scene, letter).last_error == stored
    [kind] = scene.conn.execute("SELECT typeof(azoth_last_error) FROM dead_letter_queue")
    assert kind == ("text",)


def test_an_error_whose_text_interrupts_is_not_counted(scene: Scene) -> None:
    class Interrupting(Exception):
        def __str__(self) -> str:
            raise SystemExit

    def raises(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        raise Interrupting

    scene.registry.register("raises", raises)
    good, letter = scene.letter(), scene.letter("raises")
    replayer, reports = scene.replay(), list[ReplayReport]()
    with pytest.raises(SystemExit):
        replayer.drain(on_progress=reports.append)
    assert scene.effects() == [good]
    assert letter_of(scene, letter).retry_count == 0
    assert [(report.succeeded, report.failed) for report in reports] == [(1, 0), (1, 0)]
    assert replayer.metrics.snapshot().failures == 0


@pytest.mark.parametrize("last", [False, True], ids=["retried", "parked"])
def test_an_error_of_megabytes_is_cut(scene: Scene, last: bool) -> None:
    register_raising(scene, lambda: ValueError("x\0\ud800" * 3_000_000))
    scene.letter("raises")
    scene.drain(max_retries=1 if last else 5)
    [letter] = scene.queue.permanent_failures() if last else scene.queue.letters()
    assert letter.last_error is not None
    assert letter.last_error.endswith("(cut)")
    assert 4000 < len(letter.last_error.encode()) <= 4096
    if last:
        [reason] = scene.parked().values()
        assert len(reason.encode()) <= 4096 + 200
