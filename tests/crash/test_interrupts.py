"""Interrupts that go up through a drain: what was done before is committed, nobody is charged."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.crash.processes import DlqFile


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send SIGINT to one process")
def test_sigint_in_a_handler_undoes_its_letter_alone(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("ok:", "ok:", "waits:never", "ok:")
    program = dlq_file.start()
    program.wait_for("in hand")
    program.interrupt(signal.SIGINT)
    assert program.ending().ended == "KeyboardInterrupt"
    assert dlq_file.effects() == letters[:2]
    assert dlq_file.left() == letters[2:]
    assert dlq_file.charges() == {}
    # Nor does the next process take it for a death.
    dlq_file.let_go("never")
    assert dlq_file.drain()["succeeded"] == 2
    dlq_file.assert_whole(letters)


def test_system_exit_from_a_handler_undoes_its_letter_alone(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("ok:", "exits:", "ok:")
    assert dlq_file.start().ending().ended == "SystemExit"
    assert dlq_file.effects() == letters[:1]
    assert dlq_file.left() == letters[1:]
    assert dlq_file.start().ending().ended == "SystemExit"
    assert dlq_file.charges() == {}


def test_system_exit_from_the_only_letter_goes_up(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("exits:")
    assert dlq_file.start().ending().ended == "SystemExit"
    assert dlq_file.effects() == []
    assert dlq_file.left() == letters
