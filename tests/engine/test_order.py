"""In which order letters are attempted: by instant, not by text, ties by id."""

from __future__ import annotations

from typing import Any

import pytest

from azoth_dlq import ReplayPriority
from azoth_dlq.priority import ORDER_BY
from tests.conftest import Scene

# The same four instants, an hour apart and oldest first, in forms whose texts sort otherwise.
MIXED = [
    ["2026-11-24 01:00:00", "2026-11-24T09:00:00+08:00", "2026-11-23T20:00:00-05:00"],
    ["2026-11-24T02:00:00Z", "2026-11-24 02:00:00", "2026-11-24t02:00:00.0z"],
    ["2026-11-24 03:00:00.000", "2026-11-24T05:00:00+02:00", "2026-11-24 03:00:00Z"],
    ["2026-11-23T20:00:00-08:00", "2026-11-24 04:00:00", "2026-11-24T04:00:00.000000Z"],
]


def _letters(scene: Scene, **columns: Any) -> list[list[int]]:
    """Ids by instant, oldest first; inserted form by form, so that ids follow no instant."""
    ids: list[list[int]] = [[] for _ in MIXED]
    for form in range(3):
        for place in (2, 0, 3, 1):
            ids[place].append(scene.letter(failed_at=MIXED[place][form], **columns))
    return ids


def _flat(ids: list[list[int]]) -> list[int]:
    return [letter for same in ids for letter in same]


def test_fifo_goes_by_instant_with_ties_by_id(scene: Scene) -> None:
    ids = _letters(scene)
    scene.drain(priority=ReplayPriority.FIFO)
    assert scene.calls == _flat(ids)


def test_lifo_goes_by_instant_backwards_with_ties_by_id(scene: Scene) -> None:
    ids = _letters(scene)
    scene.drain(priority=ReplayPriority.LIFO)
    assert scene.calls == _flat(ids[::-1])


def test_by_retry_count_goes_by_count_then_by_instant(scene: Scene) -> None:
    tried = _letters(scene, retry_count=2)
    fresh = _letters(scene)
    once = _letters(scene, retry_count=1)
    scene.drain(priority=ReplayPriority.BY_RETRY_COUNT)
    assert scene.calls == _flat(fresh) + _flat(once) + _flat(tried)


def test_by_error_type_goes_by_the_first_listed_text_then_by_instant(scene: Scene) -> None:
    other = _letters(scene, error="out of cheese")
    deadlock = _letters(scene, error="database DeadLock, then TIMEOUTS")
    timeout = _letters(scene, error="Timeout while reading")
    scene.drain(priority=ReplayPriority.by_error_type(["deadlock", "timeout"]))
    assert scene.calls == _flat(deadlock) + _flat(timeout) + _flat(other)


def test_an_underscore_of_an_error_type_is_no_wildcard(scene: Scene) -> None:
    wild = scene.letter(error="connectionXerror", failed_at="2026-11-24 01:00:00")
    literal = scene.letter(error="connection_error", failed_at="2026-11-24 02:00:00")
    scene.drain(priority=ReplayPriority.by_error_type(["connection_error"]))
    assert scene.calls == [literal, wild]


def test_an_unlisted_error_comes_after_two_thousand_listed_ones(scene: Scene) -> None:
    unlisted = scene.letter(error="something else", failed_at="2026-11-24 01:00:00")
    last = scene.letter(error="cause 1999", failed_at="2026-11-24 02:00:00")
    scene.drain(priority=ReplayPriority.by_error_type([f"cause {n}" for n in range(1000, 3000)]))
    assert scene.calls == [last, unlisted]


def test_error_text_that_is_not_utf8_is_searched_too(scene: Scene) -> None:
    plain = scene.letter(error="nothing listed", failed_at="2026-11-24 01:00:00")
    broken = scene.letter(failed_at="2026-11-24 02:00:00")
    scene.conn.execute(
        "UPDATE dead_letter_queue SET error_message = CAST(x'FF' || 'timeout' || x'FE' AS TEXT) "
        "WHERE id = ?",
        (broken,),
    )
    scene.drain(priority=ReplayPriority.by_error_type(["timeout"]))
    assert scene.calls == [broken, plain]


@pytest.mark.parametrize(
    "priority",
    [
        *map(ReplayPriority, ORDER_BY),
        ReplayPriority.by_error_type(["time_out", "HTTP 503", "x"]),
    ],
    ids=str,
)
def test_the_clause_for_other_programs_agrees_with_the_drain(
    scene: Scene, priority: ReplayPriority
) -> None:
    errors = ["Time_Out!", "timeXout", "http 503", "none", "a TIME_OUT in http 503"]
    for n in range(60):
        scene.letter(
            failed_at=f"2026-11-24 0{n * 7 % 9}:00:00",
            retry_count=n * 5 % 4,
            error=errors[n % 5],
            last_retry_at="2026-11-23 00:00:00",
        )
    clause = priority.order_by_clause()
    rows = scene.conn.execute(f"SELECT id FROM dead_letter_queue ORDER BY {clause}, id")  # noqa: S608 -- the clause is what is tested
    expected = [letter for (letter,) in rows]
    assert expected != sorted(expected)
    scene.drain(priority=priority)
    assert scene.calls == expected


def test_the_order_holds_across_groups_and_chunks(scene: Scene) -> None:
    for n in range(1300):
        scene.letter(failed_at=f"2026-11-24 0{n * 7 % 9}:{n % 60:02}:00")
    rows = scene.conn.execute("SELECT id FROM dead_letter_queue ORDER BY failed_at DESC, id")
    expected = [letter for (letter,) in rows]
    scene.drain(priority=ReplayPriority.LIFO, max_transaction_time=0.005)
    assert scene.calls == expected


def test_a_cycle_takes_the_first_of_the_order(scene: Scene) -> None:
    ids = _letters(scene)
    scene.replay(priority=ReplayPriority.LIFO, batch_size=4).run_replay_cycle()
    assert scene.calls == _flat(ids[::-1])[:4]
