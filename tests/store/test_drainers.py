"""Rows and files of drains, and of those that are over; what claims cost."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq.store.base import Abandoned
from azoth_dlq.store.settlement import Settlement
from azoth_dlq.store.sqlite import SqliteStore, open_connection, open_for_looking
from azoth_dlq.store.sqlite.presence import is_alive
from tests.store.conftest import execute
from tests.store.drainers import NAME, NEW, SETTINGS, drain, group, lock, locks, names, presence

# Rows and files of drains that are over


def test_a_drain_without_a_group_leaves_nothing(path: Path, store: SqliteStore) -> None:
    with store.draining(SETTINGS):
        assert locks(path) == []
    assert names(path) == []


def test_a_row_stays_until_the_next_drain(path: Path, store: SqliteStore) -> None:
    drain(store)
    (first,) = names(path)
    with store.draining(SETTINGS):
        assert names(path) == [first]
        group(store)
        (second,) = names(path)
        assert second != first
        assert locks(path) == [Path(f"{path}-azoth-{second}")]
    assert locks(path) == []


def test_the_files_of_the_dead_are_removed_and_those_of_the_living_stay(
    path: Path, store: SqliteStore
) -> None:
    dead = Path(f"{path}-azoth-{NAME}")
    dead.touch()
    with presence(path) as living:
        drain(store)
        assert locks(path) == [Path(f"{path}-azoth-{living.name}")]
        assert is_alive(str(path), living.name)


def test_rows_of_the_living_stay(path: Path, store: SqliteStore) -> None:
    with closing(open_connection(path)) as connection:
        other = SqliteStore(connection)
        with other.draining(SETTINGS):
            group(other)
            drain(store)
            drain(store)
            assert len(names(path)) == 2
    drain(store)
    assert len(names(path)) == 1


@pytest.mark.parametrize("suffix", ["precious", "0123456789ABCDEF", f"{NAME}0", f"{NAME}-journal"])
def test_other_files_stay(path: Path, store: SqliteStore, suffix: str) -> None:
    """Also where a row names them."""
    other = Path(f"{path}-azoth-{suffix}")
    other.touch()
    drain(store)
    execute(path, "INSERT INTO azoth_dlq_drainers VALUES (?, 'host', 1, 1)", suffix)
    execute(path, "INSERT INTO azoth_dlq_claims VALUES (7, ?, 0, NULL)", suffix)
    assert store.figures().draining == []
    drain(store)
    assert other.exists()
    assert suffix not in names(path)


def test_files_of_that_name_that_are_not_empty_stay(path: Path, store: SqliteStore) -> None:
    other = Path(f"{path}-azoth-{NAME}")
    other.write_text("precious")
    drain(store)
    assert other.read_text() == "precious"


def test_a_row_cannot_have_another_file_opened_or_removed(
    path: Path, store: SqliteStore, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    drain(store)
    name = "x/../victim"
    Path(f"{path}-azoth-x").mkdir()
    execute(path, "INSERT INTO azoth_dlq_drainers VALUES (?, 'host', 1, 1)", name)
    execute(path, "INSERT INTO azoth_dlq_claims VALUES (7, ?, 0, NULL)", name)
    with lock(victim), store.draining(SETTINGS):
        store.begin()
        assert store.abandoned() == Abandoned([], [])
        assert store.claimed() == set()
        store.end(commit=True)
    assert victim.exists()
    assert name not in names(path)


def test_files_removed_while_nothing_runs_are_not_missed(path: Path, store: SqliteStore) -> None:
    drain(store, 1)
    Path(f"{path}-azoth").unlink()
    with store.draining(SETTINGS):
        store.begin()
        assert (store.claimed(), store.abandoned()) == ({1}, Abandoned([], []))
        assert store.claimed() == set()


# Looking


def test_who_only_looks_sees_who_drains(path: Path, store: SqliteStore) -> None:
    with closing(open_for_looking(path)) as connection:
        looking = SqliteStore(connection)
        with store.draining(SETTINGS):
            group(store)
            (drainer,) = looking.figures().draining
            assert drainer.pid == os.getpid()
        assert looking.figures().draining == []


def test_figures_of_a_file_without_our_tables(crate_file: Path) -> None:
    with closing(open_for_looking(crate_file)) as connection:
        figures = SqliteStore(connection).figures()
        assert (figures.dead, figures.draining, figures.stopped_at) == (5000, [], None)


@pytest.mark.usefixtures("store")  # its tables
def test_figures_of_a_file_of_the_first_step(path: Path) -> None:
    for statement in (
        "DELETE FROM azoth_dlq_migrations WHERE number > 1",
        "DROP TABLE azoth_dlq_drainers",
        "DROP TABLE azoth_dlq_claims",
    ):
        execute(path, statement)
    with closing(open_for_looking(path)) as connection:
        figures = SqliteStore(connection).figures()
        assert (figures.dead, figures.draining, figures.stopped_at) == (0, [], None)


# What claims cost


def test_a_drain_without_claims_executes_nothing_for_them(store: SqliteStore) -> None:
    (letter_id,) = store.add([NEW])
    executed: list[str] = []
    with store.draining(SETTINGS):
        group(store)
        store.connection.set_trace_callback(executed.append)
        store.begin()
        store.settle(Settlement(acked=[letter_id]))
        store.end(commit=True)
        store.connection.set_trace_callback(None)
    assert any("dead_letter_queue" in statement for statement in executed)
    assert not any("azoth_dlq_claims" in statement for statement in executed)
    # Whether others drain, too, is asked once.
    assert sum("azoth_dlq_drainers" in statement for statement in executed) == 1


def test_claims_are_not_kept_in_mind_once_they_ended(store: SqliteStore) -> None:
    executed: list[str] = []
    with store.draining(SETTINGS):
        group(store, 1)
        for committed in (False, True, True):
            store.begin()
            store.connection.set_trace_callback(executed.append)
            store.settle(Settlement(acked=[1]))
            store.connection.set_trace_callback(None)
            store.end(commit=committed)
    assert sum("azoth_dlq_claims" in statement for statement in executed) == 2
