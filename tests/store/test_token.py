"""The token of a group tells whether the group is in the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue
from azoth_dlq.store.sqlite.token import Token


@pytest.fixture
def connections(path: Path) -> Iterator[list[sqlite3.Connection]]:
    DeadLetterQueue.open(path).close()
    with ExitStack() as stack:
        yield [
            stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            for _ in range(2)
        ]


def leave(connection: sqlite3.Connection, ending: str) -> Token:
    token = Token(connection, connection.cursor())
    connection.execute("BEGIN IMMEDIATE")
    token.set()
    assert not token.is_committed()
    assert not token.has_moved()
    connection.execute(ending)
    return token


@pytest.mark.parametrize("before", [False, True], ids=["the first", "another"])
@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
def test_a_token_tells_how_its_group_ended(
    connections: list[sqlite3.Connection], ending: str, before: bool
) -> None:
    if before:
        leave(connections[1], "COMMIT")
    token = leave(connections[0], ending)
    assert token.is_committed() == token.has_moved() == (ending == "COMMIT")


def test_a_token_that_another_drain_has_followed_has_moved(
    connections: list[sqlite3.Connection],
) -> None:
    token = leave(connections[0], "COMMIT")
    leave(connections[1], "COMMIT")
    assert not token.is_committed()
    assert token.has_moved()


def test_of_a_closed_connection_nothing_is_known(connections: list[sqlite3.Connection]) -> None:
    token = leave(connections[0], "COMMIT")
    connections[0].close()
    assert not token.is_committed()
    assert not token.has_moved()
