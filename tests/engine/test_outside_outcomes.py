"""What becomes of letters whose handlers are called outside any transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from azoth_dlq import NonRetryable, RetryAfter, Snooze, StorageError
from tests.conftest import Scene
from tests.engine.outside import (
    OutsideBatches,
    amid_others,
    claims,
    elsewhere,
    outside,
    outside_batches,
    raises,
    retry_counts,
)


def test_a_failure_is_charged_and_kept_in_the_history(
    any_scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    outside(any_scene, raises(ValueError("it failed")))
    letters = amid_others(any_scene)
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (2, 1)
    assert report.errors == (("ValueError: it failed", 1),)
    assert any_scene.effects() == [letters[0], letters[2]]
    assert retry_counts(any_scene) == {letters[1]: 1}
    (attempt,) = any_scene.queue.history(letters[1])
    assert (attempt.outcome, attempt.message) == ("failed", "it failed")
    assert "failed in tests.engine.outside.Outside: ValueError" in caplog.text
    assert "payload" not in caplog.text


@pytest.mark.parametrize(
    ("error", "counts", "charge"),
    [
        (NonRetryable("never"), {"failed": 1, "parked": 1, "snoozed": 0}, None),
        (RetryAfter(3600), {"failed": 1, "parked": 0, "snoozed": 0}, 1),
        (Snooze(3600), {"failed": 0, "parked": 0, "snoozed": 1}, 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_handler_outside_chooses_its_outcome(
    any_scene: Scene, error: Exception, counts: dict[str, int], charge: int | None
) -> None:
    handler = outside(any_scene, raises(error))
    letters = amid_others(any_scene)
    report = any_scene.drain()
    assert {name: getattr(report, name) for name in counts} == counts
    assert retry_counts(any_scene) == ({} if charge is None else {letters[1]: charge})
    assert list(any_scene.parked()) == ([letters[1]] if charge is None else [])
    assert claims(any_scene) == []
    any_scene.clock.move(seconds=3599)
    any_scene.drain()
    assert handler.called == [letters[1]]
    any_scene.clock.move(seconds=2)
    any_scene.drain()
    assert handler.called == [letters[1]] * (1 if charge is None else 2)


def test_the_last_attempt_parks(any_scene: Scene) -> None:
    outside(any_scene, raises(ValueError("it failed")))
    letter = any_scene.letter("outside", retry_count=1)
    report = any_scene.drain(max_retries=2)
    assert (report.failed, report.parked) == (1, 1)
    assert "failed 2 of 2 attempts" in any_scene.parked()[letter]
    assert claims(any_scene) == []


def test_a_success_after_failures_deletes_the_history(any_scene: Scene) -> None:
    errors: list[Exception | None] = [ValueError("it failed"), None]

    def act(*_: object) -> None:
        error = errors.pop(0)
        if error is not None:
            raise error

    outside(any_scene, act)
    any_scene.letter("outside")
    any_scene.drain()
    any_scene.clock.move(hours=2)
    assert any_scene.drain().succeeded == 1
    assert elsewhere(any_scene, "SELECT count(*) FROM azoth_dlq_history") == [(0,)]


def test_failures_in_a_row_stop_the_drain(any_scene: Scene) -> None:
    handler = outside(any_scene, raises(ValueError("it failed")))
    kinds = ["outside", "ok", "fails", "outside", "outside", "ok", "outside"]
    letters = [any_scene.letter(kind) for kind in kinds]
    report = any_scene.drain(stop_on_consecutive_failures=3)
    assert (report.stopped, report.failed, report.succeeded) == ("failures", 4, 1)
    assert handler.called == [letters[0], letters[3], letters[4]]
    assert any_scene.calls == letters[1:3]
    assert claims(any_scene) == []


def test_probes_are_called_outside_one_at_a_time(any_scene: Scene) -> None:
    fails = [True]

    def act(*_: object) -> None:
        if fails[0]:
            raise ValueError("it failed")

    handler = outside(any_scene, act)
    for _ in range(5):
        any_scene.letter("outside")
    replayer = any_scene.replay(stop_on_consecutive_failures=2)
    assert replayer.drain().failed == 2
    assert replayer.drain().failed == 1
    fails[0] = False
    report = replayer.drain(now=True)
    assert (report.stopped, report.succeeded) == (None, 5)
    assert len(handler.calls) == 8


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_frees_the_letter_and_goes_up(
    any_scene: Scene, error: type[BaseException]
) -> None:
    outside(any_scene, raises(error()))
    letters = amid_others(any_scene)
    with pytest.raises(error):
        any_scene.drain()
    assert any_scene.effects() == letters[:1]
    assert retry_counts(any_scene) == dict.fromkeys(letters[1:], 0)
    assert claims(any_scene) == []
    assert any_scene.queue.history(letters[1]) == []


# What a handler does to the queue's connection


@pytest.mark.parametrize("error", [None, ValueError("it failed")])
def test_a_transaction_left_open_on_the_queues_connection_is_taken_back(
    any_scene: Scene, error: Exception | None
) -> None:
    def act(*_: object) -> None:
        any_scene.conn.execute("BEGIN")
        any_scene.conn.execute("INSERT INTO effects VALUES (-1)")
        if error is not None:
            raise error

    outside(any_scene, act)
    letters = amid_others(any_scene)
    report = any_scene.drain()
    assert any_scene.effects() == [letters[0], letters[2]]
    assert retry_counts(any_scene) == {letters[1]: 1}
    words = "left a transaction open" if error is None else "it failed"
    assert words in report.errors[0][0]


def test_what_a_handler_commits_on_the_queues_connection_stays(any_scene: Scene) -> None:
    def act(*_: object) -> None:
        any_scene.conn.execute("BEGIN")
        any_scene.conn.execute("INSERT INTO effects VALUES (-1)")
        any_scene.conn.commit()
        raise ValueError("later")

    outside(any_scene, act)
    letters = amid_others(any_scene)
    any_scene.drain()
    assert any_scene.effects() == [-1, letters[0], letters[2]]


@pytest.mark.parametrize("error", [None, ValueError("it failed")])
def test_closing_a_plain_connection_ends_the_drain(
    plain_scene: Scene, error: Exception | None
) -> None:
    def act(*_: object) -> None:
        plain_scene.conn.close()
        if error is not None:
            raise error

    outside(plain_scene, act)
    letters = amid_others(plain_scene)
    with pytest.raises(StorageError, match="closed the queue's connection") as caught:
        plain_scene.drain()
    assert caught.value.report is not None
    assert caught.value.report.succeeded == 1
    assert retry_counts(plain_scene) == dict.fromkeys(letters[1:], 0)


@pytest.mark.parametrize("use", ["discard", "mark_retry"])
def test_a_planned_letter_that_a_handler_outside_changes_is_skipped(
    any_scene: Scene, use: str
) -> None:
    def act(_conn: object, event_id: int) -> None:
        if use == "discard":
            any_scene.queue.discard([event_id + 1])
        else:
            any_scene.queue.mark_retry(event_id + 1)

    handler = outside(any_scene, act)
    letters = [any_scene.letter(kind) for kind in ("outside", "ok", "outside", "outside", "ok")]
    report = any_scene.drain()
    assert (handler.called, any_scene.calls) == ([letters[0], letters[2]], [letters[4]])
    assert (report.succeeded, report.skipped) == (3, 2)


@pytest.mark.parametrize("size", [100, 20_000], ids=["inline", "late"])
def test_event_bytes_that_are_corrected_during_the_call_of_others_are_called(
    scene: Scene, size: int
) -> None:
    correct = "UPDATE dead_letter_queue SET event_bytes = CAST(? AS BLOB) WHERE id = ?"
    corrections = [b"outside:" + b"b" * size]

    def act(_conn: object, event_id: int) -> None:
        if corrections:
            elsewhere(scene, correct, corrections.pop(), event_id)

    handler = outside(scene, act)
    scene.letter("outside:" + "a" * size)
    report = scene.drain()
    assert (report.succeeded, report.skipped, scene.queue.count()) == (0, 1, 1)
    assert scene.drain().succeeded == 1
    assert [payload[:1] for *_, payload in handler.calls] == [b"a", b"b"]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("change", ["DELETE FROM", "UPDATE"])
def test_a_claimed_letter_that_another_program_deletes_or_changes_is_settled(
    any_scene: Scene, fails: bool, change: str
) -> None:
    def act(_conn: object, event_id: int) -> None:
        what = "dead_letter_queue WHERE id = ?"
        if change == "UPDATE":
            what = "dead_letter_queue SET error_message = 'seen' WHERE id = ?"
        elsewhere(any_scene, f"{change} {what}", event_id)
        if fails:
            raise ValueError("it failed")

    outside(any_scene, act)
    letters = amid_others(any_scene)
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == ((2, 1) if fails else (3, 0))
    assert any_scene.effects() == [letters[0], letters[2]]
    left = fails and change == "UPDATE"
    assert retry_counts(any_scene) == ({letters[1]: 1} if left else {})
    assert claims(any_scene) == []


# Letters that others have claimed


def _claim_as_another(scene: Scene, letter: int) -> Any:
    """As a drain of another process that holds its lock; the lock."""
    name = "0123456789abcdef"
    lock = sqlite3.connect(f"{scene.path}-azoth-{name}", isolation_level=None)
    lock.execute("PRAGMA journal_mode = MEMORY")
    lock.execute("BEGIN EXCLUSIVE")
    elsewhere(scene, "INSERT INTO azoth_dlq_claims VALUES (?, ?, 0, NULL)", letter, name)
    return lock


def test_letters_in_the_hands_of_another_drain_take_no_place_in_a_cycle(scene: Scene) -> None:
    handler = outside(scene)
    scene.letter()
    scene.drain()  # which makes the tables
    claimed, first, second, _left = (scene.letter("outside") for _ in range(4))
    lock = _claim_as_another(scene, claimed)
    report = scene.replay(batch_size=2).run_replay_cycle()
    assert (report.succeeded, report.skipped, report.remaining) == (2, 1, 1)
    assert handler.called == [first, second]
    lock.close()


@pytest.mark.parametrize("kind", ["ok", "fails", "outside"])
@pytest.mark.parametrize("retry_count", [0, 9], ids=["due", "exhausted"])
def test_a_letter_that_another_drain_has_in_hand_is_left_to_it(
    scene: Scene, kind: str, retry_count: int
) -> None:
    handler = outside(scene)
    scene.letter()
    scene.drain()  # which makes the tables
    letter = scene.letter(kind, retry_count=retry_count)
    good = scene.letter()
    lock = _claim_as_another(scene, letter)
    report = scene.drain()
    assert (report.succeeded, report.failed, report.parked, report.skipped) == (1, 0, 0, 1)
    assert scene.calls == [1, good]
    assert handler.called == []
    assert retry_counts(scene) == {letter: retry_count}
    assert claims(scene) == [letter]
    lock.close()


class _ActingError(Exception):
    def __init__(self, act: Callable[[], object]) -> None:
        self.act, self.told = act, 0

    def __str__(self) -> str:
        self.told += 1
        self.act()
        return "it failed"


@pytest.mark.parametrize("keeps_history", [True, False])
@pytest.mark.parametrize(
    "statement",
    ["ROLLBACK", "COMMIT", "DELETE FROM dead_letter_queue", "UPDATE effects SET event_id = 7"],
)
@pytest.mark.parametrize("batched", [False, True])
def test_an_errors_text_that_uses_the_connection_costs_its_letter_alone(
    scene: Scene, statement: str, batched: bool, keeps_history: bool
) -> None:
    # Python begins a transaction before a statement that writes.
    scene.conn.isolation_level = ""  # type: ignore[assignment]  # stubs lack it

    def act() -> None:
        with suppress(sqlite3.Error):
            scene.conn.execute(statement)

    error = _ActingError(act)
    fails = raises(error)
    if batched:
        outside_batches(scene, OutsideBatches(fails, fails))
    else:
        outside(scene, fails)
    letters = amid_others(scene)
    report = scene.drain(history_limit=20 if keeps_history else 0)
    assert (report.succeeded, report.failed, report.remaining) == (2, 1, 0)
    assert report.errors == (("_ActingError: it failed", 1),)
    assert scene.effects() == [letters[0], letters[2]]
    assert retry_counts(scene) == {letters[1]: 1}
    assert claims(scene) == []


@pytest.mark.parametrize("batched", [False, True])
def test_an_errors_text_that_interrupts_ends_the_drain_as_its_call_would(
    any_scene: Scene, batched: bool
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    fails = raises(_ActingError(interrupt))
    if batched:
        outside_batches(any_scene, OutsideBatches(fails, fails))
    else:
        outside(any_scene, fails)
    letters = amid_others(any_scene)
    with pytest.raises(KeyboardInterrupt):
        any_scene.drain()
    assert any_scene.left() == letters[1:]
    assert (claims(any_scene), retry_counts(any_scene)[letters[1]]) == ([], 0)
