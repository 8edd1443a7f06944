"""The engine over every store: what a drain makes of letters."""

from __future__ import annotations

from typing import Any

import pytest

from azoth_dlq import (
    ReplayPriority,
    ReplayReport,
    StorageError,
)
from tests.conformance.work import Work

# Outcomes


def test_a_replayed_letter_leaves_its_effect_and_nothing_else(work: Work) -> None:
    work.letters("ok", "ok", "ok")
    assert work.drain().succeeded == 3
    assert work.backend.effects() == [1, 2, 3]
    assert work.backend.ids() == []
    assert work.store.figures().parked == 0


def test_a_failed_letter_stays_with_its_error_and_without_its_effect(work: Work) -> None:
    work.letters("ok", "fails", "ok")
    report = work.drain()
    assert (report.succeeded, report.failed, report.parked) == (2, 1, 0)
    assert work.backend.effects() == [1, 3]
    (letter,) = work.store.read()
    assert (letter.event_id, letter.retry_count) == (2, 1)
    assert letter.last_retry_at == "2026-11-24T12:00:00.000000Z"
    assert letter.last_error == "ValueError: bad"


def test_a_letter_is_parked_with_its_last_attempt(work: Work) -> None:
    work.letters("fails")
    for _ in range(2):
        work.drain(max_retries=3)
        work.clock.move(hours=1)
    assert work.store.figures().parked == 0
    report = work.drain(max_retries=3)
    assert (report.failed, report.parked) == (1, 1)
    assert work.backend.ids() == []
    assert "failed 3 of 3 attempts" in work.reasons()[1]


def test_a_letter_that_is_not_retryable_is_parked_at_once(work: Work) -> None:
    work.letters("poison", "ok")
    report = work.drain()
    assert (report.succeeded, report.failed, report.parked) == (1, 1, 1)
    assert work.reasons() == {1: "not retryable: NonRetryable: never"}
    assert work.backend.effects() == [2]


def test_a_handlers_delay_takes_the_place_of_the_backoff(work: Work) -> None:
    work.letters("later")
    work.drain()
    work.clock.move(seconds=3599)
    assert work.drain().attempted == 0
    work.clock.move(seconds=1)
    assert work.drain().attempted == 1
    assert work.store.read()[0].retry_count == 2


def test_a_snoozed_letter_spends_no_attempt(work: Work) -> None:
    work.letters("snoozes")
    assert work.drain().snoozed == 1
    work.clock.move(seconds=59)
    assert work.drain().attempted == 0
    work.clock.move(seconds=1)
    assert work.drain().snoozed == 1
    assert work.store.read()[0].retry_count == 0
    assert work.backend.effects() == []


def test_an_exhausted_letter_is_parked_unattempted(work: Work) -> None:
    work.backend.insert(event_id=1, retry_count=5)
    report = work.drain(max_retries=5)
    assert (report.attempted, report.exhausted, report.parked) == (0, 1, 1)
    assert "max_retries is 5" in work.reasons()[1]
    assert work.calls == []


@pytest.mark.parametrize(
    "columns",
    [
        {"failed_at": "yesterday"},
        {"last_retry_at": "later"},
        {"retry_count": -1},
        {"retry_count": "many"},
        {"retry_count": 1.5},
    ],
)
def test_an_unreadable_letter_is_parked_and_stops_nobody(
    work: Work, columns: dict[str, Any]
) -> None:
    work.letters("ok")
    work.backend.insert(event_id=2, **columns)
    report = work.drain()
    assert (report.succeeded, report.unreadable, report.parked) == (1, 1, 1)
    name, value = next(iter(columns.items()))
    assert work.reasons()[2].startswith(f"unreadable: {name}")
    assert getattr(work.store.read(parked=True)[0], name) == value


def test_long_event_bytes_reach_the_handler_whole(work: Work) -> None:
    seen = []
    work.registry.register("long", lambda _conn, _event_id, payload: seen.append(payload))
    payload = bytes(range(128)) * 1000
    work.backend.insert(event_bytes=b"long:" + payload)
    assert work.drain().succeeded == 1
    assert seen == [payload]


# Which letters, and in which order


def test_letters_that_are_not_due_are_left_alone(work: Work) -> None:
    work.backend.insert(event_id=1, failed_at="2026-11-24 11:59:59")
    work.backend.insert(event_id=2)
    report = work.drain(limit=1)
    assert (report.succeeded, report.waiting) == (1, 1)
    assert work.left() == [1]
    assert work.drain(now=True).succeeded == 1


@pytest.mark.parametrize(
    ("priority", "order"),
    [
        (ReplayPriority.FIFO, [3, 1, 2]),
        (ReplayPriority.LIFO, [2, 1, 3]),
        (ReplayPriority.BY_RETRY_COUNT, [1, 2, 3]),
        (ReplayPriority.by_error_type(["TIME", "nö"]), [2, 1, 3]),
    ],
)
def test_letters_are_attempted_in_the_order_of_the_priority(
    work: Work, priority: ReplayPriority, order: list[int]
) -> None:
    work.backend.insert(event_id=1, failed_at="2026-11-24 02:00:00", error_message="nÖ nö")
    work.backend.insert(
        event_id=2, failed_at="2026-11-24T03:00:00Z", error_message="timed out time"
    )
    work.backend.insert(event_id=3, failed_at="2026-11-24T02:00:00+01:00", retry_count=1)
    work.drain(priority=priority)
    assert work.calls == order


def test_a_limit_takes_the_first_of_them(work: Work) -> None:
    work.letters("ok", "ok", "ok")
    assert work.drain(limit=2).attempted == 2
    assert work.left() == [3]


def test_what_others_changed_since_the_plan_is_skipped(work: Work) -> None:
    _, gone, changed, _ = work.letters("ok", "ok", "ok", "ok")

    def others_come(report: ReplayReport) -> None:
        if report.succeeded == 1:
            work.backend.remove(gone)
            work.backend.update(changed, retry_count=1)

    report = work.drain(on_progress=others_come, max_transaction_time=1e-6)
    assert (report.succeeded, report.skipped) == (2, 2)
    assert work.calls == [1, 4]
    assert work.left() == [3]


# Stopping, waiting, deaths


def test_a_shutdown_ends_the_drain_after_the_letter_in_hand(work: Work) -> None:
    work.letters("ok", "shuts down", "ok")
    report = work.drain()
    assert (report.succeeded, report.stopped) == (2, "shutdown")
    assert work.backend.effects() == [1, 2]
    assert work.left() == [3]


def test_failures_in_a_row_stop_the_drain(work: Work) -> None:
    work.letters("fails", "ok", "fails", "fails", "ok")
    report = work.drain(stop_on_consecutive_failures=2)
    assert (report.succeeded, report.failed, report.stopped) == (1, 3, "failures")
    assert work.left() == [1, 3, 4, 5]


def test_a_writer_that_stays_ends_the_drain_with_nothing_lost(work: Work) -> None:
    work.letters("ok")
    with work.backend.another_writes(), pytest.raises(StorageError, match="locked"):
        work.drain(busy_timeout=0.05)
    assert work.calls == []
    assert work.drain().succeeded == 1


def test_a_reader_that_stays_ends_the_drain_with_nothing_lost(work: Work) -> None:
    work.letters("ok")
    with work.backend.another_reads(), pytest.raises(StorageError):
        work.drain(busy_timeout=0.05)
    assert work.backend.effects() == []
    assert work.left() == [1]
    assert work.drain().succeeded == 1
    assert work.backend.effects() == [1]


def test_a_death_in_a_handler_costs_its_letter_an_attempt_and_no_other(work: Work) -> None:
    _, second, _ = work.letters("ok", "ok", "ok")
    work.backend.die_in(second)
    report = work.drain()
    assert report.succeeded == 2
    assert work.backend.effects() == [1, 3]
    (letter,) = work.store.read()
    assert (letter.id, letter.retry_count) == (second, 1)
    assert "the process died" in str(letter.last_error)


def test_a_letter_in_which_processes_go_on_dying_is_parked(work: Work) -> None:
    (letter,) = work.letters("ok")
    for _ in range(2):
        work.backend.die_in(letter)
        work.drain(max_retries=2)
        work.clock.move(hours=1)
    assert "the process died" in work.reasons()[1]
    assert work.backend.effects() == []
