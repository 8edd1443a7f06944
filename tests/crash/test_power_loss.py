"""A loss of power at each sync of a drain, with any part of what was not synced lost or torn.

Four files a sync are rebuilt, with `--long` 200.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer
from tests.attacks import Attack
from tests.crash import handlers, small
from tests.crash.faults import Change, Forker, Journal, Kind, read_record
from tests.crash.power import Disk
from tests.crash.processes import DlqFile


class Done(NamedTuple):
    """How far a file is: letters done, letters parked, letters that failed and wait."""

    done: int
    parked: int
    failed: int


class Loss(NamedTuple):
    """At one instant: the disk, and how far the drain said to be by then, the latest last."""

    disk: Disk
    told: list[Done]


def _told(change: Change) -> list[Done]:
    """How far the drain said to be, after a COMMIT."""
    if change.kind is not Kind.NOTE:
        return []
    report: dict[str, Any] = json.loads(change.data)
    return [Done(report["succeeded"], report["parked"], report["failed"] - report["parked"])]


def _losses(disk: Disk, record: list[Change]) -> Iterator[Loss]:
    """One just before each sync is done, and one at the end."""
    loss = Loss(disk, [Done(0, 0, 0)])
    for change in record:
        if change.kind is Kind.SYNC:
            yield loss
        loss.disk.change(change)
        loss.told.extend(_told(change))
    yield loss


def _found(file: DlqFile) -> Done:
    parked, left = len(file.parked()), len(file.left())
    return Done(len(small.EVENTS) - parked - left, parked, len(file.charges()))


def _drain(file: DlqFile) -> None:
    with DeadLetterQueue.open(file.path) as queue:
        queue.connection.execute("PRAGMA synchronous = OFF")
        registry = handlers.registry(file.path.parent, routed=False)
        config = DlqReplayConfig.from_mapping(small.SETTINGS)
        DlqReplayer(queue, registry, config).drain()


@pytest.mark.parametrize(
    ("journal", "is_durable"),
    [
        (Journal("wal", "FULL"), True),
        (Journal("wal", "NORMAL"), False),
        (Journal("delete", "EXTRA"), True),
        (Journal("delete", "FULL"), False),
        (Journal("truncate", "FULL"), True),
        (Journal("persist", "FULL"), True),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, Journal) else "",
)
def test_a_loss_of_power_leaves_everything_done_once_or_waiting(
    forker: Forker, tmp_path: Path, attack: Attack, journal: Journal, *, is_durable: bool
) -> None:
    """Where the setting is durable, it leaves all that a COMMIT was told of; elsewhere the last
    ones may be gone, each as a whole."""
    folder = tmp_path / "drained"
    folder.mkdir()
    file = small.make(folder / "projection.db", journal.mode)
    disk = Disk(folder)
    record_file = tmp_path / "record"
    outcome = forker.drain(file.path, journal, record=record_file)
    assert outcome.ending is not None
    assert outcome.ending.ended == "returned", outcome
    record = list(read_record(record_file))
    all_told = [Done(0, 0, 0), *(done for change in record for done in _told(change))]
    assert len(set(all_told)) > len(small.EVENTS) / 2
    dice = random.Random(7)
    for loss in _losses(disk, record):
        # Behind the latest that was told, the next one may be done, too.
        possible = all_told[: len(loss.told) + 1]
        for _ in range(attack.size(1, long=200)):
            rebuilt = _rebuilt(tmp_path / "rebuilt", loss.disk.after_loss(dice))
            small.assert_whole(rebuilt)
            assert _found(rebuilt) in (possible[len(loss.told) - 1 :] if is_durable else possible)
            _drain(rebuilt)
            _drain(rebuilt)
            small.assert_done(rebuilt)
            attack.struck(f"loss of power at a sync ({' '.join(journal)})")


def _rebuilt(folder: Path, contents: dict[str, bytes]) -> DlqFile:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return DlqFile(folder / "projection.db")
