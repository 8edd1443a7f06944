"""A file that another program keeps locked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.crash.processes import DlqFile


@contextmanager
def _locked(file: DlqFile) -> Iterator[None]:
    with closing(file.connect()) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def test_a_locked_file_is_waited_for_and_then_reported(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("ok:", "ok:")
    program = dlq_file.start("opened", busy_timeout=0.5)
    program.wait_for("opened")
    with _locked(dlq_file):
        dlq_file.let_go("go")
        program.wait_for("draining")
        began = time.monotonic()
        ending = program.ending()
        waited = time.monotonic() - began
    assert ending.ended == "StorageError"
    assert "locked by another program" in ending.message
    assert ending.report is not None
    assert ending.report["attempted"] == 0
    assert 0.4 < waited < 3
    assert dlq_file.left() == letters
    assert dlq_file.effects() == []
    assert dlq_file.charges() == {}


def test_a_file_that_is_locked_during_a_drain_keeps_what_was_done(dlq_file: DlqFile) -> None:
    letters = dlq_file.add(*["ok:"] * 4)
    program = dlq_file.start("committed", busy_timeout=0.3, max_transaction_time=0.000001)
    program.wait_for("committed")
    with _locked(dlq_file):
        dlq_file.let_go("go")
        ending = program.ending()
    assert ending.ended == "StorageError"
    assert ending.report is not None
    assert ending.report["succeeded"] == 1
    assert dlq_file.effects() == letters[:1]
    assert dlq_file.charges() == {}
    assert dlq_file.drain()["succeeded"] == 3
    dlq_file.assert_whole(letters)


def test_a_drain_goes_on_when_the_file_is_free(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("ok:", "ok:")
    program = dlq_file.start("opened", busy_timeout=30)
    program.wait_for("opened")
    with _locked(dlq_file):
        dlq_file.let_go("go")
        program.wait_for("draining")
        time.sleep(0.3)
    assert program.report()["succeeded"] == 2
    assert dlq_file.effects() == letters


def test_shutdown_ends_the_waiting_for_a_locked_file(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("ok:")
    program = dlq_file.start("opened", busy_timeout=30, shutdown_after=0.3)
    program.wait_for("opened")
    with _locked(dlq_file):
        dlq_file.let_go("go")
        report = program.report()
    assert report["stopped"] == "shutdown"
    assert 0.25 < report["duration"] < 2
    assert report["attempted"] == 0
    assert dlq_file.left() == letters
