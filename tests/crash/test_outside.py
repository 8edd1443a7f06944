"""Processes whose handlers run outside any transaction: claimed by one, freed by its death."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from contextlib import closing
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer, EventHandlerRegistry
from tests.attacks import Attack
from tests.crash.calls import Call, begun, made
from tests.crash.processes import NEEDS_SIGKILL, DlqFile, Program

FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def _in_hand(file: DlqFile) -> Program:
    """A process in the call of a letter that waits for `go`."""
    program = file.start(priority="fifo")
    program.wait_for("in hand")
    return program


def _claims(file: DlqFile) -> list[int]:
    return [i for (i,) in file.query("SELECT letter_id FROM azoth_dlq_claims ORDER BY 1")]


@NEEDS_SIGKILL
def test_a_letter_whose_process_is_killed_is_charged_and_called_again(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("ok:", "outside:waits", "ok:", "outside:")
    _in_hand(dlq_file).kill()
    assert dlq_file.effects() == letters[:1]
    assert _claims(dlq_file) == [letters[1]]
    dlq_file.let_go("go")
    report = dlq_file.drain()
    assert (report["succeeded"], report["failed"], report["skipped"]) == (2, 1, 0)
    assert dlq_file.charges() == {letters[1]: 1}
    assert _claims(dlq_file) == []
    assert dlq_file.drain()["succeeded"] == 1
    assert begun(dlq_file.path.parent) == {letters[1]: 2, letters[3]: 1}
    assert dlq_file.left() == []


@NEEDS_SIGKILL
@pytest.mark.parametrize("kind", ["outside:waits", "waits:never"])
@pytest.mark.parametrize("max_retries", [1, 2])
def test_a_letter_that_is_asked_for_is_charged_with_its_death_and_called(
    dlq_file: DlqFile, kind: str, max_retries: int
) -> None:
    (letter,) = dlq_file.add(kind)
    _in_hand(dlq_file).kill()
    called = []
    registry = EventHandlerRegistry()
    registry.register(
        kind.partition(":")[0], lambda _, event_id, __: called.append(event_id), transactional=False
    )
    with DeadLetterQueue.open(dlq_file.path) as queue:
        replayer = DlqReplayer(queue, registry, DlqReplayConfig(max_retries=max_retries))
        report = replayer.replay(letter)
    assert report.failed == 1
    if max_retries == 1:
        assert (report.succeeded, report.skipped, report.parked, called) == (0, 0, 1, [])
    else:
        assert (report.succeeded, report.skipped, report.parked) == (1, 0, 0)
        assert called == [letter]
    assert dlq_file.left() == _claims(dlq_file) == []


@pytest.mark.parametrize("max_retries", [1, 3])
def test_a_deadly_letter_is_parked_when_its_attempts_are_spent(
    dlq_file: DlqFile, max_retries: int
) -> None:
    letters = dlq_file.add("outside:", "outside:exit", "ok:", "outside:")
    deaths = 0
    while dlq_file.left():
        deaths += dlq_file.start(max_retries=max_retries).wait() != 0
        assert deaths <= max_retries
    assert deaths == max_retries
    assert list(dlq_file.parked()) == letters[1:2]
    assert "process died" in dlq_file.parked()[letters[1]]
    assert begun(dlq_file.path.parent) == {letters[0]: 1, letters[1]: max_retries, letters[3]: 1}
    assert dlq_file.effects() == letters[2:3]


def test_a_death_in_a_batch_charges_nobody_and_its_letters_go_singly(dlq_file: DlqFile) -> None:
    letters = dlq_file.add(*["outside_batch:"] * 3, "outside_batch:exit", "outside_batch:")
    program = dlq_file.start(max_retries=2)
    assert program.wait() != 0
    assert "batch of 5" in program.said
    assert (dlq_file.charges(), _claims(dlq_file)) == ({}, letters)
    deaths = 1
    while dlq_file.left():
        program = dlq_file.start(max_retries=2)
        deaths += program.wait() != 0
        assert not [line for line in program.said if line.startswith("batch")]
        assert set(dlq_file.charges()) <= {letters[3]}
        assert deaths <= 3
    assert list(dlq_file.parked()) == [letters[3]]
    # Those before it in the batch, and in it, were begun once more.
    assert begun(dlq_file.path.parent) == dict(zip(letters, [2, 2, 2, 3, 1], strict=True))


def _refuse_updates(file: DlqFile, letter: int) -> None:
    file.query(
        f"CREATE TRIGGER keep BEFORE UPDATE ON dead_letter_queue WHEN old.id = {letter} "
        "BEGIN SELECT RAISE(ABORT, 'it is to stay'); END"
    )


@pytest.mark.parametrize("kind", ["outside_batch", "batch"])
@pytest.mark.parametrize("refused", range(4))
def test_a_death_in_a_batch_that_cannot_be_noted_lets_its_letters_be_called_singly(
    dlq_file: DlqFile, kind: str, refused: int
) -> None:
    letters = dlq_file.add(f"{kind}:", f"{kind}:", f"{kind}:exit", f"{kind}:")
    _refuse_updates(dlq_file, letters[refused])
    for _ in range(2):
        assert dlq_file.start(priority="fifo").wait() != 0
    ending = dlq_file.start(priority="fifo").ending()
    assert dlq_file.left() == letters[2:3]
    if refused == 2:
        assert "a process died in its handler; " in ending.message
    else:
        assert ending.ended == "returned"
        assert dlq_file.charges() == {letters[2]: 1}


@pytest.mark.parametrize("deadly", ["outside:exit", "dies:exit"])
def test_a_death_that_cannot_be_charged_costs_only_its_letter(
    dlq_file: DlqFile, deadly: str
) -> None:
    letters = dlq_file.add("outside:", deadly, "ok:", "outside:")
    _refuse_updates(dlq_file, letters[1])
    assert dlq_file.start(priority="fifo").wait() != 0
    ending = dlq_file.start(priority="fifo").ending()
    assert ending.ended == "StorageError"
    assert "a process died in its handler; " in ending.message
    assert ending.report is not None
    assert (ending.report["succeeded"], ending.report["remaining"]) == (2, 1)
    assert (dlq_file.left(), _claims(dlq_file)) == ([letters[1]], [])
    dlq_file.query("DROP TRIGGER keep")
    assert dlq_file.start(priority="fifo").wait() != 0
    assert dlq_file.drain()["failed"] == 1
    assert dlq_file.charges() == {letters[1]: 1}


@NEEDS_SIGKILL
def test_of_several_deaths_one_that_cannot_be_charged_keeps_no_other_from_it(
    dlq_file: DlqFile,
) -> None:
    letters = dlq_file.add(*["outside:waits"] * 4, "outside:")
    programs = [_in_hand(dlq_file) for _ in letters[:4]]
    for program in programs:
        program.kill()
    assert _claims(dlq_file) == letters[:4]
    _refuse_updates(dlq_file, letters[2])
    dlq_file.let_go("go")
    ending = dlq_file.start().ending()
    assert ending.message.startswith(f"letter {letters[2]} stays as it was: a process died in its")
    assert ending.report is not None
    assert [ending.report[name] for name in ("succeeded", "failed", "remaining")] == [1, 3, 1]
    assert (dlq_file.left(), _claims(dlq_file)) == (letters[:4], [])
    assert dlq_file.charges() == {i: 1 for i in letters[:4] if i != letters[2]}


@pytest.mark.parametrize(
    "culprit", ["dies:exit", "outside:exit", "batch:exit", "dies_in_route:exit"]
)
def test_a_death_behind_a_call_takes_back_no_outcome(dlq_file: DlqFile, culprit: str) -> None:
    dlq_file.routed = culprit.startswith("dies_in_route")
    first, deadly, last = dlq_file.add("outside:", culprit, "outside:")
    deaths = 0
    while dlq_file.left():
        deaths += dlq_file.start(max_retries=2).wait() != 0
        assert set(dlq_file.charges()) <= {deadly}
        assert deaths <= 3
    assert list(dlq_file.parked()) == [deadly]
    called_each = begun(dlq_file.path.parent)
    assert (called_each[first], called_each[last]) == (1, 1)


@NEEDS_SIGKILL
def test_a_kill_during_a_handler_behind_a_call_takes_back_no_outcome(dlq_file: DlqFile) -> None:
    called, killed = dlq_file.add("outside:", "waits:go")
    _in_hand(dlq_file).kill()
    assert dlq_file.left() == [killed]
    dlq_file.let_go("go")
    assert dlq_file.drain()["failed"] == 1
    assert dlq_file.drain()["succeeded"] == 1
    assert begun(dlq_file.path.parent) == {called: 1}


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no process")
def test_a_process_that_stands_still_before_an_outcome_is_written_has_not_waited(
    dlq_file: DlqFile,
) -> None:
    letters = dlq_file.add("outside:waits")
    program = dlq_file.start(busy_timeout=0.2)
    program.wait_for("in hand")
    with closing(dlq_file.connect()) as other:
        other.execute("BEGIN IMMEDIATE")
        dlq_file.let_go("go")
        time.sleep(0.1)
        program.interrupt(signal.SIGSTOP)
        time.sleep(2.5)  # an outcome is waited with for ten times as long as others
        program.interrupt(signal.SIGCONT)
        time.sleep(0.2)
        other.execute("ROLLBACK")
    assert program.report()["succeeded"] == 1
    assert begun(dlq_file.path.parent) == dict.fromkeys(letters, 1)


def test_a_claimed_letter_is_left_to_its_drain(dlq_file: DlqFile) -> None:
    """Also by a drain that would park it."""
    letters = dlq_file.add("ok:", "outside:waits", "ok:")
    dlq_file.query("UPDATE dead_letter_queue SET retry_count = 1 WHERE id = ?", letters[1])
    program = _in_hand(dlq_file)
    report = dlq_file.drain(max_retries=1)
    assert (report["succeeded"], report["skipped"], report["parked"]) == (1, 1, 0)
    report = dlq_file.drain()
    assert (report["attempted"], report["skipped"], report["parked"]) == (0, 1, 0)
    assert dlq_file.left() == letters[1:2]
    dlq_file.let_go("go")
    report = program.report()
    assert (report["succeeded"], report["skipped"]) == (2, 1)
    assert begun(dlq_file.path.parent) == {letters[1]: 1}
    assert dlq_file.effects() == [letters[0], letters[2]]
    assert dlq_file.left() == []


def test_drains_at_once_never_call_a_letter_at_the_same_time(dlq_file: DlqFile) -> None:
    events = ["outside:4", "ok:", "outside:1", "outside:"]
    letters = dlq_file.add(*(events[n % 4] for n in range(120)))
    settings: dict[str, Any] = {"max_transaction_time": 0.01, "yield_time": 0}
    programs = [dlq_file.start("opened", **settings) for _ in range(2)]
    for program in programs:
        program.wait_for("opened")
    dlq_file.let_go("go")
    reports = [program.report() for program in programs]
    assert dlq_file.left() == []
    outside = [letter for n, letter in enumerate(letters) if n % 4 != 1]
    assert begun(dlq_file.path.parent) == dict.fromkeys(outside, 1)
    assert sum(report["succeeded"] for report in reports) == len(letters)
    assert [report["failed"] for report in reports] == [0, 0]
    # Both had their share.
    assert len({line.pid for line in made(dlq_file.path.parent)}) == 2


@NEEDS_SIGKILL
def test_drains_killed_at_random_instants_call_every_letter_at_least_once(
    dlq_file: DlqFile, attack: Attack
) -> None:
    kills = attack.size(12, long=250)
    events = ["outside:3", "ok:", "outside:", "outside_batch:1", "outside_batch:"]
    letters = dlq_file.add(*(events[n % 5] for n in range(kills * 40)))
    settings: dict[str, Any] = {"max_retries": 10**6, "max_transaction_time": 0.01}
    within = [letter for n, letter in enumerate(letters) if n % 5 == 1]
    outside = [letter for letter in letters if letter not in within]
    for kill in range(1, kills + 1):
        program = dlq_file.start(**settings)
        program.wait_for("draining")
        time.sleep(random.uniform(0, 0.15))
        program.kill()
        attack.struck("SIGKILL at a random instant of calls outside a transaction")
        assert sum(dlq_file.charges().values()) <= kill
        done = set(outside) - set(dlq_file.left())
        ended = {line.letter for line in made(dlq_file.path.parent) if line.what == "end"}
        assert done <= ended
    while dlq_file.left():
        dlq_file.drain(**settings)
    called_each = begun(dlq_file.path.parent)
    assert sorted(called_each) == outside
    # Each death has at most the letters of one call called once more: here of a batch of two.
    assert sum(called_each.values()) <= len(outside) + 2 * kills
    assert dlq_file.effects() == within
    assert dlq_file.query("PRAGMA integrity_check") == [("ok",)]
    assert _claims(dlq_file) == []
    _assert_no_two_at_once(made(dlq_file.path.parent))


def _assert_no_two_at_once(calls: list[Call]) -> None:
    """A call begins when the one before it has ended, or its process is dead."""
    open_: dict[int, int] = {}
    seen: list[int] = []
    for what, letter, pid in calls:
        if what == "begin":
            assert open_.get(letter) is None or open_[letter] != pid
            open_[letter] = pid
        else:
            assert open_.pop(letter) == pid
        if pid not in seen:
            seen.append(pid)
        assert pid == seen[-1]


@FORK
@NEEDS_SIGKILL
def test_a_child_that_outlives_its_parent_keeps_no_claim(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("outside:forks", "outside:waits", "ok:")
    _in_hand(dlq_file).kill()
    try:
        assert dlq_file.left() == letters[1:]
        report = dlq_file.drain()
        assert (report["succeeded"], report["skipped"]) == (1, 0)
        assert dlq_file.charges() == {letters[1]: 1}
        dlq_file.let_go("go")
        assert dlq_file.drain()["succeeded"] == 1
    finally:
        dlq_file.let_go("enough")
    assert dlq_file.left() == []


@FORK
def test_a_child_that_outlives_a_handler_harms_no_letter(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("ok:", "outside:forks", "ok:", "outside:", "fails:")
    try:
        report = dlq_file.drain()
    finally:
        dlq_file.let_go("enough")
    assert (report["succeeded"], report["failed"]) == (4, 1)
    assert dlq_file.effects() == [letters[0], letters[2]]
    assert begun(dlq_file.path.parent) == {letters[1]: 1, letters[3]: 1}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send SIGINT to one process")
def test_sigint_in_a_call_frees_its_letter(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("ok:", "outside:waits", "ok:")
    program = _in_hand(dlq_file)
    program.interrupt(signal.SIGINT)
    assert program.ending().ended == "KeyboardInterrupt"
    assert dlq_file.effects() == letters[:1]
    assert (dlq_file.charges(), _claims(dlq_file)) == ({}, [])
    dlq_file.let_go("go")
    assert dlq_file.drain()["succeeded"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send SIGINT to one process")
@pytest.mark.parametrize("lookup", range(2, 6))
def test_sigint_while_handlers_are_looked_up_takes_back_nothing_that_is_done(
    dlq_file: DlqFile, lookup: int
) -> None:
    letters = dlq_file.add("ok:", *["outside_batch:"] * 3, "ok:")
    program = dlq_file.start(f"lookup {lookup}", priority="fifo")
    program.wait_for(f"lookup {lookup}")
    program.interrupt(signal.SIGINT)
    assert program.ending().ended == "KeyboardInterrupt"
    assert dlq_file.effects() == letters[:1]
    assert dlq_file.left() == letters[1:]
    assert (dlq_file.charges(), _claims(dlq_file)) == ({}, [])


def test_a_shutdown_during_a_call_finishes_it(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("outside:700", "ok:", "outside:")
    report = dlq_file.start(shutdown_after=0.2).report()
    assert (report["stopped"], report["succeeded"]) == ("shutdown", 1)
    assert dlq_file.left() == letters[1:]
    assert _claims(dlq_file) == []


def test_a_writer_beside_long_calls_never_waits(dlq_file: DlqFile) -> None:
    letters = dlq_file.add(*["outside:1500"] * 3)
    drain = dlq_file.start("opened")
    drain.wait_for("opened")
    writer = dlq_file.run("writer")
    writer.wait_for("writing")
    dlq_file.let_go("go")
    drain.report()
    dlq_file.let_go("enough")
    assert begun(dlq_file.path.parent) == dict.fromkeys(letters, 1)
    (wrote,) = writer.last_words()
    # Far more than what is between calls, also on a busy machine, and far less than a call.
    assert max(wrote["waits"]) < 1.0
    assert len(wrote["ids"]) > 10
