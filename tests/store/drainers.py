"""Drains that leave claims, and what shows them beside the file and in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from azoth_dlq.store.base import DrainSettings, NewLetter
from azoth_dlq.store.sqlite import SqliteStore
from azoth_dlq.store.sqlite.presence import Presence
from tests.store.conftest import execute

SETTINGS = DrainSettings(busy_timeout=0.2, settings="{}")
NEW = NewLetter(1, b"ok:", "boom", 0)
NAME = "0123456789abcdef"


@contextmanager
def presence(path: Path) -> Iterator[Presence]:
    present = Presence(str(path))
    present.take()
    try:
        yield present
    finally:
        present.leave()


def drain(store: SqliteStore, *claims: int) -> None:
    """A drain with one group that leaves these claims."""
    with store.draining(SETTINGS):
        group(store, *claims)


def group(store: SqliteStore, *claims: int) -> None:
    store.begin()
    store.claim(claims, batch=False)
    store.end(commit=True)


def locks(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}-azoth-*"))


def names(path: Path) -> list[str]:
    return [str(name) for (name,) in execute(path, "SELECT name FROM azoth_dlq_drainers")]


@contextmanager
def lock(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
