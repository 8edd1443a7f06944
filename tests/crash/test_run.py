"""A process that drains again and again: ended by signals, killed, and beside other programs."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.processes import DlqFile, Program

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows delivers no SIGTERM to handlers"
)

PATIENCE = 15.0
MOMENT = 2.0  # with the time that a process takes to end


def _running(file: DlqFile, *pauses: str, **settings: Any) -> Program:
    program = file.start(*pauses, runs=True, **settings)
    program.wait_for("running")
    return program


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sigterm_ends_it_within_a_moment_while_it_sleeps(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("ok:", "ok:")
    program = _running(dlq_file, check_interval=3600)
    _until(lambda: not dlq_file.left())
    time.sleep(1.5)  # beyond the look that follows a drain
    began = time.monotonic()
    program.interrupt(signal.SIGTERM)
    report = program.report()
    assert time.monotonic() - began < MOMENT
    assert (report["succeeded"], report["stopped"]) == (2, "shutdown")
    assert dlq_file.effects() == letters


def test_sigterm_lets_the_letter_in_hand_finish(dlq_file: DlqFile) -> None:
    in_hand, left = dlq_file.add("waits:end", "ok:")
    program = _running(dlq_file)
    program.wait_for("in hand")
    program.interrupt(signal.SIGTERM)
    time.sleep(0.1)
    assert dlq_file.effects() == []
    dlq_file.let_go("end")
    report = program.report()
    assert (report["succeeded"], report["stopped"]) == (1, "shutdown")
    assert (dlq_file.effects(), dlq_file.left()) == ([in_hand], [left])


def test_letters_of_another_process_are_replayed_when_they_are_due(dlq_file: DlqFile) -> None:
    program = _running(dlq_file, check_interval=0.2, min_age=1)
    letters = dlq_file.add("ok:", "ok:", "ok:")
    began = time.monotonic()
    _until(lambda: not dlq_file.left())
    # The crate keeps whole seconds.
    assert 0 < time.monotonic() - began < 10
    letters += dlq_file.add("ok:")
    _until(lambda: not dlq_file.left())
    program.interrupt(signal.SIGTERM)
    assert program.report()["succeeded"] == 4
    assert dlq_file.effects() == letters


def test_a_killed_run_is_taken_up_by_the_next(dlq_file: DlqFile) -> None:
    letters = dlq_file.add(*["takes:2"] * 200)
    first = _running(dlq_file, "committed", max_transaction_time=0.05)
    first.wait_for("committed")
    first.kill()
    assert 0 < len(dlq_file.effects()) < 200
    second = _running(dlq_file)
    _until(lambda: not dlq_file.left())
    second.interrupt(signal.SIGTERM)
    second.report()
    assert dlq_file.effects() == letters
    assert dlq_file.charges() == {}
    dlq_file.assert_whole(letters)


def test_a_letter_that_kills_every_run_is_parked_by_one_of_them(dlq_file: DlqFile) -> None:
    good = dlq_file.add("ok:", "ok:")
    [culprit] = dlq_file.add("dies:killed")
    deaths = 0
    while culprit in dlq_file.left():
        program = _running(dlq_file, max_retries=2)
        while not program.has_ended and culprit in dlq_file.left():
            time.sleep(0.02)
        program.interrupt(signal.SIGTERM)
        deaths += program.wait() == -signal.SIGKILL
        assert deaths <= 3
    assert deaths == 2
    assert dlq_file.effects() == good
    assert list(dlq_file.parked()) == [culprit]
    dlq_file.assert_whole([*good, culprit])


def test_two_runs_on_one_file_do_each_letter_once(dlq_file: DlqFile) -> None:
    settings: dict[str, Any] = {
        "max_transaction_time": 0.01,
        "yield_time": 0.01,
        "check_interval": 0.2,
    }
    programs = [_running(dlq_file, **settings) for _ in range(2)]
    letters: list[int] = []
    for _ in range(5):
        letters += dlq_file.add(*["takes:2"] * 30)
        time.sleep(0.1)
    _until(lambda: not dlq_file.left())
    for program in programs:
        program.interrupt(signal.SIGTERM)
    reports = [program.report() for program in programs]
    assert sum(report["succeeded"] for report in reports) == 150
    dlq_file.assert_whole(letters)
