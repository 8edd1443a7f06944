"""A process that dies while no handler runs: nobody is charged. And whose death a charge is."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from tests.crash.processes import DlqFile
from tests.crash.program import LETTERS_A_FETCH


def _kill_at(pause: str, file: DlqFile) -> None:
    program = file.start(pause, priority="fifo")
    program.wait_for(pause)
    program.kill()


@pytest.mark.parametrize("point", ["committed", "yielding", "settling", "fetching"])
def test_a_death_between_handlers_charges_nobody(dlq_file: DlqFile, point: str) -> None:
    """Committed: between two groups. Settling: the calls are over, the acks not yet committed."""
    events = ["ok:"] * (LETTERS_A_FETCH + 5)
    if point == "yielding":
        events[0] = "takes:1100"
    letters = dlq_file.add(*events)
    program = dlq_file.start(point, max_retries=1)
    program.wait_for(point)
    program.kill()
    dlq_file.assert_whole(letters)
    dlq_file.drain(max_retries=1)
    assert dlq_file.parked() == {}
    assert dlq_file.effects() == letters


@pytest.mark.parametrize("lookup", range(1, 6))
def test_a_kill_while_the_outcome_of_a_call_is_recorded_charges_that_letter_alone(
    dlq_file: DlqFile, lookup: int
) -> None:
    """And none of those behind it, whose handlers are looked up meanwhile, but not called."""
    letters = dlq_file.add("outside:", "unknown:", *["outside_batch:"] * 2, "ok:")
    _kill_at(f"lookup {lookup}", dlq_file)
    assert dlq_file.drain()["failed"] == 2
    assert dlq_file.charges() == {letters[0]: 1, letters[1]: 1}


@pytest.mark.parametrize(("lookup", "charged"), [(1, [0]), (2, [1]), (3, []), (4, [])])
def test_a_kill_behind_a_handlers_return_charges_no_letter_that_is_done(
    dlq_file: DlqFile, lookup: int, charged: list[int]
) -> None:
    """But the one whose turn it is, and none while a batch is gathered."""
    letters = dlq_file.add("ok:", *["outside_batch:"] * 3)
    _kill_at(f"lookup {lookup}", dlq_file)
    assert dlq_file.drain()["failed"] == len(charged)
    assert dlq_file.charges() == {letters[n]: 1 for n in charged}


@pytest.mark.parametrize("before", ["ok:", "outside:"])
def test_a_large_letter_whose_lookup_kills_the_process_is_charged_itself(
    dlq_file: DlqFile, before: str
) -> None:
    """As where it takes more memory than there is."""
    letters = dlq_file.add(before, f"fails:{'x' * 100_000}", "takes:0")
    _kill_at("lookup 2", dlq_file)
    report = dlq_file.drain()
    assert (report["succeeded"], report["failed"]) == (2 - (before == "outside:"), 1)
    assert dlq_file.left() == letters[1:2]
    assert dlq_file.charges() == {letters[1]: 1}


def test_a_death_in_a_handler_charges_its_letter_once(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("ok:", "waits:released", "ok:")
    program = dlq_file.start()
    program.wait_for("in hand")
    program.kill()
    dlq_file.assert_whole(letters)
    dlq_file.let_go("released")
    assert dlq_file.drain()["succeeded"] == 2
    assert dlq_file.charges() == {letters[1]: 1}
    assert dlq_file.drain()["succeeded"] == 1
    dlq_file.assert_whole(letters)


@pytest.mark.parametrize("dlq_file", ["delete"], indirect=True)
def test_a_charge_that_cannot_be_committed_is_made_by_the_next_drain(dlq_file: DlqFile) -> None:
    """A reader keeps a file with a rollback journal from being written."""
    letters = dlq_file.add("ok:", "waits:released", "ok:")
    program = dlq_file.start()
    program.wait_for("in hand")
    program.kill()
    dlq_file.let_go("released")
    with closing(dlq_file.connect()) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM effects").fetchall()
        assert dlq_file.start(busy_timeout=0.2).ending().ended == "StorageError"
    assert dlq_file.charges() == {}
    assert dlq_file.drain()["succeeded"] == 2
    assert dlq_file.charges() == {letters[1]: 1}


def test_a_process_that_lost_its_lock_leaves_the_letter_of_another_alone(
    dlq_file: DlqFile,
) -> None:
    """What the other's handler wrote before it failed is undone all the same."""
    first, second = dlq_file.add("conflicts_and_waits:lost", "fails_after:failed")
    loser = dlq_file.start()
    loser.wait_for("in hand")
    other = dlq_file.start()
    other.wait_for("in hand")
    dlq_file.let_go("lost")
    # Time for it to find out; it says nothing while it waits for the lock that the other holds.
    time.sleep(0.3)
    dlq_file.let_go("failed")
    other.report()
    loser.report()
    assert dlq_file.effects() == []
    assert dlq_file.charges().keys() == {first, second}
    assert dlq_file.charges()[second] == 1
