"""Letters whose rows the database does not let be changed or deleted cost only themselves."""

from __future__ import annotations

import pytest

from azoth_dlq import ReplayReport, StorageError
from tests.conftest import Scene
from tests.engine.deaths import die_in_the_handler_of
from tests.engine.outside import (
    Outside,
    OutsideBatches,
    claims,
    outside,
    raises,
    retry_counts,
)


def _refuse_changes(scene: Scene, condition: str, event: str = "UPDATE") -> None:
    scene.conn.execute(
        f"CREATE TRIGGER keep_{event} BEFORE {event} ON dead_letter_queue WHEN {condition} "
        "BEGIN SELECT RAISE(ABORT, 'it is to stay'); END"
    )
    if scene.conn.in_transaction:
        scene.conn.commit()


def test_a_letter_whose_failure_cannot_be_written_keeps_no_other_from_being_done(
    any_scene: Scene,
) -> None:
    kinds = ("ok", "fails", "ok", "fails", "ok", "fails")
    letters = [any_scene.letter(kind) for kind in kinds]
    kept = letters[1:4:2]
    _refuse_changes(any_scene, f"old.id IN ({kept[0]}, {kept[1]})")
    told: list[ReplayReport] = []
    with pytest.raises(StorageError, match="it is to stay") as caught:
        any_scene.replay().drain(on_progress=told.append)
    assert f"letter {kept[0]} stays as it was" in str(caught.value)
    report = caught.value.report
    assert report is not None
    assert (report.succeeded, report.failed, report.skipped, report.remaining) == (3, 1, 0, 2)
    assert told[-1].remaining == 2
    assert any_scene.effects() == letters[::2]
    assert any_scene.left() == [*kept, letters[-1]]
    assert f"(SQLite: it is to stay): ValueError: event {kept[0]} failed (and 1 more" in str(
        caught.value
    )
    # It has not been charged, and is called again by the next drain.
    _assert_counts(any_scene, {kept[0]: 0, kept[1]: 0, letters[-1]: 1})


def test_a_foreign_key_that_forbids_the_ack_fails_its_letter_alone(any_scene: Scene) -> None:
    letters = [any_scene.letter() for _ in range(5)]
    any_scene.conn.execute("PRAGMA foreign_keys = ON")
    any_scene.conn.execute("CREATE TABLE notes (letter REFERENCES dead_letter_queue(id))")
    any_scene.conn.execute("INSERT INTO notes VALUES (?)", (letters[2],))
    if any_scene.conn.in_transaction:
        any_scene.conn.commit()
    report = any_scene.drain()
    assert (report.succeeded, report.failed, report.remaining) == (4, 1, 0)
    assert any_scene.effects() == [letter for letter in letters if letter != letters[2]]
    _assert_counts(any_scene, {letters[2]: 1})


@pytest.mark.parametrize("kind", ["ok", "outside"])
@pytest.mark.parametrize("unreadable", [0, 2, 4])
@pytest.mark.parametrize("more", [0, 1])
def test_a_row_that_cannot_be_read_nor_parked_keeps_no_letter_from_being_done(
    any_scene: Scene, caplog: pytest.LogCaptureFixture, kind: str, unreadable: int, more: int
) -> None:
    outside(any_scene)
    letters = [
        any_scene.letter(kind, event_bytes=1.5 if unreadable <= n <= unreadable + more else None)
        for n in range(6)
    ]
    kept = letters[unreadable : unreadable + more + 1]
    _refuse_changes(any_scene, f"old.id IN ({kept[0]}, {kept[-1]})", "DELETE")
    with pytest.raises(StorageError, match="it is to stay") as caught:
        any_scene.drain()
    report = caught.value.report
    assert report is not None
    assert (report.succeeded, report.remaining) == (6 - len(kept), len(kept))
    assert any_scene.left() == kept
    assert sum("stays as it was" in line for line in caplog.messages) == len(kept)


def test_a_table_that_refuses_every_failure_ends_the_drain_before_all_are_called(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azoth_dlq.engine.recovery._MOST_ASIDE", 100)
    letters = [scene.letter("fails") for _ in range(120)]
    _refuse_changes(scene, "true")
    with pytest.raises(StorageError, match="it is to stay"):
        scene.drain()
    assert scene.left() == letters
    # In the first group alone.
    assert scene.calls.count(letters[-1]) == 1


def test_a_death_that_cannot_be_charged_keeps_no_other_letter_from_being_called(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.letter()
    scene.drain()
    kinds = ("ok", "fails", "ok")
    letters = [scene.letter(kind) for kind in kinds]
    die_in_the_handler_of(scene, letters[1])
    _refuse_changes(scene, f"old.id = {letters[1]}")
    with pytest.raises(StorageError, match=r"a process died in its handler; .* stay") as caught:
        scene.drain()
    told = f"letter {letters[1]} stays as it was"
    assert str(caught.value).startswith(told)
    assert [told in line for line in caplog.messages] == [True]
    report = caught.value.report
    assert report is not None
    assert (report.succeeded, report.failed, report.remaining) == (2, 0, 1)
    # Neither is it called by this drain, nor charged by the next.
    assert scene.calls[1:] == [letters[0], letters[2]]
    scene.conn.execute("DROP TRIGGER keep_UPDATE")
    assert scene.drain().failed == 1
    _assert_counts(scene, {letters[1]: 1})


@pytest.mark.parametrize("ending", ["returns", "fails"])
@pytest.mark.parametrize("in_batches", [False, True])
def test_a_letter_called_outside_whose_outcome_is_refused_costs_only_itself(
    any_scene: Scene, ending: str, in_batches: bool
) -> None:
    fails = raises(ValueError("it failed")) if ending == "fails" else None
    called = OutsideBatches(fails, fails) if in_batches else Outside(fails)
    any_scene.registry.register("outside", called, transactional=False)
    letters = [any_scene.letter("outside") for _ in range(5)]
    _refuse_changes(any_scene, f"old.id = {letters[2]}")
    _refuse_changes(any_scene, f"old.id = {letters[2]}", "DELETE")
    told: list[ReplayReport] = []
    with pytest.raises(StorageError, match=r"will be again; .* stay") as caught:
        any_scene.replay().drain(on_progress=told.append)
    assert str(caught.value).startswith(f"letter {letters[2]} stays as it was")
    assert ("ValueError: it failed" in str(caught.value)) == (ending == "fails")
    report = caught.value.report
    assert report is not None
    done = (0, 4) if ending == "fails" else (4, 0)
    assert (report.succeeded, report.failed, report.skipped, report.remaining) == (*done, 0, 1)
    assert told[-1].remaining == 1
    if isinstance(called, OutsideBatches):
        assert called.batches == [letters]
    assert called.called == ([] if in_batches and ending == "returns" else letters)
    assert retry_counts(any_scene) == {
        letter: int(letter != letters[2])
        for letter in letters
        if ending == "fails" or letter == letters[2]
    }
    assert claims(any_scene) == []


def test_a_table_that_refuses_every_outcome_ends_the_drain_before_all_are_called_outside(
    scene: Scene,
) -> None:
    called = outside(scene)
    letters = [scene.letter("outside") for _ in range(30)]
    for event in ("UPDATE", "DELETE"):
        _refuse_changes(scene, "true", event)
    with pytest.raises(StorageError, match="it is to stay"):
        scene.drain()
    assert scene.left() == letters
    assert called.called == letters[:11]
    for event in ("UPDATE", "DELETE"):
        scene.conn.execute(f"DROP TRIGGER keep_{event}")
    assert scene.drain().succeeded == 30


def test_of_letters_called_outside_those_that_are_refused_are_counted_in_a_row(
    scene: Scene,
) -> None:
    called = outside(scene)
    letters = [scene.letter("outside") for _ in range(30)]
    for event in ("UPDATE", "DELETE"):
        _refuse_changes(scene, "old.id % 5", event)
    with pytest.raises(StorageError, match="it is to stay") as caught:
        scene.drain()
    assert called.called == letters
    report = caught.value.report
    assert report is not None
    assert (report.succeeded, report.remaining) == (6, 24)


@pytest.mark.parametrize("count", [1, 2, 1201])
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_a_letter_that_cannot_be_parked_keeps_no_other_from_it(
    scene: Scene, count: int, place: float, caplog: pytest.LogCaptureFixture
) -> None:
    unfit = [scene.letter(failed_at="never") for _ in range(count)]
    due = scene.letter()
    kept = unfit[int(place * (count - 1))]
    _refuse_changes(scene, f"old.id = {kept}", "DELETE")
    told: list[ReplayReport] = []
    with pytest.raises(StorageError, match="it is to stay") as caught:
        scene.replay().drain(on_progress=told.append)
    assert str(caught.value).startswith(f"letter {kept} stays as it was")
    assert sum("stays as it was" in line for line in caplog.messages) == 1
    report = caught.value.report
    assert report is not None
    assert (report.parked, report.unreadable, report.skipped) == (count - 1, count - 1, 0)
    assert (report.succeeded, report.remaining) == (1, 1)
    assert {r.parked + r.succeeded + r.remaining for r in told} == {count + 1}
    assert scene.left() == [kept]
    assert scene.effects() == [due]
    assert sorted(scene.parked()) == [letter for letter in unfit if letter != kept]


def test_several_letters_that_cannot_be_parked_keep_no_other_from_it(scene: Scene) -> None:
    unfit = [scene.letter(failed_at="never") for _ in range(700)]
    _refuse_changes(scene, "old.id % 100 = 7 OR old.id BETWEEN 300 AND 330", "DELETE")
    kept = [i for i in unfit if i % 100 == 7 or 300 <= i <= 330]
    with pytest.raises(StorageError, match="it is to stay") as caught:
        scene.drain()
    report = caught.value.report
    assert report is not None
    assert (report.parked, report.remaining) == (700 - len(kept), len(kept))
    assert scene.left() == kept


def test_many_letters_that_cannot_be_parked_cost_the_others_little(scene: Scene) -> None:
    unfit = [scene.letter(failed_at="never") for _ in range(600)]
    _refuse_changes(scene, "old.id % 2", "DELETE")
    written: list[str] = []
    scene.conn.set_trace_callback(written.append)
    with pytest.raises(StorageError, match="it is to stay"):
        scene.drain()
    scene.conn.set_trace_callback(None)
    assert scene.left() == unfit[::2]
    assert sum("INSERT INTO main.permanent_failures" in text for text in written) < 10 * len(unfit)


def test_a_table_that_lets_no_letter_be_parked_is_not_tried_for_ever(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    unfit = [scene.letter(failed_at="never") for _ in range(1100)]
    scene.letter("fails")
    _refuse_changes(scene, "true", "DELETE")
    with pytest.raises(StorageError, match="it is to stay") as caught:
        scene.drain()
    assert sum("stays as it was" in line for line in caplog.messages) == 1000
    report = caught.value.report
    assert report is not None
    assert (report.parked, report.failed, report.remaining) == (0, 1, len(unfit))


def _assert_counts(scene: Scene, expected: dict[int, int]) -> None:
    assert dict(scene.conn.execute("SELECT id, retry_count FROM dead_letter_queue")) == expected
