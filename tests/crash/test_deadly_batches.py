"""Batches that kill the process they run in: nobody is charged, until the letters go singly."""

from __future__ import annotations

import pytest

from tests.crash.deaths import MAX_RETRIES, assert_a_crowd_dies_no_more_often_than_one
from tests.crash.processes import NEEDS_SIGKILL, DlqFile, Program

KILLED = pytest.param("killed", 4, marks=NEEDS_SIGKILL)


def _batches(program: Program) -> list[str]:
    return [line for line in program.said if line.startswith("batch of")]


def _drain_until_empty(file: DlqFile) -> tuple[list[dict[int, int]], list[list[str]]]:
    """Start a drain again and again; the charges found after each death, and the batches that each
    process called."""
    deaths: list[dict[int, int]] = []
    batches: list[list[str]] = []
    while file.left():
        program = file.start(max_retries=MAX_RETRIES)
        if program.wait() != 0:
            deaths.append(file.charges())
            assert len(deaths) <= MAX_RETRIES + 1
        batches.append(_batches(program))
    return deaths, batches


@pytest.mark.parametrize(
    ("way", "place"), [KILLED, ("exit", 0), ("exit", 8)], ids=["amid", "first", "last"]
)
def test_a_deadly_letter_of_a_batch_is_parked_and_all_others_are_done_once(
    dlq_file: DlqFile, way: str, place: int
) -> None:
    events = ["batch:"] * 9
    events[place] = f"batch:{way}"
    letters = dlq_file.add(*events)
    deaths, batches = _drain_until_empty(dlq_file)
    culprit = letters.pop(place)
    # In the batch; alone, charged by the process after it; alone for the last time.
    assert deaths == [{}, {}, {culprit: 1}]
    assert [batch for batch in batches if batch] == batches[:1] == [["batch of 9"]]
    assert dlq_file.effects() == letters
    assert list(dlq_file.parked()) == [culprit]
    assert "process died" in dlq_file.parked()[culprit]
    dlq_file.assert_whole([*letters, culprit])


def test_letters_before_and_behind_a_deadly_batch_are_done_once(dlq_file: DlqFile) -> None:
    letters = dlq_file.add(
        "ok:", "batch:", "batch:exit", "batch:", "ok:", "batch:", "batch:", "ok:"
    )
    deaths, batches = _drain_until_empty(dlq_file)
    culprit = letters.pop(2)
    assert deaths == [{}, {}, {culprit: 1}]
    # Others of its type are not kept out of batches.
    assert [batch for batch in batches if batch] == [["batch of 3"], ["batch of 2"]]
    assert dlq_file.effects() == letters
    assert list(dlq_file.parked()) == [culprit]


def test_a_batch_committed_before_the_deadly_one_is_not_called_again(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("batch:20", "ok:", "batch:exit", "batch:")
    program = dlq_file.start(max_retries=MAX_RETRIES, max_transaction_time=0.01)
    assert program.wait() != 0
    assert dlq_file.effects() == letters[:1]
    deaths, _ = _drain_until_empty(dlq_file)
    assert deaths == [{}, {letters[2]: 1}]
    assert dlq_file.effects() == [letters[0], letters[1], letters[3]]


def test_a_route_that_kills_the_process_within_a_batch_costs_its_own_letter(
    dlq_file: DlqFile,
) -> None:
    dlq_file.routed = True
    letters = dlq_file.add("batch:", "batch:", "dies_in_route:exit", "batch:")
    deaths, batches = _drain_until_empty(dlq_file)
    culprit = letters.pop(2)
    assert deaths == [{}, {}, {culprit: 1}]
    # Of the letter behind it.
    assert [batch for batch in batches if batch] == [["batch of 1"]]
    assert dlq_file.effects() == letters
    assert list(dlq_file.parked()) == [culprit]


def test_a_route_is_not_asked_again_by_batches_before_it(dlq_file: DlqFile) -> None:
    dlq_file.routed = True
    (culprit,) = dlq_file.add("dies_in_route:exit")
    dlq_file.query("UPDATE dead_letter_queue SET failed_at = '2020-01-01 00:00:00'")
    good, deaths = [], 0
    while culprit in dlq_file.left():
        good += dlq_file.add("batch:")
        deaths += dlq_file.start(max_retries=MAX_RETRIES, priority="lifo").wait() != 0
        assert deaths <= MAX_RETRIES + 1
    assert list(dlq_file.parked()) == [culprit]
    dlq_file.drain()
    assert dlq_file.effects() == good


def test_a_letter_that_is_fetched_late_leaves_those_before_it_in_hand(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("batch:exit", "batch:", f"batch:{'x' * 20_000}", "batch:")
    deaths, batches = _drain_until_empty(dlq_file)
    culprit = letters.pop(0)
    assert deaths == [{}, {}, {culprit: 1}]
    assert [batch for batch in batches if batch] == [["batch of 4"]]
    assert dlq_file.effects() == letters


def test_two_deadly_letters_of_one_batch_are_both_found(dlq_file: DlqFile) -> None:
    events = ["batch:"] * 8
    events[2] = events[5] = "batch:exit"
    letters = dlq_file.add(*events)
    deaths = 0
    while dlq_file.left():
        deaths += dlq_file.start(max_retries=MAX_RETRIES).wait() != 0
        assert deaths <= 2 * MAX_RETRIES + 1
        assert set(dlq_file.charges()) <= {letters[2], letters[5]}
    assert sorted(dlq_file.parked()) == [letters[2], letters[5]]
    dlq_file.assert_whole(letters)


def test_two_processes_that_meet_a_deadly_batch_die_no_more_often_than_one(
    dlq_file: DlqFile,
) -> None:
    events = [*["batch:1"] * 40, "batch:exit", *["batch:1"] * 40]
    assert_a_crowd_dies_no_more_often_than_one(dlq_file, events, "batch:exit", processes=2)


@NEEDS_SIGKILL
def test_a_batch_killed_from_elsewhere_charges_nobody(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("batch:", "batch:waits", "batch:")
    program = dlq_file.start()
    program.wait_for("in hand")
    program.kill()
    dlq_file.let_go("go")
    report = dlq_file.drain()
    assert (report["succeeded"], report["failed"]) == (3, 0)
    assert dlq_file.effects() == letters
    dlq_file.assert_whole(letters)
