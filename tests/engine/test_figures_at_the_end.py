"""What reports and counters say of drains that end early: the same as the file."""

from __future__ import annotations

import gc
import logging
import sqlite3
from contextlib import closing

import pytest

from azoth_dlq import ReplayReport, StorageError
from azoth_dlq.store.settlement import Settlement
from azoth_dlq.store.sqlite import checkpoint
from tests.conftest import Scene
from tests.engine.deaths import die_in_the_handler_of
from tests.engine.lost_groups import roll_back_by_conflict
from tests.engine.outside import OutsideBatches, outside, outside_batches


def test_a_log_that_cannot_be_emptied_takes_no_figure_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full from the last letter's call on."""

    def fails(_: object) -> None:
        raise StorageError("full")

    def fills(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        monkeypatch.setattr(checkpoint.Log, "finish", fails)

    scene.registry.register("fills", fills)
    letters = [scene.letter(), scene.letter(), scene.letter("fills")]
    replayer = scene.replay()
    with pytest.raises(StorageError) as caught:
        replayer.drain()
    report = caught.value.report
    assert (scene.left(), scene.effects()) == ([], letters)
    assert report is not None
    assert (report.succeeded, report.remaining) == (3, 0)
    assert replayer.metrics.snapshot().successes == 3


def test_a_charged_letter_is_not_among_those_that_remain(scene: Scene) -> None:
    """Its process died: it is charged first, out of the order of the plan."""
    letters = [scene.letter() for _ in range(5)]
    die_in_the_handler_of(scene, letters[-1])
    replayer = scene.replay()
    reports: list[ReplayReport] = []

    def stop_after_the_charge(report: ReplayReport) -> None:
        reports.append(report)
        replayer.shutdown()

    report = replayer.drain(on_progress=stop_after_the_charge)
    assert (report.failed, report.succeeded, report.remaining) == (1, 0, 4)
    assert scene.left() == letters


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_letters_of_a_failed_batch_remain(scene: Scene, interrupt: type[BaseException]) -> None:
    """The interrupt comes before the next group: as the failure is logged."""

    def fail(_: object) -> None:
        raise ValueError("not today")

    class Interrupting:
        def filter(self, _record: object) -> bool:
            raise interrupt

    scene.registry.register("outside", OutsideBatches(fail), transactional=False)
    letters = [scene.letter(), *(scene.letter("outside") for _ in range(4))]
    logger, filtering = logging.getLogger("azoth_dlq"), Interrupting()
    reports: list[ReplayReport] = []
    logger.addFilter(filtering)
    try:
        with pytest.raises(interrupt):
            scene.replay().drain(on_progress=reports.append)
    finally:
        logger.removeFilter(filtering)
    assert (reports[-1].succeeded, reports[-1].remaining) == (1, 4)
    assert scene.left() == letters[1:]


def test_a_letter_that_takes_its_group_away_and_is_charged_meanwhile_counts_once(
    scene: Scene,
) -> None:
    """Another process died in it before it is called again."""
    scene.drain()

    def rogue(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        die_in_the_handler_of(scene, event_id)
        roll_back_by_conflict(conn)

    scene.registry.register("rogue", rogue)
    letters = [scene.letter("rogue"), scene.letter(), scene.letter()]
    told: list[ReplayReport] = []
    told.append(scene.replay().drain(on_progress=told.append))
    assert [report.attempted + report.remaining for report in told] == [3] * len(told)
    assert (told[-1].failed, told[-1].succeeded, told[-1].skipped) == (1, 2, 0)
    assert scene.left() == letters[:1]


def test_progress_that_fails_is_not_told_again(scene: Scene) -> None:
    scene.letter()
    told: list[int] = []

    def fail(report: ReplayReport) -> None:
        told.append(report.succeeded)
        raise RuntimeError("no terminal")

    with pytest.raises(RuntimeError, match="no terminal"):
        scene.replay().drain(on_progress=fail)
    assert told == [1]
    assert scene.left() == []


def test_a_replayer_keeps_nothing_of_the_groups_it_counted(scene: Scene) -> None:
    before = _settlements()
    scene.letter()
    replayer = scene.replay()
    replayer.drain()
    assert _settlements() == before
    assert replayer.metrics.snapshot().successes == 1


def _settlements() -> int:
    gc.collect()
    return sum(isinstance(kept, Settlement) for kept in gc.get_objects())


@pytest.mark.parametrize("died_in", [4, 16, 17])
@pytest.mark.parametrize("batched", [False, True])
def test_every_report_on_the_way_adds_up(any_scene: Scene, batched: bool, died_in: int) -> None:
    """Each planned letter is done or remains: also one whose call outside is under way, is done
    again after its batch, cannot be read, or has been gone since; and one that a process died in,
    which may be one that cannot be read, or is exhausted."""

    def refuse(*_: object) -> None:
        raise ValueError("it failed")

    if batched:
        outside_batches(any_scene, OutsideBatches(refuse))
    else:
        outside(any_scene)
    any_scene.drain()
    kinds = ("ok", "outside", "outside", "fails", "outside", "outside", "ok", "outside")
    letters = [any_scene.letter(kind) for kind in kinds * 2]
    letters += [any_scene.letter(failed_at="never"), any_scene.letter(retry_count=99)]
    letters.append(any_scene.letter(event_bytes="no bytes"))
    die_in_the_handler_of(any_scene, letters[died_in])
    gone = [letters[1], letters[9], letters[12]]
    told: list[ReplayReport] = []

    def tell(report: ReplayReport) -> None:
        told.append(report)
        if len(told) == 2:
            with closing(sqlite3.connect(str(any_scene.path))) as other, other:
                other.executemany(
                    "DELETE FROM dead_letter_queue WHERE id = ?", ((i,) for i in gone)
                )

    report = any_scene.replay(max_transaction_time=1e-6).drain(on_progress=tell)
    told.append(report)
    assert report.remaining == 0
    assert {r.attempted + r.skipped + r.unreadable + r.exhausted + r.remaining for r in told} == {
        len(letters)
    }
    assert report.skipped > 0
