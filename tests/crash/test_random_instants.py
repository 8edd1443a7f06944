"""Drains that are killed or interrupted at random instants, and started again until all is done."""

from __future__ import annotations

import random
import signal
import sys
import time
from typing import Any

import pytest

from tests.attacks import Attack
from tests.crash.processes import NEEDS_SIGKILL, DlqFile, Program

# Some are charged for deaths, none so often that it is parked.
SETTINGS: dict[str, Any] = {"max_retries": 10**6, "max_transaction_time": 0.01, "yield_time": 0}
EVENTS = ("takes:1", *["ok:"] * 15, "flaky:", "takes:2", *["ok:"] * 15, "parks:")
ALONE_OR_TOGETHER = pytest.mark.parametrize(
    "processes", [1, 4], ids=["one process", "four processes"]
)


def _event(number: int) -> str:
    return EVENTS[number % len(EVENTS)]


def _charges_of_good_letters(file: DlqFile) -> int:
    """Attempts spent by letters whose handlers never fail, so all of them for deaths."""
    ((charges,),) = file.query(
        "SELECT coalesce(sum(retry_count), 0) FROM dead_letter_queue "
        "WHERE CAST(event_bytes AS TEXT) IN ('ok:', 'takes:1', 'takes:2')"
    )
    return int(charges)


class Crowd:
    """Processes that drain one file at once. One after another is struck, and another one takes its
    place, until nothing is left."""

    def __init__(
        self, file: DlqFile, processes: int, how: signal.Signals, blows: int, letters: int
    ) -> None:
        self._file = file
        self._how = how
        self._blows = blows
        self._count = letters
        self._programs = [self._start() for _ in range(processes)]
        self._letters: list[int] = []
        self.struck = 0

    def _start(self) -> Program:
        return self._file.start(**SETTINGS)

    def drain(self, charged_at_a_blow: int) -> None:
        """A new set of letters."""
        self._letters = self._file.add(*map(_event, range(self._count)))
        before = self.struck
        while self._file.left():
            if self.struck < self._blows:
                self._strike()
                self._file.assert_whole(self._letters)
                charges = (self.struck - before) * charged_at_a_blow
                assert _charges_of_good_letters(self._file) <= charges
            else:
                self._file.drain(**SETTINGS)
        self._end()

    def _strike(self) -> None:
        place = random.randrange(len(self._programs))
        program = self._programs[place]
        # Now and then before it drains, or opens the file, at all.
        if random.random() < 0.9 and "draining" not in program.said:
            program.wait_for("draining")
        time.sleep(random.uniform(0, 0.12))
        if not program.has_ended:
            program.interrupt(self._how)
            self.struck += 1
            program.wait()
        else:
            program.report()
        self._programs[place] = self._start()

    def _end(self) -> None:
        """Each letter is where it belongs; the file is emptied."""
        self._file.assert_whole(self._letters)
        good = [i for n, i in enumerate(self._letters) if _event(n) != "parks:"]
        assert self._file.effects() == good
        for table in ("effects", "permanent_failures"):
            self._file.query(f"DELETE FROM {table}")  # noqa: S608 -- ours


@NEEDS_SIGKILL
@ALONE_OR_TOGETHER
def test_drains_killed_at_random_instants_do_everything_once(
    dlq_file: DlqFile, attack: Attack, processes: int
) -> None:
    blows = attack.size(3, long=500)
    crowd = Crowd(dlq_file, processes, signal.SIGKILL, blows, attack.size(5_000, long=20_000))
    while crowd.struck < blows:
        crowd.drain(charged_at_a_blow=1)
    attack.struck("SIGKILL at a random instant", crowd.struck)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send SIGINT to one process")
@ALONE_OR_TOGETHER
def test_drains_interrupted_at_random_instants_charge_nobody(
    dlq_file: DlqFile, attack: Attack, processes: int
) -> None:
    blows = attack.size(2, long=100)
    crowd = Crowd(dlq_file, processes, signal.SIGINT, blows, attack.size(3_000, long=20_000))
    while crowd.struck < blows:
        crowd.drain(charged_at_a_blow=0)
    attack.struck("SIGINT at a random instant", crowd.struck)
