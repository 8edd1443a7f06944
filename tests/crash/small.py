"""A file of a few letters that meet everything that a drain does, in as few changes as may be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests.crash.processes import DlqFile

EVENTS = ("ok:", "fails:", "grows:9000", "parks:", "outside:", "batch:", "ok:")
LETTERS = range(1, len(EVENTS) + 1)  # their ids
OUTSIDE = EVENTS.index("outside:") + 1
PARKED = {EVENTS.index("fails:") + 1, EVENTS.index("parks:") + 1}
# A group, and so a COMMIT, for each letter or two.
SETTINGS: dict[str, Any] = {
    "min_age": 0,
    "backoff": "fixed=0",
    "stop_on_consecutive_failures": "never",
    "max_retries": 2,
    "max_transaction_time": 1e-6,
    "yield_time": 0,
}


def make(path: Path, journal_mode: str) -> DlqFile:
    file = DlqFile.make(path, journal_mode)
    assert file.add(*EVENTS) == list(LETTERS)
    return file


def assert_whole(file: DlqFile) -> None:
    """The file is sound, and each letter is done once, or waits, or is parked. What is done outside
    leaves no effect in the file."""
    assert file.query("PRAGMA integrity_check") == [("ok",)]
    places = Counter([*file.effects(), *file.left(), *file.parked()])
    places[OUTSIDE] = 1
    assert places == Counter(LETTERS)


def assert_done(file: DlqFile) -> None:
    """No letter waits, and each is where it belongs."""
    assert_whole(file)
    assert file.left() == []
    assert set(file.parked()) == PARKED
