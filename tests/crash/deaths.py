"""Processes that drain until nothing is left, though handlers kill them."""

from __future__ import annotations

from tests.crash.processes import DlqFile, Program

MAX_RETRIES = 2


def assert_a_crowd_dies_no_more_often_than_one(
    file: DlqFile, events: list[str], deadly: str, *, processes: int
) -> None:
    """So many processes at a time; `deadly` is one of the events."""
    letters = file.add(*events)
    culprit = letters[events.index(deadly)]
    programs: list[Program] = []
    while file.left():
        programs += [
            file.start(max_retries=MAX_RETRIES, max_transaction_time=0.005, yield_time=0)
            for _ in range(processes)
        ]
        ends = [(program.wait(), program.said) for program in programs]
        deaths = sum(status != 0 for status, _ in ends)
        assert deaths <= MAX_RETRIES + 1, (ends, file.charges())
        assert set(file.charges()) <= {culprit}
    assert file.effects() == [letter for letter in letters if letter != culprit]
    assert list(file.parked()) == [culprit]
    assert "process died" in file.parked()[culprit]
    file.assert_whole(letters)
