"""Forks a child for each order that it reads, run with the shim preloaded: `python -m
tests.crash.forker`. An order is a line of JSON, as `faults.Forker.drain` writes it; the child says
how its drain ended, and the parent its exit status.
"""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer, ReplayReport
from tests.crash import handlers, small
from tests.crash.faults import Journal, Work
from tests.crash.program import words_of
from tests.crash.server import serve


class Shim:
    """What is preloaded into this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.shim_fail.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int]
        self._library.shim_fail.restype = None
        self._library.shim_changes.restype = ctypes.c_int64

    def watch(self, folder: Path) -> None:
        self._library.shim_watch(os.fsencode(folder))

    def fail(self, how: int, at: int, error: int) -> None:
        self._library.shim_fail(how, at, error)

    def record(self, path: str) -> None:
        self._library.shim_record(os.fsencode(path))

    def note(self, text: str) -> None:
        self._library.shim_note(text.encode())

    @property
    def changes(self) -> int:
        return int(self._library.shim_changes())


def _drain(path: Path, journal: Journal, shim: Shim, work: Work | None = None) -> ReplayReport:
    with DeadLetterQueue.open(path) as queue:
        queue.connection.execute(f"PRAGMA journal_mode = {journal.mode}")
        queue.connection.execute(f"PRAGMA synchronous = {journal.synchronous}")
        if work is None:
            registry, settings = handlers.registry(path.parent, routed=False), small.SETTINGS
        else:
            registry, settings = work.registry(path.parent), work.settings
        replayer = DlqReplayer(queue, registry, DlqReplayConfig.from_mapping(settings))
        return replayer.drain(on_progress=lambda report: shim.note(json.dumps(report.as_dict())))


def _obey(order: dict[str, Any], shim: Shim) -> dict[str, Any]:
    path = Path(order["path"])
    if order["fault"] is not None:
        shim.fail(*order["fault"])
    if order["record"] is not None:
        shim.record(order["record"])
    shim.watch(path.parent)
    work = None if order["work"] is None else Work(*order["work"])
    words = words_of(lambda: _drain(path, Journal(*order["journal"]), shim, work))
    return {**words, "changes": shim.changes}


def _warm_up(shim: Shim) -> None:
    """Whatever a drain imports is imported before a child is forked."""
    with tempfile.TemporaryDirectory() as folder:
        file = small.make(Path(folder) / "projection.db", "wal")
        _drain(file.path, Journal("wal"), shim)


def main() -> None:
    shim = Shim()
    _warm_up(shim)
    serve(lambda order: _obey(order, shim))


if __name__ == "__main__":
    main()
