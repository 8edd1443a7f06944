"""The totals of groups, of one drain and of several."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from azoth_dlq.engine.tally import Tally
from azoth_dlq.types import ReplayReport


def test_a_tally_starts_empty() -> None:
    tally = Tally()
    assert tally.counts == {}
    assert tally.commonest() == ()


def test_the_counts_of_groups_add_up_to_a_report() -> None:
    tally = Tally()
    tally.add({"succeeded": 5, "failed": 1, "parked": 1}, ["boom"])
    tally.add({"succeeded": 2, "failed": 2, "skipped": 3}, ["boom", "crash"])
    at = datetime(2026, 11, 24, tzinfo=UTC)
    counts: dict[str, Any] = {**tally.counts}
    assert ReplayReport(started_at=at, errors=tally.commonest(), **counts) == ReplayReport(
        started_at=at,
        succeeded=7,
        failed=3,
        parked=1,
        skipped=3,
        errors=(("boom", 2), ("crash", 1)),
    )


def test_a_drain_and_its_run_tally_the_same_group_apart() -> None:
    drain, run = Tally(), Tally()
    run.add({"failed": 1}, ["before"])
    for tally in (drain, run):
        tally.add({"failed": 1}, ["boom"])
    assert (drain.counts, drain.commonest()) == ({"failed": 1}, (("boom", 1),))
    assert (run.counts, run.commonest()) == ({"failed": 2}, (("before", 1), ("boom", 1)))


def test_what_was_added_last_is_not_added_again() -> None:
    tally, groups = Tally(), [object(), object()]
    for of in (groups[0], groups[0], groups[1], None, None):
        tally.add({"failed": 1}, ["boom"], of)
    assert (tally.counts, tally.commonest()) == ({"failed": 4}, (("boom", 4),))


def test_counts_handed_out_are_not_the_tallys_own() -> None:
    tally = Tally()
    tally.add({"failed": 1}, [])
    tally.counts["failed"] = 9
    assert tally.counts == {"failed": 1}


def kind(number: int) -> str:
    """An error whose template no other number shares."""
    return f"{'abcdefghij'[number % 10] * (number // 10 + 1)} is down"


def test_errors_of_one_template_are_one_told_by_the_first_of_them() -> None:
    tally = Tally()
    tally.add({}, ["timeout after 30 s", "timeout after 5 s", "no such host"])
    tally.add({}, ["timeout after 9 s"])
    assert tally.commonest() == (("timeout after 30 s", 3), ("no such host", 1))


def test_kinds_of_errors_beyond_the_first_thousand_are_counted_together() -> None:
    tally = Tally()
    tally.add({}, [kind(n) for n in range(1500)])
    tally.add({}, [kind(1400), kind(7)])
    assert tally.commonest()[0] == (kind(7), 2)
    assert tally.commonest()[-1] == ("(other errors)", 1502 - 2 - 9)


def test_an_error_is_told_by_its_first_two_hundred_characters() -> None:
    tally = Tally()
    tally.add({}, ["x" * 300, "x" * 200 + "y", "\ud800" * 300])
    told = ("\ud800" * 200, "x" * 200, "x" * 200)
    assert sorted(tally.commonest()) == sorted((text, 1) for text in told)
