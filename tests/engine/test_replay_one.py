"""One letter, chosen by its id, due or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest

from azoth_dlq import BackoffStrategy, ConfigError, NonRetryable, RetryAfter, Snooze
from tests.conftest import Scene

SOON = "2026-11-24 11:59:59"  # a second before now


def _state(scene: Scene) -> list[tuple[Any, ...]]:
    return scene.conn.execute("SELECT * FROM dead_letter_queue ORDER BY id").fetchall()


def test_a_letter_that_is_due_is_replayed_alone(any_scene: Scene) -> None:
    others = [any_scene.letter(), any_scene.letter("fails")]
    letter = any_scene.letter()
    others.append(any_scene.letter())
    any_scene.queue.add(1, b"ok:", "boom")  # by its verb: the file is migrated from here on
    before = _state(any_scene)
    report = any_scene.replay().replay(letter)
    assert any_scene.calls == any_scene.effects() == [letter]
    assert (report.attempted, report.succeeded, report.skipped) == (1, 1, 0)
    assert (report.remaining, report.stopped, report.errors) == (0, None, ())
    assert _state(any_scene) == [row for row in before if row[0] != letter]


@pytest.mark.parametrize(
    "columns",
    [
        {"failed_at": SOON},
        {"retry_count": 3, "last_retry_at": SOON},
        {"failed_at": "2027-11-24 12:00:00"},
    ],
    ids=["young", "backing off", "of the future"],
)
def test_a_letter_that_is_not_due_is_replayed(scene: Scene, columns: dict[str, Any]) -> None:
    letter = scene.letter(**columns)
    replayer = scene.replay()
    assert replayer.drain().attempted == 0
    report = replayer.replay(letter)
    assert (report.succeeded, scene.effects(), scene.left()) == (1, [letter], [])


@pytest.mark.parametrize("outcome", [Snooze(600), RetryAfter(600)], ids=repr)
def test_a_letter_whose_handler_asked_for_time_is_replayed(
    scene: Scene, outcome: Exception
) -> None:
    outcomes = [outcome, None]

    def plays(*_args: object) -> None:
        if (now := outcomes.pop(0)) is not None:
            raise now

    scene.registry.register("plays", plays)
    letter = scene.letter("plays")
    replayer = scene.replay()
    assert replayer.replay(letter).attempted == 1
    assert replayer.drain().attempted == 0
    assert replayer.replay(letter).succeeded == 1
    assert scene.left() == []


def test_a_failure_spends_an_attempt(scene: Scene) -> None:
    letter = scene.letter("fails", retry_count=1, last_retry_at=SOON)
    report = scene.replay().replay(letter)
    assert (report.attempted, report.failed, report.parked) == (1, 1, 0)
    assert report.errors == ((f"ValueError: event {letter} failed", 1),)
    failed = scene.queue.get(letter)
    assert failed is not None
    assert (failed.retry_count, failed.last_retry_at) == (2, "2026-11-24T12:00:00.000000Z")
    assert scene.effects() == []


def test_its_last_failure_parks_it(scene: Scene) -> None:
    letter = scene.letter("fails", retry_count=4)
    report = scene.replay(max_retries=5).replay(letter)
    assert (report.failed, report.parked, report.exhausted) == (1, 1, 0)
    assert list(scene.parked()) == [letter]


def test_what_cannot_be_retried_is_parked(scene: Scene) -> None:
    def never(*_args: object) -> None:
        raise NonRetryable("the account is closed")

    scene.registry.register("never", never)
    letter = scene.letter("never")
    report = scene.replay().replay(letter)
    assert (report.failed, report.parked) == (1, 1)
    assert "the account is closed" in scene.parked()[letter]


def test_a_letter_without_attempts_left_is_parked_uncalled(scene: Scene) -> None:
    other = scene.letter(retry_count=5)
    letter = scene.letter(retry_count=5)
    report = scene.replay(max_retries=5).replay(letter)
    assert (report.attempted, report.parked, report.exhausted) == (0, 1, 1)
    assert scene.calls == []
    assert list(scene.parked()) == [letter]
    assert scene.left() == [other]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"failed_at": "yesterday"}, "failed_at is no timestamp"),
        ({"retry_count": -1}, "retry_count is negative"),
        ({"last_retry_at": "?"}, "last_retry_at is no timestamp"),
        ({"event_bytes": 5}, "event_bytes is of type INTEGER"),
    ],
)
def test_a_row_that_cannot_be_read_is_parked(
    scene: Scene, columns: dict[str, Any], said: str
) -> None:
    other = scene.letter(**columns)
    letter = scene.letter(**columns)
    report = scene.replay().replay(letter)
    assert (report.attempted, report.parked, report.unreadable) == (0, 1, 1)
    assert said in scene.parked()[letter]
    assert scene.left() == [other]


@pytest.mark.parametrize("missing", [0, -1, 99, 2**63 - 1, -(2**63)])
def test_a_letter_that_is_not_there_is_skipped(scene: Scene, missing: int) -> None:
    letter = scene.letter()
    report = scene.replay().replay(missing)
    assert (report.skipped, report.attempted, report.parked, report.remaining) == (1, 0, 0, 0)
    assert scene.left() == [letter]
    assert scene.calls == []


def test_a_letter_that_is_gone_is_skipped_and_not_called_again(scene: Scene) -> None:
    letter = scene.letter()
    replayer = scene.replay()
    replayer.replay(letter)
    report = replayer.replay(letter)
    assert (report.skipped, report.attempted) == (1, 0)
    assert scene.calls == [letter]


def test_an_id_is_one_of_a_dead_letter_and_not_of_a_permanent_failure(scene: Scene) -> None:
    scene.letter(id=7, retry_count=9)
    scene.drain()
    [failure] = scene.queue.permanent_failures()
    assert failure.id != failure.dead_letter_id
    assert scene.replay().replay(failure.id).skipped == 1
    assert scene.queue.permanent_failure_count() == 1


@pytest.mark.parametrize("wrong", ["1", 1.0, None, True, [1], b"1", 2**63, -(2**63) - 1])
def test_an_id_that_is_none_is_refused(scene: Scene, wrong: Any) -> None:
    letter = scene.letter(id=1)
    with pytest.raises(ConfigError, match=r"^id=.*: must be an int from -2\*\*63 to 2\*\*63-1"):
        scene.replay().replay(wrong)
    assert scene.left() == [letter]


# Handlers of other kinds


class Both:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = False

    def handle(self, *_args: object) -> None:
        self.calls.append("single")

    def handle_batch(self, _conn: object, events: Sequence[object]) -> None:
        self.calls.append(f"batch of {len(events)}")
        if self.fails:
            raise ValueError("one of these")


@pytest.mark.parametrize("transactional", [True, False], ids=["within", "outside"])
@pytest.mark.parametrize("fails", [True, False])
def test_a_handler_of_batches_gets_a_batch_of_one(
    scene: Scene, transactional: bool, fails: bool
) -> None:
    handler = Both()
    handler.fails = fails
    scene.registry.register("batch", handler, transactional=transactional)
    other, letter = scene.letter("batch"), scene.letter("batch", failed_at=SOON)
    report = scene.replay().replay(letter)
    assert handler.calls == ["batch of 1", "single"][: 1 + fails]
    assert (report.attempted, report.succeeded, report.skipped) == (1, 1, 0)
    assert scene.left() == [other]


@pytest.mark.parametrize("fails", [True, False])
def test_a_handler_outside_the_transaction_is_called_once(scene: Scene, fails: bool) -> None:
    calls: list[tuple[object, int]] = []

    def posts(conn: sqlite3.Connection | None, event_id: int, _payload: bytes) -> None:
        calls.append((conn, event_id))
        if fails:
            raise ConnectionError("nobody answers")

    scene.registry.register("posts", posts, transactional=False)
    other, letter = scene.letter("posts"), scene.letter("posts", failed_at=SOON)
    report = scene.replay().replay(letter)
    assert calls == [(None, letter)]
    assert (report.attempted, report.succeeded, report.failed) == (1, not fails, fails)
    assert scene.left() == ([other, letter] if fails else [other])


# Beside other drains


def test_it_may_be_called_again_after_it_failed(scene: Scene) -> None:
    letter = scene.letter("fails")
    replayer = scene.replay(max_retries=3, backoff=BackoffStrategy.fixed(3600))
    reports = [replayer.replay(letter) for _ in range(4)]
    assert [report.failed for report in reports] == [1, 1, 1, 0]
    assert [report.parked for report in reports] == [0, 0, 1, 0]
    assert reports[-1].skipped == 1


def test_its_settings_are_recorded_as_those_of_a_drain(scene: Scene) -> None:
    letter = scene.letter()
    scene.replay(max_retries=77).replay(letter)
    recorded = scene.queue.store.figures().settings
    assert recorded is not None
    assert '"max_retries": 77' in recorded


def test_after_a_shutdown_it_attempts_nothing(scene: Scene) -> None:
    letter = scene.letter()
    replayer = scene.replay()
    replayer.shutdown()
    report = replayer.replay(letter)
    assert (report.attempted, report.remaining, report.stopped) == (0, 1, "shutdown")
    assert scene.left() == [letter]


def test_the_gauges_stay_those_of_the_last_look_at_all(scene: Scene) -> None:
    letters = [scene.letter(failed_at=SOON) for _ in range(3)]
    replayer = scene.replay()
    replayer.drain()
    replayer.replay(letters[0])
    snapshot = replayer.metrics.snapshot()
    assert (snapshot.depth, snapshot.due, snapshot.successes) == (2, 0, 1)
