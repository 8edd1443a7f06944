"""Handlers that kill the process they run in."""

from __future__ import annotations

import sys

import pytest

from tests import sanitizers
from tests.attacks import Attack
from tests.crash.deaths import MAX_RETRIES, assert_a_crowd_dies_no_more_often_than_one
from tests.crash.processes import NEEDS_SIGKILL, DlqFile

DEATH = "handler that kills its process"
WAYS = [
    pytest.param("killed", marks=NEEDS_SIGKILL),
    "exit",
    "segfault",
    "abort",
]
DIED = "process died"
FIRST_AMID_LAST = pytest.mark.parametrize("place", [0, 4, 8], ids=["first", "amid", "last"])
OWN_ALLOCATOR = pytest.mark.skipif(
    sanitizers.HAVE_OURS, reason="SQLite's own would fail where a sanitizer's ends the process"
)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")


def _with_a_culprit_at(file: DlqFile, place: int, event: str) -> tuple[list[int], int]:
    """Nine letters; those that are good, and the deadly one."""
    events = ["ok:"] * 9
    events[place] = event
    letters = file.add(*events)
    culprit = letters.pop(place)
    return letters, culprit


def _drain_until_empty(file: DlqFile, culprit: int) -> list[dict[int, int]]:
    """Start a drain again and again; the charges found after each death."""
    deaths: list[dict[int, int]] = []
    while file.left():
        program = file.start(max_retries=MAX_RETRIES)
        if program.wait() == 0:
            continue
        deaths.append(file.charges())
        assert set(deaths[-1]) <= {culprit}
        assert len(deaths) <= MAX_RETRIES + 1
    return deaths


def _assert_that_only_the_culprit_is_charged(file: DlqFile, event: str, place: int) -> None:
    good, culprit = _with_a_culprit_at(file, place, event)
    deaths = _drain_until_empty(file, culprit)
    # Each death is charged by the process after it.
    assert deaths == [{}, {culprit: 1}]
    assert file.effects() == good
    assert list(file.parked()) == [culprit]
    assert DIED in file.parked()[culprit]
    file.assert_whole([*good, culprit])


@FIRST_AMID_LAST
@pytest.mark.parametrize("way", WAYS)
def test_a_deadly_letter_is_parked_and_all_others_are_done_once(
    dlq_file: DlqFile, attack: Attack, way: str, place: int
) -> None:
    _assert_that_only_the_culprit_is_charged(dlq_file, f"dies:{way}", place)
    attack.struck(DEATH, MAX_RETRIES)


@FIRST_AMID_LAST
@pytest.mark.parametrize("way", WAYS)
def test_four_processes_that_meet_a_deadly_letter_die_no_more_often_than_one(
    dlq_file: DlqFile, attack: Attack, way: str, place: int
) -> None:
    events = ["takes:1"] * attack.size(81, long=801)
    deadly = events[place * (len(events) - 1) // 8] = f"dies:{way}"
    assert_a_crowd_dies_no_more_often_than_one(dlq_file, events, deadly, processes=4)
    attack.struck(DEATH, MAX_RETRIES)


@LINUX
@FIRST_AMID_LAST
@pytest.mark.parametrize("for_what", ["python", pytest.param("sqlite", marks=OWN_ALLOCATOR)])
def test_a_letter_that_runs_into_a_memory_limit_fails_alone(
    dlq_file: DlqFile, attack: Attack, for_what: str, place: int
) -> None:
    good, culprit = _with_a_culprit_at(dlq_file, place, f"hungers:{for_what}")
    for attempt in range(1, MAX_RETRIES + 1):
        report = dlq_file.drain(max_retries=MAX_RETRIES)
        assert report["failed"] == 1
        assert dlq_file.charges() == ({culprit: attempt} if attempt < MAX_RETRIES else {})
        attack.struck("handler that runs into a memory limit")
    assert dlq_file.effects() == good
    assert list(dlq_file.parked()) == [culprit]
    assert "MemoryError" in dlq_file.parked()[culprit]


def test_a_letter_that_kills_the_process_in_the_route_is_charged_itself(dlq_file: DlqFile) -> None:
    dlq_file.routed = True
    _assert_that_only_the_culprit_is_charged(dlq_file, "dies_in_route:exit", 4)


def test_a_letter_that_fails_and_one_that_dies_are_counted_alike(dlq_file: DlqFile) -> None:
    good, culprit = _with_a_culprit_at(dlq_file, 0, "dies:exit")
    dlq_file.query("UPDATE dead_letter_queue SET retry_count = 1 WHERE id = ?", culprit)
    assert dlq_file.start(max_retries=MAX_RETRIES, priority="fifo").wait() != 0
    report = dlq_file.drain(max_retries=MAX_RETRIES)
    assert report["parked"] == 1
    assert dlq_file.effects() == good
    assert f"failed 2 of {MAX_RETRIES} attempts" in dlq_file.parked()[culprit]
