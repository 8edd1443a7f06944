"""Handlers that would end the transaction, seen from outside the process."""

from __future__ import annotations

import pytest

from tests.crash.processes import DlqFile

ROGUES = [
    "commits",
    "commits_quietly",
    "executes_commit",
    "commits_and_begins",
    "rolls_back",
    "closes",
    "runs_script",
    "conflicts",
]


@pytest.mark.parametrize("rogue", ROGUES)
def test_a_handler_that_would_end_the_transaction_fails_alone(
    dlq_file: DlqFile, rogue: str
) -> None:
    letters = dlq_file.add("ok:", "ok:", f"{rogue}:", "ok:", "ok:")
    report = dlq_file.drain()
    assert (report["succeeded"], report["failed"]) == (4, 1)
    assert dlq_file.charges() == {letters[2]: 1}
    assert dlq_file.effects() == [letter for letter in letters if letter != letters[2]]
    dlq_file.assert_whole(letters)


def test_effects_that_were_committed_behind_the_guard_are_not_made_twice(
    dlq_file: DlqFile,
) -> None:
    letters = dlq_file.add("ok:", "ok:", "commits_unguarded:", "ok:", "ok:")
    report = dlq_file.drain()
    assert (report["succeeded"], report["failed"]) == (4, 1)
    assert dlq_file.effects() == letters
    assert dlq_file.left() == [letters[2]]


def test_a_process_that_dies_after_its_handler_committed_has_done_no_letter_twice(
    dlq_file: DlqFile,
) -> None:
    """The guard refuses the commit, so the death takes the whole group back."""
    letters = dlq_file.add("ok:", "commits_quietly:", "waits:never", "ok:")
    program = dlq_file.start()
    program.wait_for("in hand")
    program.kill()
    assert dlq_file.effects() == []
    dlq_file.drain()
    assert dlq_file.effects() == [letters[0], letters[3]]
    assert dlq_file.charges() == {letters[1]: 1, letters[2]: 1}
