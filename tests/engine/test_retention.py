"""What a run purges by `retention`, beside others that write."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from azoth_dlq import StorageError
from azoth_dlq.acting import Purge
from tests.conftest import Scene
from tests.engine.running import run


def test_a_purge_waits_for_a_file_that_is_locked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        scene.letter("nobody's")
    assert scene.drain(max_retries=1).parked == 3
    assert scene.path is not None
    scene.conn.execute("PRAGMA busy_timeout = 10")
    purge_some = Purge.step
    refused: list[StorageError] = []
    purges: set[int] = set()

    def step(purge: Purge) -> bool:
        if not purges:
            other.execute("BEGIN IMMEDIATE")
            threading.Timer(0.5, other.execute, ["COMMIT"]).start()
        purges.add(id(purge))
        try:
            return purge_some(purge)
        except StorageError as error:
            refused.append(error)
            raise

    monkeypatch.setattr(Purge, "step", step)
    connection = sqlite3.connect(scene.path, isolation_level=None, check_same_thread=False)
    with closing(connection) as other:
        report, _ = run(scene, 2, retention=1e-6)
    assert refused
    assert (report.purged, scene.parked(), len(purges)) == (3, {}, 1)
