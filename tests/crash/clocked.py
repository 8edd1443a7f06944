"""A program that drains a file once, or again and again until SIGTERM, and tells by true lengths
what it did: `python -m tests.crash.clocked FILE ORDER`.

ORDER is JSON with the members `runs` and `settings`. The program says `committed` after each
commit, and at the end a line of JSON, as `Account` has it. An event `turns:HOURS` turns the wall
clock of its process, so far from the true time; `fails:HOURS` does so, too, and fails.
"""

from __future__ import annotations

import json
import logging
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from azoth_dlq import (
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    ReplayReport,
    Snooze,
)
from tests.crash.clocks import turn_own
from tests.crash.talk import say


class Account(NamedTuple):
    """The report and the counters; how many groups were committed and how often a run looked for
    letters; the true seconds from beginning to end."""

    report: dict[str, Any]
    metrics: dict[str, Any]
    commits: int
    looks: int
    seconds: float


class _Looks(logging.Handler):
    """Counts what a run tells of each look."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += str(record.msg).startswith("looked for")


def _handle(conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
    conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
    if payload:
        turn_own(float(payload))
    time.sleep(0.002)


def _fail(conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
    _handle(conn, event_id, payload)
    raise ValueError("not today")


def _snooze(_conn: sqlite3.Connection, _event_id: int, payload: bytes) -> None:
    raise Snooze(float(payload))


def _outside(_conn: None, _event_id: int, payload: bytes) -> None:
    if payload:
        turn_own(float(payload))


registry = EventHandlerRegistry()
registry.register("turns", _handle)
registry.register("fails", _fail)
registry.register("snoozes", _snooze)
registry.register("outside", _outside, transactional=False)


def _replay(path: Path, order: dict[str, Any]) -> Account:
    logger, looks = logging.getLogger("azoth_dlq"), _Looks()
    logger.addHandler(looks)
    logger.setLevel(logging.DEBUG)
    commits = 0

    def progress(_report: ReplayReport) -> None:
        nonlocal commits
        commits += 1
        say("committed")

    with DeadLetterQueue.open(path) as queue:
        config = DlqReplayConfig.from_mapping(order["settings"])
        replayer = DlqReplayer(queue, registry, config)
        signal.signal(signal.SIGTERM, lambda *_: replayer.shutdown())
        say("replaying")
        began = time.monotonic()
        replay = replayer.run if order["runs"] else replayer.drain
        report = replay(on_progress=progress)
        metrics = replayer.metrics.snapshot().as_dict()
        seconds = time.monotonic() - began
    return Account(report.as_dict(), metrics, commits, looks.count, seconds)


if __name__ == "__main__":
    account = _replay(Path(sys.argv[1]), json.loads(sys.argv[2]))
    say(json.dumps(account._asdict()))
