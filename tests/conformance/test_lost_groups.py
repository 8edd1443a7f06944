"""The engine over every store: groups that are lost are done again, and one letter pays for it."""

from __future__ import annotations

import pytest

from azoth_dlq import (
    StorageError,
)
from tests.conformance.work import Work


@pytest.mark.parametrize(
    ("rogue", "calls"),
    [
        ("loses", [1, 2, 3, 1, 2, 4, 5]),  # its group is done again without it
        ("commits", [1, 2, 3, 4, 5]),  # what was called is committed: nothing is called again
    ],
)
def test_only_the_letter_that_ended_the_transaction_fails(
    work: Work, rogue: str, calls: list[int]
) -> None:
    work.letters("ok", "ok", rogue, "ok", "ok")
    report = work.drain()
    assert (report.succeeded, report.failed, report.skipped) == (4, 1, 0)
    assert work.calls == calls
    assert work.left() == [3]
    assert set(work.backend.effects()) >= {1, 2, 4, 5}
    (letter,) = work.store.read()
    assert letter.retry_count == 1
    assert "ended the transaction" in str(letter.last_error)


@pytest.mark.parametrize("rogue", ["loses", "commits"])
def test_no_letter_of_a_lost_group_is_settled_twice(work: Work, rogue: str) -> None:
    work.letters("fails", "later", "snoozes", "poison", "unknown", "ok", rogue, "ok")
    report = work.drain()
    assert (report.succeeded, report.failed, report.snoozed, report.skipped) == (2, 5, 1, 0)
    counts = {letter.event_id: letter.retry_count for letter in work.store.read()}
    assert counts == {1: 1, 2: 1, 3: 0, 5: 1, 7: 1}
    assert list(work.reasons()) == [4]


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("place", [0, -1])
def test_the_letter_that_cannot_be_committed_is_found_by_halving(
    work: Work, count: int, place: int
) -> None:
    kinds = ["ok"] * count
    kinds[place] = "spoils"
    work.letters(*kinds)
    report = work.drain()
    assert (report.succeeded, report.failed) == (count - 1, 1)
    culprit = kinds.index("spoils") + 1
    assert work.left() == [culprit]
    assert work.backend.effects() == [n for n in range(1, count + 1) if n != culprit]


def test_letters_without_a_handler_do_not_hide_the_one_that_cannot_be_committed(
    work: Work,
) -> None:
    work.letters("unknown", "unknown", "spoils", "unknown", "ok")
    report = work.drain()
    assert (report.succeeded, report.failed) == (1, 4)
    assert work.backend.effects() == [5]
    assert {letter.retry_count for letter in work.store.read()} == {1}


def test_letters_that_cannot_be_committed_are_found_among_others_of_their_kind(
    work: Work,
) -> None:
    work.letters("loses", "spoils", "spoils", "loses", "spoils", "ok")
    report = work.drain()
    assert (report.succeeded, report.failed, report.skipped) == (1, 5, 0)
    assert work.backend.effects() == [6]
    assert {letter.retry_count for letter in work.store.read()} == {1}


def test_unreadable_letters_do_not_hide_the_one_that_cannot_be_committed(work: Work) -> None:
    work.letters("spoils")
    work.backend.insert(event_id="two")
    work.backend.insert(event_id=3)
    report = work.drain()
    assert (report.succeeded, report.failed, report.unreadable) == (1, 1, 1)
    assert work.backend.effects() == [3]
    assert work.left() == [1]


def test_a_trailing_unreadable_letter_does_not_hide_the_one_that_cannot_be_committed(
    work: Work,
) -> None:
    work.letters("spoils")
    work.backend.insert(event_id="two")
    report = work.drain()
    assert (report.failed, report.unreadable) == (1, 1)


def test_letters_without_a_handler_do_not_hide_a_fault(work: Work) -> None:
    work.letters("unknown", "unknown", "full", "ok")
    with pytest.raises(StorageError) as raised:
        work.drain()
    assert raised.value.report is not None
    assert (raised.value.report.succeeded, raised.value.report.failed) == (0, 2)
    assert work.calls[-1] == 3
    assert work.left() == [1, 2, 3, 4]


def test_letters_without_a_handler_count_towards_the_end_of_a_group(work: Work) -> None:
    work.letters("unknown", "unknown", "unknown")
    reports: list[int] = []
    work.drain(max_transaction_time=1e-6, on_progress=lambda report: reports.append(report.failed))
    assert reports == [1, 2, 3]


def test_a_fault_of_the_database_charges_nobody(work: Work) -> None:
    work.letters("ok", "ok", "full", "ok")
    with pytest.raises(StorageError) as raised:
        work.drain()
    assert raised.value.report is not None
    assert (raised.value.report.succeeded, raised.value.report.failed) == (2, 0)
    assert work.backend.effects() == [1, 2]
    assert [letter.retry_count for letter in work.store.read()] == [0, 0]
    assert work.backend.others_can_write()


def test_an_interrupt_goes_on_up_with_the_letters_before_it_committed(work: Work) -> None:
    work.letters("ok", "interrupts", "ok")
    with pytest.raises(KeyboardInterrupt):
        work.drain()
    assert work.backend.effects() == [1]
    assert work.left() == [2, 3]
    assert [letter.retry_count for letter in work.store.read()] == [0, 0]
    # Nobody died.
    assert work.drain(limit=0).failed == 0
    assert work.left() == [2, 3]
