"""What the history tells of attempts that ended with their process."""

from __future__ import annotations

import pytest

from azoth_dlq import DeadLetterQueue
from tests.crash.processes import DlqFile


@pytest.mark.parametrize("way", ["exit", "segfault"])
def test_a_death_in_a_handler_is_an_attempt_that_died(dlq_file: DlqFile, way: str) -> None:
    good, culprit = dlq_file.add("ok:", f"dies:{way}")
    assert dlq_file.start(max_retries=3).wait() != 0
    # It charges the death of the one before, and leaves the letter for the next.
    dlq_file.drain(max_retries=3)
    with DeadLetterQueue.open(dlq_file.path) as queue:
        [attempt] = queue.history(culprit)
        assert (attempt.outcome, attempt.error_type, attempt.duration) == ("died", "", None)
        assert "process died while the handler" in attempt.message
        assert attempt.traceback == ""
        assert queue.history(good) == []
    for _ in range(2):
        assert dlq_file.start(max_retries=3).wait() != 0
        dlq_file.drain(max_retries=3)
    with DeadLetterQueue.open(dlq_file.path) as queue:
        [failure] = queue.permanent_failures()
        kept = queue.history(failure.id, parked=True)
    assert [attempt.outcome for attempt in kept] == ["died"] * 3
    assert sorted(kept, key=lambda attempt: attempt.at) == kept


def test_a_death_between_failures_keeps_its_place(dlq_file: DlqFile) -> None:
    [letter] = dlq_file.add("fails:")
    dlq_file.drain()
    dlq_file.query("UPDATE dead_letter_queue SET event_bytes = CAST('dies:exit' AS BLOB)")
    assert dlq_file.start().wait() != 0
    dlq_file.query("UPDATE dead_letter_queue SET event_bytes = CAST('fails:' AS BLOB)")
    for _ in range(2):
        dlq_file.drain()
    with DeadLetterQueue.open(dlq_file.path) as queue:
        outcomes = [attempt.outcome for attempt in queue.history(letter)]
    assert outcomes == ["failed", "died", "failed"]
    assert dlq_file.charges() == {letter: 3}
