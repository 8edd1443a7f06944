"""Processes that drain until nothing is left, though handlers kill them."""

from __future__ import annotations

from tests.crash.processes import DlqFile

MAX_RETRIES = 2


def assert_two_die_no_more_often_than_one(
    file: DlqFile, good: str, deadly: str, *, beside: int
) -> None:
    """Two processes at a time, and `beside` good letters on each side of the deadly one."""
    letters = file.add(*[good] * beside, deadly, *[good] * beside)
    culprit = letters[beside]
    deaths = 0
    while file.left():
        programs = [
            file.start(max_retries=MAX_RETRIES, max_transaction_time=0.005, yield_time=0)
            for _ in range(2)
        ]
        deaths += sum(program.wait() != 0 for program in programs)
        assert deaths <= MAX_RETRIES + 1
        assert set(file.charges()) <= {culprit}
    assert file.effects() == [letter for letter in letters if letter != culprit]
    assert list(file.parked()) == [culprit]
    file.assert_whole(letters)
