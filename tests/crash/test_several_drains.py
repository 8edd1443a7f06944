"""Several processes that drain one file at once."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DATA
from tests.crash.processes import DlqFile


@pytest.mark.parametrize("count", [2, 4])
def test_drains_at_once_do_every_letter_once(dlq_file: DlqFile, count: int) -> None:
    letters = dlq_file.add(*(["ok:"] * 9 + ["takes:1"]) * 400)
    settings: dict[str, Any] = {"max_transaction_time": 0.02, "yield_time": 0.01}
    programs = [dlq_file.start("opened", **settings) for _ in range(count)]
    for program in programs:
        program.wait_for("opened")
    dlq_file.let_go("go")
    reports = [program.report() for program in programs]
    assert dlq_file.left() == []
    assert dlq_file.effects() == letters
    assert sum(report["succeeded"] for report in reports) == len(letters)
    assert [report["failed"] for report in reports] == [0] * count
    # They did work beside one another: what one had planned another had done.
    assert sum(report["skipped"] for report in reports) > 0


def _longest_wait_for_a_free_file(file: DlqFile, seconds: float) -> float:
    """Of another program that looks every 5 ms, until the file is free for a tenth of a second:
    as long as SQLite pauses between two tries."""
    longest, ends_at = 0.0, time.monotonic() + seconds
    with closing(sqlite3.connect(file.path, timeout=0, isolation_level=None)) as other:
        since = free_since = time.monotonic()
        while (now := time.monotonic()) < ends_at:
            try:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
            except sqlite3.OperationalError:
                free_since = time.monotonic()
            if now - free_since >= 0.1:
                since = now
            longest = max(longest, now - since)
            time.sleep(0.005)
    return longest


@pytest.mark.parametrize("yield_times", [(0.11, 0.11, 0.11), (0.01, 0.11, 1)])
def test_drains_at_once_leave_the_file_to_others_at_one_time(
    dlq_file: DlqFile, yield_times: tuple[float, ...]
) -> None:
    """Else each takes the turn that another one gives."""
    dlq_file.add(*["takes:1"] * 20_000)
    programs = [
        dlq_file.start(max_transaction_time=0.05, yield_time=seconds) for seconds in yield_times
    ]
    for program in programs:
        program.wait_for("draining")
    time.sleep(1.5)  # until they have met
    assert _longest_wait_for_a_free_file(dlq_file, 4.0) < 2.6  # two of their periods


def test_letters_that_fail_in_one_drain_are_not_attempted_by_another(dlq_file: DlqFile) -> None:
    """What one planned while the other had not failed it yet is not due any more."""
    letters = dlq_file.add(*["fails:"] * 200)
    dlq_file.query("UPDATE dead_letter_queue SET failed_at = '2020-01-01 00:00:00'")
    settings: dict[str, Any] = {
        "max_transaction_time": 0.002,
        "yield_time": 0,
        "backoff": "fixed=3600",
    }
    programs = [dlq_file.start("opened", **settings) for _ in range(2)]
    for program in programs:
        program.wait_for("opened")
    dlq_file.let_go("go")
    reports = [program.report() for program in programs]
    assert sum(report["failed"] for report in reports) == len(letters)
    assert dlq_file.charges() == dict.fromkeys(letters, 1)
    assert dlq_file.effects() == []


def test_drains_at_once_of_a_file_of_the_crate_migrate_it_once(tmp_path: Path) -> None:
    path = tmp_path / "projection.db"
    shutil.copyfile(DATA / "azoth-0.2.5.db", path)
    file = DlqFile(path)
    file.make_tables_of_handlers()
    event_ids = [e for (e,) in file.query("SELECT event_id FROM dead_letter_queue ORDER BY 1")]
    programs = [file.start("opened", max_transaction_time=0.02) for _ in range(4)]
    for program in programs:
        program.wait_for("opened")
    file.let_go("go")
    reports = [program.report() for program in programs]
    assert sum(report["succeeded"] for report in reports) == len(event_ids) == 5000
    assert file.effects() == event_ids
    assert file.left() == []
    assert file.query("SELECT number FROM azoth_dlq_migrations") == [(1,), (2,), (5,)]
