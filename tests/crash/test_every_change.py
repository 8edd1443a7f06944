"""Each change that a drain makes to files is the last of its process, or fails.

The suite takes every eleventh change, with `--long` every one.
"""

from __future__ import annotations

import itertools
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks import Attack
from tests.crash import small
from tests.crash.faults import (
    Fault,
    Forker,
    Journal,
    Outcome,
    dead_disk,
    full_disk,
    input_output_error,
    killed,
    killed_halfway,
    short_write,
)
from tests.crash.processes import DlqFile

KILL_AT_A_CHANGE = "SIGKILL at a write, sync, truncation or removal"
CHANGE_THAT_FAILS = "write, sync, truncation or removal that fails"
WHAT: dict[Callable[[int], Fault], str] = {
    killed: KILL_AT_A_CHANGE,
    killed_halfway: KILL_AT_A_CHANGE,
    input_output_error: f"{CHANGE_THAT_FAILS} (EIO, once)",
    dead_disk: f"{CHANGE_THAT_FAILS} (EIO from then on)",
    full_disk: f"{CHANGE_THAT_FAILS} (ENOSPC)",
    short_write: f"{CHANGE_THAT_FAILS} (short write)",
}
WHAT_FAILED = re.compile(
    "cannot be read or written|disk is full|cannot be opened|No space left|Input/output error"
)


@pytest.fixture(params=["wal", "delete", "truncate", "persist"])
def journal(request: pytest.FixtureRequest) -> Journal:
    return Journal(request.param)


class Faulty:
    """Drains of a small file, each of a copy of its own, with a fault at every change."""

    def __init__(self, forker: Forker, folder: Path, journal: Journal, attack: Attack) -> None:
        self._forker = forker
        self._attack = attack
        self._journal = journal
        self._folder = folder / "copy"
        (folder / "original").mkdir()
        self._original = small.make(folder / "original" / "projection.db", journal.mode).path

    def drains(self, how: Callable[[int], Fault]) -> Iterator[tuple[DlqFile, Outcome]]:
        """One for each change that a drain makes, or for every so many; what is left of each is
        done afterwards."""
        for at in itertools.count(1, self._attack.size(23, long=1)):
            self._folder.mkdir()
            shutil.copy(self._original, self._folder)
            file = DlqFile(self._folder / self._original.name)
            outcome = self._forker.drain(file.path, self._journal, fault=how(at))
            if outcome.status == 0 and outcome.changes < at:
                assert at > 40  # the shim sees what is done
                break
            self._attack.struck(WHAT[how])
            yield file, outcome
            self._do_the_rest(file)
            shutil.rmtree(self._folder)

    def _do_the_rest(self, file: DlqFile) -> None:
        for _ in range(small.SETTINGS["max_retries"]):
            outcome = self._forker.drain(file.path, self._journal)
            assert outcome.ending is not None
            assert outcome.ending.ended == "returned", outcome
        small.assert_done(file)


@pytest.fixture
def faulty(forker: Forker, tmp_path: Path, journal: Journal, attack: Attack) -> Faulty:
    return Faulty(forker, tmp_path, journal, attack)


@pytest.mark.parametrize("how", [killed, killed_halfway])
def test_a_process_killed_at_any_change_has_done_everything_once(
    faulty: Faulty, how: Callable[[int], Fault]
) -> None:
    for file, outcome in faulty.drains(how):
        assert outcome.status == -signal.SIGKILL
        small.assert_whole(file)


def _assert_told(file: DlqFile, outcome: Outcome) -> None:
    """The drain told what failed, and its figures are those of the file."""
    ending = outcome.ending
    assert ending is not None, outcome
    assert ending.ended in ("returned", "StorageError"), ending
    if ending.ended == "StorageError":
        assert WHAT_FAILED.search(ending.message), ending
    done = len(small.EVENTS) - len(file.left()) - len(file.parked())
    told = (
        (0, 0) if ending.report is None else (ending.report["succeeded"], ending.report["parked"])
    )
    assert told == (done, len(file.parked())), ending


@pytest.mark.parametrize("how", [input_output_error, dead_disk, full_disk, short_write])
def test_any_change_that_fails_is_told_and_nothing_is_lost(
    faulty: Faulty, how: Callable[[int], Fault]
) -> None:
    for file, outcome in faulty.drains(how):
        small.assert_whole(file)
        _assert_told(file, outcome)
