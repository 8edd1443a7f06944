"""How long another writer of the file waits beside a drain."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayer, EventHandlerRegistry
from benchmarks import drains, subjects
from benchmarks.conftest import Figure
from benchmarks.outage import make_outage

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.benchmark(group=subjects.BESIDE)


def wait_5_ms(_conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
    time.sleep(0.005)


@pytest.mark.parametrize(
    ("handler", "letters"),
    [
        (drains.do_nothing, 200_000),
        (wait_5_ms, 600),
        pytest.param(drains.do_nothing, 2_000_000, marks=pytest.mark.large),
        pytest.param(wait_5_ms, 6000, marks=pytest.mark.large),
    ],
)
def test_a_writer_beside_a_drain(
    benchmark: Any, figure: Figure, tmp_path: Path, handler: drains.Handler, letters: int
) -> None:
    path = tmp_path / "beside.db"
    make_outage(path, in_order=False, letters=letters)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    command = [sys.executable, "-m", "benchmarks.writer", str(path)]
    registry = EventHandlerRegistry()
    registry.register("deposit", handler)
    with (
        DeadLetterQueue.open(path) as dlq,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer,
    ):
        dlq.connection.execute("PRAGMA synchronous = NORMAL")
        report = benchmark.pedantic(DlqReplayer(dlq, registry).drain, rounds=1)
        path.with_name(f"{path.name}.enough").touch()
        told, _ = writer.communicate(timeout=60)
    longest, inserts, refused = map(float, told.split())
    assert report.succeeded == letters
    seconds = report.duration.total_seconds()
    called = "no-op handler" if handler is drains.do_nothing else "handler of 5 ms"
    name = f"{called}, {seconds:.0f} s of drain: another writer"
    figure(f"{name} refused", refused, at_most=0, floor=0, inserts=inserts)
    figure(f"{name} waited at the longest, s", longest, at_most=2, floor=4)
