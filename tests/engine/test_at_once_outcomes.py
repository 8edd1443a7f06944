"""What becomes of letters whose handlers are called at once: the same as one after the other."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azoth_dlq import (
    DeadLetterQueue,
    NonRetryable,
    ReplayReport,
    RetryAfter,
    Snooze,
    StorageError,
)
from tests.conftest import Scene
from tests.engine.at_once import KINDS, AtOnce, InBatches, at_once, in_batches
from tests.engine.outside import claims, elsewhere, retry_counts

LETTERS_NOW = (
    "SELECT id, event_id, retry_count, last_retry_at, azoth_last_error, azoth_not_before "
    "FROM dead_letter_queue"
)
HISTORY = "SELECT letter_id, parked_id, outcome, error_type, message FROM azoth_dlq_history"
with_kinds = pytest.mark.parametrize("kind", KINDS)

ERRORS: dict[str, Exception] = {
    "fails": ValueError("no"),
    "parks": NonRetryable("never"),
    "waits": RetryAfter(100, "busy"),
    "snoozes": Snooze(100, "later"),
}


def acting(scene: Scene) -> Any:
    """What a handler does is told by the letter's error text."""
    texts = dict(scene.conn.execute("SELECT event_id, error_message FROM dead_letter_queue"))

    def act(event_id: int) -> None:
        error = ERRORS.get(texts[event_id])
        if error is not None:
            raise type(error)(*([100] if isinstance(error, RetryAfter | Snooze) else []), "told")

    return act


def seen(scene: Scene, report: ReplayReport) -> dict[str, Any]:
    """All that a drain has left, but for how long it took."""
    state = {
        "letters": scene.conn.execute(LETTERS_NOW),
        "parked": scene.conn.execute(
            "SELECT azoth_dead_letter_id, retry_count, azoth_reason FROM permanent_failures "
            "ORDER BY 1"
        ),
        "history": scene.conn.execute(HISTORY),
    }
    told = {name: value for name, value in report.as_dict().items() if name != "duration"}
    rows = {name: Counter(cursor.fetchall()) for name, cursor in state.items()}
    # Permanent failures are numbered as they come.
    rows["history"] = Counter(row[:1] + row[2:] for row in rows["history"].elements())
    return {**rows, "report": told, "effects": scene.effects(), "claims": claims(scene)}


def drained(letters: list[tuple[str, str, int]], kind: str, **settings: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "letters.db"
        with DeadLetterQueue.open(path) as queue:
            scene = Scene(queue, path)
            for name, error, count in letters:
                scene.letter(name, error=error, retry_count=count)
            act = acting(scene)
            at_once(scene, kind, act)
            in_batches_of(scene, kind, act)
            return seen(scene, scene.drain(**settings))


def in_batches_of(scene: Scene, kind: str, act: Any) -> None:
    def act_on_batch(events: list[int]) -> None:
        for event_id in events:
            act(event_id)

    handler = InBatches(act_on_batch, act)

    class Async:
        handle = handler.handle_async
        handle_batch = handler.handle_batch_async

    registered: object = handler if kind == "thread" else Async()
    scene.registry.register("batches", registered, transactional=False)


LETTERS = st.lists(
    st.tuples(
        st.sampled_from(["outside", "outside", "outside", "batches", "ok", "fails", "unknown"]),
        st.sampled_from(["", "", "", *ERRORS]),
        st.integers(0, 5),
    ),
    max_size=40,
)


@with_kinds
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(letters=LETTERS, concurrency=st.sampled_from([2, 3, 16]))
def test_it_is_the_same_as_one_after_the_other(
    kind: str, letters: list[tuple[str, str, int]], concurrency: int
) -> None:
    settings: dict[str, Any] = {"max_retries": 5}
    one_by_one = drained(letters, "thread", **settings)
    assert drained(letters, kind, concurrency=concurrency, **settings) == one_by_one


@with_kinds
def test_metrics_count_each_call(scene: Scene, kind: str) -> None:
    at_once(scene, kind, acting_on_odd)
    for _ in range(30):
        scene.letter("outside")
    replayer = scene.replay(concurrency=4)
    replayer.drain()
    snapshot = replayer.metrics.snapshot()
    assert snapshot.attempts == {("outside", "succeeded"): 15, ("outside", "failed"): 15}
    assert snapshot.handler_seconds["outside"].count == 30
    assert (snapshot.successes, snapshot.failures, snapshot.depth) == (15, 15, 15)


def acting_on_odd(event_id: int) -> None:
    if event_id % 2:
        raise ValueError("odd")


# Batches


@with_kinds
def test_batches_are_called_at_once_too(scene: Scene, kind: str) -> None:
    handler = in_batches(scene, kind, InBatches(lambda _: None))
    made = [scene.letter("outside") for _ in range(1700)]
    assert scene.drain(concurrency=4).succeeded == 1700
    assert sorted(e for batch in handler.batches for e in batch) == made
    assert max(map(len, handler.batches)) <= 1000
    assert len(handler.batches) <= 5
    assert handler.began == []


@with_kinds
def test_letters_of_a_batch_that_failed_are_called_one_by_one_in_the_same_drain(
    scene: Scene, kind: str
) -> None:
    def refuse(events: list[int]) -> None:
        if bad in events:
            raise ValueError("one of them")

    def act(event_id: int) -> None:
        if event_id == bad:
            raise ValueError("this one")

    handler = in_batches(scene, kind, InBatches(refuse, act))
    made = [scene.letter("outside") for _ in range(25)]
    bad = made[7]
    report = scene.drain(concurrency=2)
    assert (report.succeeded, report.failed, report.skipped) == (24, 1, 0)
    assert sorted(handler.began) == made
    assert retry_counts(scene) == {bad: 1}
    assert claims(scene) == []
    assert [error for error, _ in report.errors] == ["ValueError: this one"]


@with_kinds
def test_one_of_a_failed_batch_that_is_gone_meanwhile_is_not_called(
    scene: Scene, kind: str
) -> None:
    def refuse(_events: list[int]) -> None:
        elsewhere(scene, "DELETE FROM dead_letter_queue WHERE id = ?", made[3])
        raise ValueError("all")

    handler = in_batches(scene, kind, InBatches(refuse))
    made = [scene.letter("outside") for _ in range(6)]
    report = scene.drain(concurrency=2)
    assert (report.succeeded, report.skipped) == (5, 1)
    assert sorted(handler.began) == [*made[:3], *made[4:]]


@with_kinds
def test_letters_of_a_batch_that_failed_as_the_drain_ended_are_called_one_by_one_by_the_next(
    scene: Scene, kind: str
) -> None:
    def refuse(_events: list[int]) -> None:
        replayer.shutdown()
        raise ValueError("one of them")

    handler = in_batches(scene, kind, InBatches(refuse))
    made = [scene.letter("outside") for _ in range(6)]
    replayer = scene.replay(concurrency=2)
    report = replayer.drain()
    assert (report.stopped, report.attempted, report.remaining) == ("shutdown", 0, 6)
    assert (handler.batches, claims(scene)) == ([made], [])
    assert scene.drain(concurrency=2).succeeded == 6
    assert (len(handler.batches), sorted(handler.began)) == (1, made)


# Outcomes that the database refuses


def refuse_changes_of(scene: Scene, letter: int, *, also_failing: bool) -> None:
    scene.conn.execute(
        f"CREATE TRIGGER refuses BEFORE DELETE ON dead_letter_queue WHEN old.id = {letter} "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    if also_failing:
        scene.conn.execute(
            f"CREATE TRIGGER keeps BEFORE UPDATE ON dead_letter_queue WHEN old.id = {letter} "
            "BEGIN SELECT RAISE(ABORT, 'refused, too'); END"
        )


@with_kinds
@pytest.mark.parametrize("batches", [False, True])
def test_an_outcome_that_is_refused_costs_its_own_letter_alone(
    scene: Scene, kind: str, batches: bool
) -> None:
    handler: AtOnce
    if batches:
        handler = in_batches(scene, kind, InBatches(lambda _: None))
    else:
        handler = at_once(scene, kind)
    made = [scene.letter("outside") for _ in range(40)]
    scene.drain()  # has the file migrated
    made = [scene.letter("outside") for _ in range(40)]
    handler.began.clear()
    refuse_changes_of(scene, made[17], also_failing=False)
    report = scene.drain(concurrency=4)
    assert (report.succeeded, report.failed) == (39, 1)
    assert retry_counts(scene) == {made[17]: 1}
    assert "cannot be committed" in report.errors[0][0]
    assert claims(scene) == []
    if not batches:
        assert sorted(handler.began) == made  # none twice


@with_kinds
def test_one_of_which_nothing_can_be_written_is_told_of_and_the_others_are_done(
    scene: Scene, kind: str
) -> None:
    handler = at_once(scene, kind)
    scene.letter("outside")
    scene.drain()
    made = [scene.letter("outside") for _ in range(30)]
    handler.began.clear()
    refuse_changes_of(scene, made[11], also_failing=True)
    with pytest.raises(StorageError, match=f"letter {made[11]} stays as it was") as caught:
        scene.drain(concurrency=4)
    assert caught.value.report is not None
    assert caught.value.report.succeeded == 29
    assert (scene.left(), claims(scene)) == ([made[11]], [])
    assert sorted(handler.began) == made


@with_kinds
def test_a_lost_group_of_others_costs_no_call(scene: Scene, kind: str) -> None:
    """Their transaction goes away, with the claims in it; the calls are made once all the same."""

    def lose(conn: Any, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        conn.execute("CREATE TEMP TABLE IF NOT EXISTS once (id INTEGER PRIMARY KEY)")
        conn.execute("INSERT OR ROLLBACK INTO once VALUES (1)")
        conn.execute("INSERT OR ROLLBACK INTO once VALUES (1)")

    handler = at_once(scene, kind)
    scene.registry.register("loses", lose)
    made = [scene.letter(name) for _ in range(4) for name in ("outside", "ok", "loses", "outside")]
    report = scene.drain(concurrency=3)
    assert (report.succeeded, report.failed) == (12, 4)
    assert sorted(handler.began) == sorted(made[0::4] + made[3::4])
    assert scene.effects() == made[1::4]
    assert sorted(scene.left()) == made[2::4]
