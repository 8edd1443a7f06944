"""Handlers that leave behind what interrupts the statements of the connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from tests.conftest import Scene

Leave = Callable[[sqlite3.Connection], object]
kept: list[sqlite3.Cursor] = []


def half_read_and_interrupt(conn: sqlite3.Connection) -> None:
    cursor = conn.execute("SELECT value FROM json_each('[1, 2, 3]')")
    next(cursor)
    kept.append(cursor)
    conn.interrupt()


def progress_handler(conn: sqlite3.Connection) -> None:
    conn.set_progress_handler(lambda: 1, 1)


LEFT: list[Leave] = [half_read_and_interrupt, progress_handler]


@pytest.fixture(params=LEFT)
def interrupting(request: pytest.FixtureRequest, any_scene: Scene) -> Scene:
    """The handler `leaves` leaves an effect, too."""

    def leaves(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        request.param(conn)

    any_scene.registry.register("leaves", leaves)
    return any_scene


def test_the_only_letter_that_leaves_it_is_done(interrupting: Scene) -> None:
    letter = interrupting.letter("leaves")
    assert interrupting.drain().succeeded == 1
    assert interrupting.effects() == [letter]


@pytest.mark.parametrize("letters", [1, 3])
def test_letters_that_leave_it_cost_no_drain(interrupting: Scene, letters: int) -> None:
    scene = interrupting
    ids = [scene.letter("leaves") for _ in range(letters)]
    report = scene.drain()
    assert report.attempted == report.succeeded + report.failed == letters
    assert scene.effects() == sorted(set(ids) - set(scene.left()))
    other = scene.letter("ok")
    assert scene.drain().stopped is None
    assert other in scene.effects()


def test_the_letters_around_it_are_done(interrupting: Scene) -> None:
    scene = interrupting
    before, leaving, behind = scene.letter(), scene.letter("leaves"), scene.letter()
    assert scene.drain().succeeded >= 2
    assert {before, behind} <= set(scene.effects())
    assert set(scene.left()) <= {leaving}


def test_a_half_read_query_of_the_caller_and_an_interrupt(any_scene: Scene) -> None:
    scene = any_scene
    letters = [scene.letter(), scene.letter("interrupts"), scene.letter()]
    scene.registry.register("interrupts", lambda conn, *_: conn.interrupt())
    cursor = scene.conn.execute("SELECT id FROM dead_letter_queue")
    next(cursor)
    assert scene.drain().succeeded >= 2
    scene.drain(now=True)
    assert set(scene.effects()) == {letters[0], letters[2]}
