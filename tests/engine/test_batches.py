"""What a handler of batches gets: runs of consecutive letters of its type, within bounds."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

import pytest

from azoth_dlq import BatchConfig, EventHandlerRegistry, ReplayPriority
from azoth_dlq.types import ReplayReport
from tests.conftest import Scene
from tests.engine.batching import Batching, Validating, bad_letter, takes_batches

MEBIBYTE = 2**20


def _assert_all_succeeded(scene: Scene, report: ReplayReport, letters: list[int]) -> None:
    assert (report.attempted, report.succeeded) == (len(letters), len(letters))
    assert scene.left() == []
    assert scene.effects() == sorted(letters)


def test_consecutive_letters_of_a_type_come_in_one_batch(any_scene: Scene) -> None:
    handler = takes_batches(any_scene)
    letters = [any_scene.letter("batch") for _ in range(20)]
    report = any_scene.drain()
    assert handler.batches == [letters]
    assert handler.singly == []
    _assert_all_succeeded(any_scene, report, letters)


def test_a_batch_is_a_run_of_one_type_in_the_order_of_the_plan(any_scene: Scene) -> None:
    one, other = takes_batches(any_scene), takes_batches(any_scene, kind="other")
    runs = [("batch", 2), ("ok", 1), ("other", 2), ("batch", 1), ("other", 1), ("ok", 2)]
    letters = [any_scene.letter(kind) for kind, n in [*runs, ("batch", 3)] for _ in range(n)]
    report = any_scene.drain()
    assert one.batches == [letters[:2], [letters[5]], letters[9:]]
    assert other.batches == [letters[3:5], [letters[6]]]
    assert any_scene.calls == [letters[2], *letters[7:9]]
    _assert_all_succeeded(any_scene, report, letters)


def test_events_carry_the_ids_and_payloads_of_their_letters(any_scene: Scene) -> None:
    seen: list[Any] = []
    takes_batches(any_scene, Batching(acts=lambda _conn, events: seen.append(events)))
    payloads = [b"", b"a:b", "é\0".encode(), b"x" * 20_000]
    for number, payload in enumerate(payloads):
        any_scene.letter(event_id=-number, event_bytes=b"batch:" + payload)
    any_scene.drain()
    (events,) = seen
    assert type(events) is list
    assert [(event.event_id, event.payload) for event in events] == [
        (-number, payload) for number, payload in enumerate(payloads)
    ]


@pytest.mark.parametrize(("most", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_a_batch_has_no_more_letters_than_are_allowed(
    any_scene: Scene, most: int, sizes: list[int]
) -> None:
    handler = takes_batches(any_scene, most=most)
    letters = [any_scene.letter("batch") for _ in range(7)]
    report = any_scene.drain()
    assert list(map(len, handler.batches)) == sizes
    _assert_all_succeeded(any_scene, report, letters)


def test_a_thousand_letters_come_in_one_batch_by_default(scene: Scene) -> None:
    handler = takes_batches(scene)
    letters = [scene.letter("batch") for _ in range(1001)]
    report = scene.drain()
    assert list(map(len, handler.batches)) == [1000, 1]
    _assert_all_succeeded(scene, report, letters)


@pytest.mark.parametrize(("size", "most"), [(20_000, 26), (300_000, 1), (5_000_000, 1)])
def test_a_batch_has_no_more_bytes_than_half_the_memory_limit(
    any_scene: Scene, size: int, most: int
) -> None:
    handler = takes_batches(any_scene)
    event_bytes = b"batch:" + b"x" * size
    letters = [any_scene.letter(event_bytes=event_bytes) for _ in range(2 * most + 1)]
    report = any_scene.drain(memory_limit=MEBIBYTE)
    assert max(map(len, handler.batches)) == len(handler.batches[0]) == most
    assert {len(payload) for payload in handler.payloads} == {size}
    _assert_all_succeeded(any_scene, report, letters)


def test_beside_a_letter_as_large_as_a_batch_no_other_is_read(
    any_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = takes_batches(any_scene)
    letters = [any_scene.letter(event_bytes=b"batch:" + b"x" * MEBIBYTE) for _ in range(3)]
    fetch, late = any_scene.queue.store.fetch, list[list[int]]()

    def count_late(ids: list[int], *, inline: int | None, verify: bool) -> list[Any]:
        if inline is None:
            late.append(ids)
        return fetch(ids, inline=inline, verify=verify)

    monkeypatch.setattr(any_scene.queue.store, "fetch", count_late)
    _assert_all_succeeded(any_scene, any_scene.drain(memory_limit=MEBIBYTE), letters)
    assert handler.batches == late == [[letter] for letter in letters]


def test_a_large_letter_between_small_ones_is_in_their_batch_where_there_is_room(
    any_scene: Scene,
) -> None:
    handler = takes_batches(any_scene)
    sizes = [10, 5_000_000, 10, 40_000_000, 10]
    letters = [any_scene.letter(event_bytes=b"batch:" + b"x" * size) for size in sizes]
    report = any_scene.drain()
    assert handler.batches == [letters[:3], [letters[3]], [letters[4]]]
    assert list(map(len, handler.payloads)) == sizes
    _assert_all_succeeded(any_scene, report, letters)


def test_a_batch_beyond_what_can_be_marked_as_in_hand_is_cut(scene: Scene) -> None:
    handler = takes_batches(scene, most=20_000)
    with scene.conn:
        scene.conn.execute("BEGIN")
        scene.conn.executemany(
            "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
            "VALUES (?, CAST('batch:' AS BLOB), '', '2026-11-24 10:00:00')",
            ((n,) for n in range(9000)),
        )
    report = scene.drain(memory_limit=1024 * MEBIBYTE)
    _assert_all_succeeded(scene, report, list(range(9000)))
    assert sum(map(len, handler.batches)) == 9000
    assert 8000 < len(handler.batches[0]) < 9000


def test_an_event_stored_as_text_begins_a_batch(any_scene: Scene) -> None:
    handler = takes_batches(any_scene)
    letters = [
        any_scene.letter("batch"),
        any_scene.letter(event_bytes="batch:text"),
        any_scene.letter("batch"),
    ]
    report = any_scene.drain()
    assert handler.batches == [letters[:1], letters[1:]]
    _assert_all_succeeded(any_scene, report, letters)


@pytest.mark.parametrize("columns", [{"event_bytes": 5}, {"event_id": "seven"}])
def test_an_unreadable_row_ends_a_batch_and_is_parked(
    any_scene: Scene, columns: dict[str, Any]
) -> None:
    handler = takes_batches(any_scene)
    before = [any_scene.letter("batch") for _ in range(2)]
    bad = any_scene.letter(**{"event_bytes": b"batch:", **columns})
    after = [any_scene.letter("batch") for _ in range(2)]
    report = any_scene.drain()
    assert (report.succeeded, report.unreadable) == (4, 1)
    assert list(any_scene.parked()) == [bad]
    assert handler.batches == [before, after]
    assert any_scene.effects() == before + after


@pytest.mark.parametrize("event_bytes", [b"unknown:x", b"no colon", b"batch:\xff", b'{"json": 1}'])
def test_an_event_that_leads_to_no_handler_ends_a_batch_and_fails_alone(
    any_scene: Scene, event_bytes: bytes
) -> None:
    handler = takes_batches(any_scene)
    before = [any_scene.letter("batch") for _ in range(2)]
    bad = any_scene.letter(event_bytes=event_bytes)
    after = [any_scene.letter("batch") for _ in range(2)]
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (4, 1)
    assert any_scene.left() == [bad]
    assert handler.batches == [before, after]


def test_a_payload_that_is_not_valid_ends_a_batch_and_fails_without_a_call(
    any_scene: Scene,
) -> None:
    handler = Validating()
    takes_batches(any_scene, handler)
    before = [any_scene.letter("batch") for _ in range(2)]
    bad = bad_letter(any_scene)
    after = [any_scene.letter("batch") for _ in range(2)]
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (4, 1)
    assert report.errors == (("ValueError: invalid", 1),)
    assert handler.batches == [before, after]
    assert handler.singly == []
    assert any_scene.left() == [bad]


def test_a_payload_that_is_not_valid_may_be_the_first(any_scene: Scene) -> None:
    handler = Validating()
    takes_batches(any_scene, handler)
    bad = [bad_letter(any_scene) for _ in range(2)]
    after = [any_scene.letter("batch") for _ in range(3)]
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (3, 2)
    assert (handler.batches, handler.singly, any_scene.left()) == ([after], [], bad)


def _by_json(event_bytes: bytes) -> tuple[str, bytes]:
    event = json.loads(event_bytes)
    return event["type"], event["data"].encode()


def _routed(scene: Scene, batch: BatchConfig | None = None) -> None:
    scene.registry = EventHandlerRegistry(route=_by_json, batch=batch)


def test_a_route_leads_to_batches(any_scene: Scene) -> None:
    _routed(any_scene, BatchConfig(2))
    handler, other = takes_batches(any_scene), takes_batches(any_scene, kind="other")
    kinds = ["batch", "batch", "batch", "other", "batch"]
    letters = [
        any_scene.letter(event_bytes=json.dumps({"type": kind, "data": str(n)}).encode())
        for n, kind in enumerate(kinds)
    ]
    report = any_scene.drain()
    assert handler.batches == [letters[:2], [letters[2]], [letters[4]]]
    assert handler.payloads == [b"0", b"1", b"2", b"4"]
    assert other.batches == [[letters[3]]]
    _assert_all_succeeded(any_scene, report, letters)


def test_a_letter_over_which_the_route_raises_ends_a_batch_and_fails_alone(
    any_scene: Scene,
) -> None:
    _routed(any_scene)
    handler = takes_batches(any_scene)
    good = b'{"type": "batch", "data": ""}'
    before = [any_scene.letter(event_bytes=good) for _ in range(2)]
    bad = any_scene.letter(event_bytes=b"{")
    after = [any_scene.letter(event_bytes=good) for _ in range(2)]
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (4, 1)
    assert "the route raised JSONDecodeError" in report.errors[0][0]
    assert handler.batches == [before, after]
    assert any_scene.left() == [bad]


@pytest.mark.parametrize(
    ("priority", "batches"),
    [
        (ReplayPriority.FIFO, [[1, 2], [4, 5, 6]]),
        (ReplayPriority.LIFO, [[6, 5, 4], [2, 1]]),
        (ReplayPriority.BY_RETRY_COUNT, [[2, 4, 6, 1], [5]]),
        (ReplayPriority.by_error_type(["refused", "timeout"]), [[2, 4, 6, 1], [5]]),
    ],
    ids=str,
)
def test_batches_follow_the_priority(
    any_scene: Scene, priority: ReplayPriority, batches: list[list[int]]
) -> None:
    handler = takes_batches(any_scene)
    for n in range(1, 7):
        any_scene.letter(
            "ok" if n == 3 else "batch",
            error=("refused", "timeout")[n % 2],
            failed_at=f"2026-11-24 10:00:0{n}",
            retry_count=n % 2,
        )
    any_scene.drain(priority=priority)
    assert handler.batches == batches
    assert any_scene.calls == [3]


def test_a_cycle_gives_no_more_letters_than_it_attempts(any_scene: Scene) -> None:
    handler = takes_batches(any_scene)
    letters = [any_scene.letter("batch") for _ in range(10)]
    replayer = any_scene.replay(batch_size=4)
    assert [replayer.run_replay_cycle().succeeded for _ in range(3)] == [4, 4, 2]
    assert handler.batches == [letters[:4], letters[4:8], letters[8:]]


def test_a_replay_of_one_letter_gives_it_alone(any_scene: Scene) -> None:
    handler = takes_batches(any_scene)
    letters = [any_scene.letter("batch") for _ in range(3)]
    assert any_scene.replay().replay(letters[1]).succeeded == 1
    assert handler.batches == [[letters[1]]]
    assert any_scene.left() == [letters[0], letters[2]]


def test_a_probe_is_one_letter(any_scene: Scene) -> None:
    handler = takes_batches(any_scene)
    any_scene.letter("fails")
    letters = [any_scene.letter("batch") for _ in range(4)]
    replayer = any_scene.replay(stop_on_consecutive_failures=1)
    assert replayer.drain().stopped == "failures"
    assert replayer.drain().succeeded == 4
    assert handler.batches == [letters[:1], letters[1:]]


def test_a_letter_that_is_kept_out_of_batches_is_called_singly(any_scene: Scene) -> None:
    handler = takes_batches(any_scene)
    any_scene.letter()
    any_scene.drain()  # which makes the column
    letters = [any_scene.letter("batch") for _ in range(6)]
    any_scene.conn.execute(
        "UPDATE dead_letter_queue SET azoth_alone = 1 WHERE id IN (?, ?)", (letters[0], letters[3])
    )
    any_scene.conn.commit()
    report = any_scene.drain()
    assert handler.batches == [letters[1:3], letters[4:]]
    assert handler.singly == [letters[0], letters[3]]
    assert report.succeeded == 6


def test_effects_and_acks_of_a_batch_are_one_transaction(any_scene: Scene) -> None:
    """Another connection sees neither before both."""
    seen: list[tuple[int, int]] = []
    counts = "SELECT (SELECT count(*) FROM effects), (SELECT count(*) FROM dead_letter_queue)"

    def look(*_: object) -> None:
        with sqlite3.connect(str(any_scene.path)) as other:
            seen.append(other.execute(counts).fetchone())
        other.close()

    takes_batches(any_scene, Batching(acts=look), most=2)
    for _ in range(4):
        any_scene.letter("batch")
    any_scene.replay(max_transaction_time=30).drain(on_progress=look)
    assert seen == [(0, 4), (0, 4), (4, 0)]


def test_the_history_of_a_letter_is_deleted_with_its_ack_in_a_batch(scene: Scene) -> None:
    takes_batches(scene)
    bad = bad_letter(scene)
    scene.drain()
    assert len(scene.queue.history(bad)) == 1
    scene.conn.execute("UPDATE dead_letter_queue SET event_bytes = 'batch:good'")
    # In the first group what other programs left behind is swept.
    letters = [bad, scene.letter()]
    report = scene.drain(now=True, max_transaction_time=1e-6)
    _assert_all_succeeded(scene, report, letters)
    assert scene.conn.execute("SELECT count(*) FROM azoth_dlq_history").fetchone() == (0,)


def test_a_group_ends_after_a_batch_that_took_its_time(any_scene: Scene) -> None:
    handler = takes_batches(any_scene, Batching(acts=lambda *_: time.sleep(0.02)), most=2)
    letters = [any_scene.letter("batch") for _ in range(6)]
    committed: list[int] = []
    any_scene.replay(max_transaction_time=0.01).drain(
        on_progress=lambda report: committed.append(report.succeeded)
    )
    assert committed == [2, 4, 6]
    assert handler.batches == [letters[:2], letters[2:4], letters[4:]]


def test_counters_tell_letters_not_batches(any_scene: Scene) -> None:
    handler = Batching(acts=lambda *_: time.sleep(0.01))
    takes_batches(any_scene, handler, most=5)
    takes_batches(any_scene, kind="other")
    for kind in ["batch"] * 7 + ["other"] * 3 + ["ok", "batch"]:
        any_scene.letter(kind)
    replayer = any_scene.replay()
    assert replayer.drain().succeeded == 12
    counted = replayer.metrics.snapshot()
    assert counted.successes == 12
    assert counted.attempts == {
        ("batch", "succeeded"): 8,
        ("other", "succeeded"): 3,
        ("ok", "succeeded"): 1,
    }
    counts = {kind: times.count for kind, times in counted.handler_seconds.items()}
    assert counts == {"batch": 8, "other": 3, "ok": 1}
    took = counted.handler_seconds["batch"]
    assert 0.03 <= took.sum < 0.3
    # A letter's share of a call is a fifth, a half, or all of it.
    assert dict(took.cumulative())[0.001] == 0
    assert counted.handler_seconds["other"].sum < 0.01


def test_a_batch_handler_beside_others_is_one_among_types(any_scene: Scene) -> None:
    """A look ahead at a letter of another type changes nothing about that letter's own call."""
    handler = takes_batches(any_scene)
    kinds = ["batch", "ok", "batch", "fails", "batch", "batch", "unknown", "ok"]
    letters = [any_scene.letter(kind) for kind in kinds]
    replayer = any_scene.replay()
    report = replayer.drain()
    assert (report.succeeded, report.failed) == (6, 2)
    assert handler.batches == [[letters[0]], [letters[2]], letters[4:6]]
    assert any_scene.calls == [letters[1], letters[3], letters[7]]
    counted = replayer.metrics.snapshot()
    counts = {kind: times.count for kind, times in counted.handler_seconds.items()}
    assert counts == {"batch": 4, "ok": 2, "fails": 1}
    assert {key: count for key, count in counted.attempts.items() if count} == {
        ("batch", "succeeded"): 4,
        ("ok", "succeeded"): 2,
        ("fails", "failed"): 1,
        ("", "failed"): 1,
    }
