"""Eight processes that run on one file: beside other programs, and while some stand still."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.attacks import Attack
from tests.crash import calls
from tests.crash.crate import BUSY_SECONDS
from tests.crash.processes import DlqFile, Program

PROCESSES = 8
EVENTS = (
    *("takes:1", "ok:", "takes:1", "fails:", "batch:1", "batch:1", "takes:1", "ok:", "flaky:"),
    *("takes:2", "parks:"),
)
TIMEOUT_SECONDS = 0.4
SETTINGS: dict[str, Any] = {
    "max_retries": 10**6,
    "max_transaction_time": 0.02,
    "check_interval": 1,
    "backoff": "fixed=1",
}


def _start(file: DlqFile, **settings: Any) -> list[Program]:
    programs = [file.start(runs=True, **{**SETTINGS, **settings}) for _ in range(PROCESSES)]
    for program in programs:
        program.wait_for("running")
    return programs


def _end(programs: Sequence[Program]) -> list[dict[str, Any]]:
    """Their reports."""
    for program in programs:
        program.interrupt(signal.SIGTERM)
    return [program.report() for program in programs]


def _events(file: DlqFile, table: str) -> list[int]:
    return [event for (event,) in file.query(f"SELECT event_id FROM {table}")]  # noqa: S608 -- ours


def test_eight_processes_and_two_other_programs_share_a_file(
    dlq_file: DlqFile, attack: Attack
) -> None:
    seconds = attack.size(4, long=60)
    letters = dlq_file.add(*EVENTS * (40 * seconds))
    crate, writer = dlq_file.run("crate"), dlq_file.run("writer")
    crate.wait_for("writing")
    writer.wait_for("writing")
    programs = _start(dlq_file)
    time.sleep(seconds)
    dlq_file.let_go("enough")
    ((seen,), (wrote,)) = crate.last_words(), writer.last_words()
    reports = _end(programs)
    attack.struck("second of eight processes beside two other programs", seconds)
    longest = max(*seen["longest"].values(), *wrote["waits"])
    attack.measured("longest wait of two programs beside eight processes, s", longest)

    assert (seen["refused"], seen["wrong"]) == ([], [])
    assert longest < BUSY_SECONDS
    # Each of the eight had its share.
    assert all(report["succeeded"] > 0 for report in reports)
    dlq_file.drain(**SETTINGS)
    effects, parked = _events(dlq_file, "effects"), _events(dlq_file, "permanent_failures")
    left = _events(dlq_file, "dead_letter_queue")
    places = Counter([*effects, *left, *parked, *seen["deleted"]])
    assert places == Counter([*letters, *seen["added"], *wrote["ids"]])
    assert sum(report["succeeded"] for report in reports) <= len(effects)
    assert dlq_file.query("PRAGMA integrity_check") == [("ok",)]


def test_processes_that_stand_still_longer_than_any_timeout_go_on_where_they_were(
    dlq_file: DlqFile, attack: Attack
) -> None:
    """What they hold is theirs all the while: a lock, or the claim of a call outside."""
    pauses = attack.size(1, long=60)
    events = ("takes:1", "outside:1", "ok:", "outside_batch:", "batch:1", "outside:", "ok:")
    letters = dlq_file.add(*events * (60 * pauses))
    programs = _start(dlq_file, busy_timeout=TIMEOUT_SECONDS)
    for _ in range(pauses):
        program = random.choice(programs)
        # What becomes of a call is to be written between them: it waits ten timeouts, and no more.
        time.sleep(random.uniform(0, 0.4))
        program.interrupt(signal.SIGSTOP)
        time.sleep(3 * TIMEOUT_SECONDS)
        program.interrupt(signal.SIGCONT)
        attack.struck("process that stands still for three times its timeout")
    while dlq_file.left():
        time.sleep(0.05)
    reports = _end(programs)
    assert sum(report["succeeded"] for report in reports) == len(letters)
    assert [report["failed"] for report in reports] == [0] * PROCESSES
    outside = [i for n, i in enumerate(letters) if events[n % len(events)].startswith("outside")]
    assert calls.begun(dlq_file.path.parent) == dict.fromkeys(outside, 1)
    assert dlq_file.effects() == [letter for letter in letters if letter not in set(outside)]
    assert dlq_file.query("PRAGMA integrity_check") == [("ok",)]
