"""The engine over every store: what a drain makes of letters."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    DlqReplayConfig,
    EventHandlerRegistry,
    NonRetryable,
    ReplayPriority,
    ReplayReport,
    RetryAfter,
    Snooze,
    StorageError,
)
from azoth_dlq.engine.drain import Drain, Surroundings
from azoth_dlq.engine.stop import Stop
from azoth_dlq.metrics import DlqMetrics
from azoth_dlq.status import look
from tests.conformance.backends import BACKENDS, Backend
from tests.conftest import Clock

Effect = Callable[[Any], None]


class Work:
    """A store, a handler for each way in which a call can end, and drains over them."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.store = backend.store
        self.clock = Clock()
        self.calls: list[int] = []
        self.stop = Stop()
        self.registry = EventHandlerRegistry()
        for kind, effect in {
            "ok": self._nothing,
            "fails": self._raises(ValueError("bad")),
            "poison": self._raises(NonRetryable("never")),
            "later": self._raises(RetryAfter(3600, "not now")),
            "snoozes": self._raises(Snooze(60)),
            "loses": backend.lose_transaction,
            "commits": backend.commit_behind_the_guard,
            "spoils": backend.make_uncommittable,
            "full": self._raises(backend.database_fault()),
            "interrupts": self._raises(KeyboardInterrupt()),
            "shuts down": self._shut_down,
        }.items():
            self.handle(kind, effect)

    def handle(self, kind: str, effect: Effect) -> None:
        def call(connection: Any, event_id: int, _payload: bytes) -> None:
            self.calls.append(event_id)
            self.backend.write(connection, event_id)
            effect(connection)

        self.registry.register(kind, call)

    def letters(self, *kinds: str) -> list[int]:
        """Letters whose event ids count from 1."""
        return [
            self.backend.insert(event_id=n, event_bytes=f"{kind}:x".encode())
            for n, kind in enumerate(kinds, 1)
        ]

    def drain(
        self,
        *,
        now: bool = False,
        limit: int | None = None,
        on_progress: Callable[[ReplayReport], None] | None = None,
        **config: Any,
    ) -> ReplayReport:
        config.setdefault("stop_on_consecutive_failures", None)
        drain = Drain(
            self.store,
            self.registry,
            DlqReplayConfig(**config),
            Surroundings(self.clock, lambda _seconds: None, self.stop, DlqMetrics(), on_progress),
        )
        return drain.run(now=now, limit=limit)

    def reasons(self) -> dict[int, str]:
        """Of the permanent failures, by event id."""
        parked = self.store.read(parked=True)
        return {failure.event_id: failure.reason or "" for failure in parked}

    def left(self) -> list[int]:
        """Event ids of the dead letters."""
        return sorted(letter.event_id for letter in self.store.read())

    @staticmethod
    def _nothing(_connection: Any) -> None:
        """The effect alone is what an ordinary handler has."""

    @staticmethod
    def _raises(error: BaseException) -> Effect:
        def effect(_connection: Any) -> None:
            raise error

        return effect

    def _shut_down(self, _connection: Any) -> None:
        self.stop.request()


@pytest.fixture
def work(backend: Backend) -> Work:
    return Work(backend)


# Outcomes


def test_a_replayed_letter_leaves_its_effect_and_nothing_else(work: Work) -> None:
    work.letters("ok", "ok", "ok")
    assert work.drain().succeeded == 3
    assert work.backend.effects() == [1, 2, 3]
    assert work.backend.ids() == []
    assert work.store.count(parked=True) == 0


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
    assert work.store.count(parked=True) == 0
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


# Groups that are lost


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


# The stores among themselves


def _mixed_letters(work: Work, seed: int) -> None:
    random_ = random.Random(seed)
    kinds = ["ok"] * 6 + ["fails", "poison", "later", "snoozes", "loses", "spoils", "unknown"]
    for n in range(60):
        work.backend.insert(
            event_id=n,
            event_bytes=f"{random_.choice(kinds)}:x".encode(),
            failed_at=random_.choice(["2026-11-24 10:00:00", "2026-11-24T11:59:59Z", "never"]),
            retry_count=random_.choice([0, 0, 0, 1, 2, 3, -1]),
            last_retry_at=random_.choice([None, None, "2026-11-24T11:58:00Z", "hm"]),
            error_message=random_.choice(["boom", "timeout", "nöpe"]),
        )


def _outcome(work: Work, seed: int) -> tuple[object, ...]:
    _mixed_letters(work, seed)
    reports = []
    for _ in range(4):
        status = look(work.store, DlqReplayConfig(max_retries=3), work.clock())
        report = work.drain(max_retries=3, priority=ReplayPriority.by_error_type(["timeout"]))
        plain = report.as_dict() | {"duration": None}
        reports.append((status, plain))
        work.clock.move(seconds=40)
    return (
        reports,
        work.calls,
        work.backend.effects(),
        work.store.read(),
        [_without_wording(failure) for failure in work.store.read(parked=True)],
    )


def _without_wording(failure: Any) -> tuple[object, ...]:
    return failure.id, failure.event_id, failure.retry_count, failure.dead_letter_id


@pytest.mark.parametrize("seed", range(3))
def test_all_stores_end_alike(tmp_path: Path, seed: int) -> None:
    outcomes = []
    for make in BACKENDS.values():
        backend = make(tmp_path)
        outcomes.append(_outcome(Work(backend), seed))
        backend.close()
    assert outcomes[0] == outcomes[1]
