"""Claims of processes that die: freed by their death, at once and not before."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from azoth_dlq.store.base import Abandoned, DrainSettings
from azoth_dlq.store.sqlite import SqliteStore, open_connection
from tests.attacks import Attack
from tests.crash.claimer import AT_ONCE
from tests.crash.processes import NEEDS_SIGKILL, DlqFile, Program

pytestmark = NEEDS_SIGKILL
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
CLAIMS = [1, 2, 5]
HELD = (set(CLAIMS), Abandoned([], []))
FREED = (set(CLAIMS), Abandoned(CLAIMS, []))


def claimer(file: DlqFile, **order: Any) -> Program:
    return file.run("claimer", json.dumps(order))


@pytest.fixture
def store(dlq_file: DlqFile) -> Iterator[SqliteStore]:
    """Of another process, within a drain."""
    with closing(open_connection(dlq_file.path)) as connection:
        store = SqliteStore(connection)
        with store.draining(DrainSettings(busy_timeout=5, settings="{}")):
            yield store


def seen(store: SqliteStore) -> tuple[set[int], Abandoned]:
    store.begin()
    try:
        return store.claimed(), store.abandoned()
    finally:
        store.end(commit=False)


def holder(file: DlqFile, **order: Any) -> Program:
    """A process with claims."""
    program = claimer(file, claims=CLAIMS, **order)
    program.wait_for("claimed")
    return program


def test_claims_are_freed_by_the_death_of_their_process_and_not_before(
    dlq_file: DlqFile, store: SqliteStore
) -> None:
    program = holder(dlq_file)
    for _ in range(5):
        assert seen(store) == HELD
        assert len(store.figures().draining) == 1
        time.sleep(0.02)
    program.kill()
    assert seen(store) == FREED
    assert store.figures().draining == []


def test_claims_of_a_process_that_ends_its_drain_charge_nobody(
    dlq_file: DlqFile, store: SqliteStore
) -> None:
    program = holder(dlq_file)
    dlq_file.let_go("go")
    assert program.wait() == 0
    assert seen(store) == (set(CLAIMS), Abandoned([], []))
    store.begin()
    store.abandoned()
    store.end(commit=True)
    assert seen(store) == (set(), Abandoned([], []))


@pytest.mark.parametrize("whose", ["of the living", "of nobody"])
def test_pids_and_hosts_play_no_role(dlq_file: DlqFile, store: SqliteStore, whose: str) -> None:
    program = holder(dlq_file)
    pid = os.getpid() if whose == "of the living" else 2**31 - 1
    dlq_file.query("UPDATE azoth_dlq_drainers SET pid = ?, host = 'elsewhere'", pid)
    assert seen(store) == HELD
    program.kill()
    assert seen(store) == FREED


@FORKS
def test_a_child_that_lives_on_keeps_no_claims(dlq_file: DlqFile, store: SqliteStore) -> None:
    program = holder(dlq_file, child="lives on")
    child = dlq_file.path.parent / "child"
    while not (child.exists() and child.read_text()):
        time.sleep(0.01)
    try:
        assert seen(store) == HELD
        program.kill()
        os.kill(int(child.read_text()), 0)
        assert seen(store) == FREED
    finally:
        dlq_file.let_go("child may end")


@FORKS
def test_a_child_that_ends_frees_no_claims(dlq_file: DlqFile, store: SqliteStore) -> None:
    program = holder(dlq_file, child="ends")
    assert seen(store) == HELD
    program.kill()
    assert seen(store) == FREED


def test_drains_that_live_never_take_each_others_claims(dlq_file: DlqFile) -> None:
    letters = dlq_file.add(*["ok:"] * 200)
    programs = [claimer(dlq_file, works=True) for _ in range(3)]
    dlq_file.let_go("go")
    for program in programs:
        program.wait_for("done")
        assert program.wait() == 0
    assert dlq_file.effects() == letters


def test_claims_of_processes_killed_at_random_are_settled_by_others(
    dlq_file: DlqFile, attack: Attack
) -> None:
    """One works all the time beside those that are killed."""
    kills = attack.size(10, long=250)
    survivor = claimer(dlq_file, works=True)
    survivor.wait_for("working")
    letters = []
    for _ in range(kills):
        victim = claimer(dlq_file, works=True)
        victim.wait_for("working")
        letters += dlq_file.add(*["ok:"] * 30)
        time.sleep(random.uniform(0, 0.04))
        victim.kill()
        attack.struck("SIGKILL at a random instant of a process that holds claims")
        assert victim.said == ["working"]
    dlq_file.let_go("go")
    survivor.wait_for("done")
    assert survivor.wait() == 0
    effects = dlq_file.effects()
    assert [e for e in effects if e > 0] == letters
    assert len([e for e in effects if e < 0]) <= kills * AT_ONCE
    assert dlq_file.query("SELECT count(*) FROM azoth_dlq_claims") == [(0,)]
