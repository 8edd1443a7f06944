"""Batches that are called outside any transaction, and those that fail."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest

from azoth_dlq import BatchConfig, EventHandlerRegistry, StorageError
from azoth_dlq._event import Event
from tests.conftest import Scene
from tests.engine.outside import (
    OutsideBatches,
    claims,
    elsewhere,
    outside_batches,
    raises,
    retry_counts,
)

INSERT = "INSERT INTO effects VALUES (?)"


def test_batches_outside_are_runs_within_the_bounds(any_scene: Scene) -> None:
    handler = outside_batches(any_scene)
    any_scene.registry.batch = BatchConfig(3)
    kinds = ["outside"] * 4 + ["ok"] + ["outside"] * 2
    letters = [any_scene.letter(kind) for kind in kinds]
    report = any_scene.drain()
    assert handler.batches == [letters[:3], letters[3:4], letters[5:]]
    assert handler.connections == [None] * 3
    assert (report.succeeded, any_scene.left(), handler.called) == (7, [], [])


def test_batches_outside_are_bounded_by_bytes(any_scene: Scene) -> None:
    handler = outside_batches(any_scene)
    letters = [any_scene.letter(event_bytes=b"outside:" + b"x" * 15_000) for _ in range(50)]
    report = any_scene.drain(memory_limit=2**20)
    assert report.succeeded == 50
    assert list(itertools.chain(*handler.batches)) == letters
    assert 1 < max(map(len, handler.batches)) <= 2**19 // 15_000


def test_batches_outside_keep_within_a_cycle(any_scene: Scene) -> None:
    handler = outside_batches(any_scene)
    letters = [any_scene.letter(kind) for kind in ["ok", *["outside"] * 6]]
    replayer = any_scene.replay(batch_size=3)
    assert [replayer.run_replay_cycle().attempted for _ in range(3)] == [3, 3, 1]
    assert handler.batches == [letters[1:3], letters[3:6], letters[6:]]


def test_large_letters_come_in_batches_of_their_own(any_scene: Scene) -> None:
    handler = outside_batches(any_scene)
    sizes = [10, 100_000, 10, 10]
    letters = [any_scene.letter(event_bytes=b"outside:" + b"x" * size) for size in sizes]
    assert any_scene.drain().succeeded == 4
    assert list(itertools.chain(*handler.batches)) == letters


def test_all_letters_of_a_batch_are_claimed(any_scene: Scene) -> None:
    seen: list[Any] = []
    outside_batches(any_scene, OutsideBatches(lambda _events: seen.append(claims(any_scene))))
    letters = [any_scene.letter("outside") for _ in range(3)]
    any_scene.drain()
    assert (seen, claims(any_scene)) == ([letters], [])


def test_a_batch_that_fails_is_called_singly(
    any_scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_one(_conn: object, event_id: int) -> None:
        if event_id == letters[3]:
            raise ValueError("a bad one")

    handler = outside_batches(any_scene, OutsideBatches(raises(ValueError("no batch")), fail_one))
    kinds = ["ok", *["outside"] * 4, "ok"]
    letters = [any_scene.letter(kind) for kind in kinds]
    with caplog.at_level(logging.INFO, "azoth_dlq"):
        report = any_scene.drain()
    assert (report.succeeded, report.failed, report.skipped) == (5, 1, 0)
    assert handler.batches == [letters[1:5]]
    assert handler.called == letters[1:5]
    assert retry_counts(any_scene) == {letters[3]: 1}
    assert len(any_scene.queue.history(letters[3])) == 1
    assert any_scene.calls == [letters[0], letters[5]]
    assert claims(any_scene) == []
    assert caplog.text.count("4 letters from 2 on: failed as a batch in tests.engine.outside") == 1


def test_letters_that_are_gone_when_a_batch_fails_are_skipped_once(any_scene: Scene) -> None:
    def discard_and_fail(_events: list[Event]) -> None:
        if not any_scene.calls:
            elsewhere(any_scene, "DELETE FROM dead_letter_queue WHERE id IN (2, 5)")
        raise ValueError("no batch")

    handler = outside_batches(any_scene, OutsideBatches(discard_and_fail))
    letters = [any_scene.letter("outside") for _ in range(4)]
    letters += [any_scene.letter(), any_scene.letter()]
    report = any_scene.drain()
    assert handler.called == [1, 3, 4]
    assert any_scene.calls == [6]
    assert (report.succeeded, report.skipped, report.remaining) == (4, 2, 0)


def test_letters_that_were_gone_before_a_batch_that_fails_are_skipped_once(
    any_scene: Scene,
) -> None:
    handler = outside_batches(any_scene, OutsideBatches(raises(ValueError("no batch"))))
    for kind in ("ok", "outside", "outside", "outside", "ok"):
        any_scene.letter(kind)

    def delete(_report: object) -> None:
        elsewhere(any_scene, "DELETE FROM dead_letter_queue WHERE id = 3")

    report = any_scene.replay(max_transaction_time=1e-6).drain(on_progress=delete)
    assert (handler.batches, handler.called) == ([[2, 4]], [2, 4])
    assert (report.succeeded, report.skipped, report.remaining) == (4, 1, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_of_a_batch_frees_its_letters(
    any_scene: Scene, error: type[BaseException]
) -> None:
    handler = outside_batches(any_scene, OutsideBatches(raises(error())))
    letters = [any_scene.letter("outside") for _ in range(3)]
    with pytest.raises(error):
        any_scene.drain()
    assert handler.called == []
    assert retry_counts(any_scene) == dict.fromkeys(letters, 0)
    assert claims(any_scene) == []


def test_a_shutdown_during_a_batch_that_fails_charges_nobody(any_scene: Scene) -> None:
    def shut_down(_events: list[Event]) -> None:
        replayer.shutdown()
        raise ValueError("no batch")

    handler = outside_batches(any_scene, OutsideBatches(shut_down))
    letters = [any_scene.letter("outside") for _ in range(3)]
    replayer = any_scene.replay()
    report = replayer.drain()
    assert (report.stopped, report.attempted, report.remaining) == ("shutdown", 0, 3)
    assert handler.called == []
    assert retry_counts(any_scene) == dict.fromkeys(letters, 0)
    assert claims(any_scene) == []


def test_an_interrupt_of_the_route_during_a_look_ahead_commits_what_was_before(
    any_scene: Scene,
) -> None:
    def route(event_bytes: bytes) -> tuple[str, bytes]:
        if event_bytes == b"interrupts":
            raise KeyboardInterrupt
        return event_bytes.partition(b":")[0].decode(), b""

    any_scene.registry = EventHandlerRegistry(route=route)
    any_scene.registry.register("ok", lambda conn, e, _: conn.execute(INSERT, (e,)))
    handler = outside_batches(any_scene)
    letters = [any_scene.letter(kind) for kind in ("ok", "outside", "outside")]
    letters.append(any_scene.letter(event_bytes=b"interrupts"))
    with pytest.raises(KeyboardInterrupt):
        any_scene.drain()
    assert any_scene.effects() == letters[:1]
    assert retry_counts(any_scene) == dict.fromkeys(letters[1:], 0)
    assert (handler.batches, claims(any_scene)) == ([], [])


def test_a_failed_batch_whose_claims_cannot_be_ended_is_not_taken_for_done(
    any_scene: Scene,
) -> None:
    handler = outside_batches(any_scene, OutsideBatches(raises(ValueError("down"))))
    any_scene.drain()
    letters = [any_scene.letter("outside") for _ in range(4)]
    any_scene.conn.execute(
        f"CREATE TRIGGER keep BEFORE DELETE ON azoth_dlq_claims WHEN old.letter_id = {letters[2]} "
        "BEGIN SELECT RAISE(ABORT, 'it is to stay'); END"
    )
    if any_scene.conn.in_transaction:
        any_scene.conn.commit()
    with pytest.raises(StorageError, match="it is to stay") as caught:
        any_scene.drain()
    assert caught.value.report is not None
    assert (caught.value.report.attempted, caught.value.report.remaining) == (0, 4)
    assert any_scene.left() == letters
    assert handler.batches == [letters]
