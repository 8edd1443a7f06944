"""Drains beside the Rust crate azoth 0.2.5, which uses the same file all the time."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from tests.attacks import Attack
from tests.crash.crate import BUSY_SECONDS
from tests.crash.processes import DlqFile

EVENTS = ("takes:1", "ok:", "takes:1", "fails:", "takes:1", "ok:", "takes:1", "takes:2", "parks:")
SETTINGS: dict[str, Any] = {"max_retries": 10**6}
VERBS = {"add", "retry", "postpone", "delete", "count", "read_batch", "look"}


def _events(file: DlqFile, table: str) -> list[int]:
    return [event for (event,) in file.query(f"SELECT event_id FROM {table}")]  # noqa: S608 -- ours


@pytest.mark.parametrize(
    ("group", "rest"), [(0.25, 0.0), (0.01, 0.01)], ids=["long groups", "many turns"]
)
def test_each_respects_what_the_other_does(
    dlq_file: DlqFile, attack: Attack, group: float, rest: float
) -> None:
    seconds = attack.size(4, long=60)
    letters = dlq_file.add(*EVENTS * (24 * seconds // 2))
    crate = dlq_file.run("crate")
    crate.wait_for("writing")
    reports: list[dict[str, Any]] = []
    ends_at = time.monotonic() + seconds / 2
    while time.monotonic() < ends_at or len(reports) < 2:
        reports.append(dlq_file.drain(rest=rest, max_transaction_time=group, **SETTINGS))
    dlq_file.let_go("enough")
    (seen,) = crate.last_words()
    attack.struck("statement of the crate beside a drain", sum(seen["done"].values()))
    attack.measured("longest wait of the crate, s", max(seen["longest"].values()))

    # Both made progress, nobody was refused, and what the crate read was so at that instant.
    assert (seen["refused"], seen["wrong"]) == ([], [])
    assert seen["done"].keys() == VERBS
    assert max(seen["longest"].values()) < BUSY_SECONDS
    # What it deleted or put off was not done, all else was done once.
    reports.append(dlq_file.drain(**SETTINGS))
    parked, effects = _events(dlq_file, "permanent_failures"), _events(dlq_file, "effects")
    left = _events(dlq_file, "dead_letter_queue")
    places = Counter([*effects, *left, *parked, *seen["deleted"]])
    assert places == Counter([*letters, *seen["added"]])
    failing = [i for n, i in enumerate(letters) if EVENTS[n % len(EVENTS)] == "fails:"]
    assert sorted(left) == sorted([*failing, *seen["postponed"]])
    # Its retries and ours add up.
    ((attempts,),) = dlq_file.query(
        "SELECT sum(retry_count) FROM dead_letter_queue WHERE event_bytes = CAST('fails:' AS BLOB)"
    )
    ours = sum(report["failed"] - report["parked"] for report in reports)
    assert attempts == seen["retried_failing"] + ours
    # The reports tell what was done, and that letters were changed or gone.
    assert sum(report["succeeded"] for report in reports) == len(effects)
    assert sum(report["parked"] for report in reports) == len(parked)
    skipped = sum(report["skipped"] for report in reports)
    assert skipped <= sum(seen["done"][verb] for verb in ("retry", "postpone", "delete"))
    assert skipped > 0 or not rest
    assert dlq_file.query("PRAGMA integrity_check") == [("ok",)]
