"""Drains that are killed or interrupted at random instants, and started again until all is done.

`AZOTH_DLQ_KILLS=1000 pytest tests/crash/test_random_instants.py --timeout 3600` kills so many
processes in each journal mode instead of 25, and interrupts half as many.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from typing import Any

import pytest

from tests.crash.processes import NEEDS_SIGKILL, DlqFile

KILLS = int(os.environ.get("AZOTH_DLQ_KILLS", "25"))
INTERRUPTS = max(10, KILLS // 2)
# Some are charged for deaths, none so often that it is parked.
SETTINGS: dict[str, Any] = {"max_retries": 10**6, "max_transaction_time": 0.01}
EVENTS = ("takes:1", "ok:", "ok:", "flaky:", "takes:2", "ok:", "parks:")
LETTERS_AN_ENDING = 60


def _add_letters(file: DlqFile, endings: int) -> list[int]:
    return file.add(*(EVENTS[n % len(EVENTS)] for n in range(endings * LETTERS_AN_ENDING)))


def _charges_of_good_letters(file: DlqFile) -> int:
    """Attempts spent by letters whose handlers never fail, so all of them for deaths."""
    ((charges,),) = file.query(
        "SELECT coalesce(sum(retry_count), 0) FROM dead_letter_queue "
        "WHERE CAST(event_bytes AS TEXT) IN ('ok:', 'takes:1', 'takes:2')"
    )
    return int(charges)


def _ended_at_random(file: DlqFile, how: signal.Signals) -> None:
    program = file.start(**SETTINGS)
    # Now and then before it drains, or opens the file, at all.
    if random.random() < 0.9:
        program.wait_for("draining")
    time.sleep(random.uniform(0, 0.12))
    program.interrupt(how)
    program.wait()


def _drain_what_is_left(file: DlqFile, letters: list[int]) -> None:
    while file.left():
        file.drain(**SETTINGS)
    file.assert_whole(letters)
    expected = [i for n, i in enumerate(letters) if EVENTS[n % len(EVENTS)] != "parks:"]
    assert file.effects() == expected


@NEEDS_SIGKILL
def test_a_drain_killed_at_random_instants_does_everything_once(dlq_file: DlqFile) -> None:
    letters = _add_letters(dlq_file, KILLS)
    for _ in range(KILLS):
        before = _charges_of_good_letters(dlq_file)
        _ended_at_random(dlq_file, signal.SIGKILL)
        dlq_file.assert_whole(letters)
        # Only the death before this one can have been charged, to one letter.
        assert _charges_of_good_letters(dlq_file) <= before + 1
    _drain_what_is_left(dlq_file, letters)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send SIGINT to one process")
def test_a_drain_interrupted_at_random_instants_charges_nobody(dlq_file: DlqFile) -> None:
    letters = _add_letters(dlq_file, INTERRUPTS)
    for _ in range(INTERRUPTS):
        _ended_at_random(dlq_file, signal.SIGINT)
        dlq_file.assert_whole(letters)
        assert _charges_of_good_letters(dlq_file) == 0
    _drain_what_is_left(dlq_file, letters)
