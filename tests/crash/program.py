"""A program that drains a file once, or again and again until SIGTERM, run as a process:
`python -m tests.crash.program FILE ORDER`.

ORDER is JSON with the members of `Order`. The last line that the program says is JSON: how the
drain ended, with which message, its report, and whether a forked child says so.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from azoth_dlq import (
    BatchConfig,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    InvalidStateError,
    ReplayReport,
    StorageError,
)
from azoth_dlq.registration import Registration
from tests.crash import handlers
from tests.crash.talk import Pauses, say

# Where handlers take batches, as many as a batch may have are fetched at once.
LETTERS_A_FETCH = BatchConfig().max_batch_size


@dataclass
class Order:
    """Settings of the drain; points to pause at (opened, committed, yielding, settling, fetching,
    `lookup N`); seconds to leave the file alone after each commit; seconds after which a thread
    asks for a shutdown; bytes beyond which no file may grow; whether it goes on until SIGTERM;
    whether a route looks at each event."""

    settings: dict[str, Any] = field(default_factory=dict)
    pauses: list[str] = field(default_factory=list)
    rest: float = 0.0
    shutdown_after: float | None = None
    largest_file: int | None = None
    runs: bool = False
    routed: bool = False


def _limit_file_size(size: int) -> None:
    import resource  # noqa: PLC0415 -- there is none on Windows

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _pause_while_settling(connection: sqlite3.Connection, pauses: Pauses) -> None:
    connection.create_function("settling", 0, lambda: pauses.at("settling"))
    connection.execute(
        "CREATE TEMP TRIGGER settles BEFORE DELETE ON main.dead_letter_queue "
        "BEGIN SELECT settling(); END"
    )


def _pause_while_fetching(connection: sqlite3.Connection, pauses: Pauses) -> None:
    """When letters are fetched once more within a group: the statement asks for their lengths."""
    seen = 0

    def length(event_bytes: bytes) -> int:
        nonlocal seen
        seen += 1
        if seen > LETTERS_A_FETCH:
            pauses.at("fetching")
        return len(event_bytes)

    connection.create_function("length", 1, length)


def _pause_at_lookups(pauses: Pauses) -> None:
    """When the handler of the n-th event is looked up."""
    resolve, lookups = EventHandlerRegistry.resolve, count(1)

    def resolve_later(
        registry: EventHandlerRegistry, event_bytes: bytes
    ) -> tuple[Registration, bytes]:
        pauses.at(f"lookup {next(lookups)}")
        return resolve(registry, event_bytes)

    EventHandlerRegistry.resolve = resolve_later  # type: ignore[assignment,method-assign]  # a pause comes first


def drain(path: Path, order: Order) -> ReplayReport:
    pauses = Pauses(path.parent, order.pauses)

    def sleep(seconds: float) -> None:
        pauses.at("yielding")
        time.sleep(seconds)

    def progress(_report: ReplayReport) -> None:
        pauses.at("committed")
        time.sleep(order.rest)

    with DeadLetterQueue.open(path) as queue:
        if "settling" in pauses:
            _pause_while_settling(queue.connection, pauses)
        if "fetching" in pauses:
            _pause_while_fetching(queue.connection, pauses)
        config = DlqReplayConfig.from_mapping(order.settings)
        _pause_at_lookups(pauses)
        registry = handlers.registry(path.parent, routed=order.routed)
        replayer = DlqReplayer(queue, registry, config, sleep=None if order.runs else sleep)
        pauses.at("opened")
        if order.shutdown_after is not None:
            threading.Timer(order.shutdown_after, replayer.shutdown).start()
        if order.largest_file is not None:
            _limit_file_size(order.largest_file)
        if order.runs:
            signal.signal(signal.SIGTERM, lambda *_: replayer.shutdown())
            say("running")
            return replayer.run(on_progress=progress)
        say("draining")
        return replayer.drain(on_progress=progress)


def _kind(error: BaseException) -> str:
    known = (StorageError, InvalidStateError)
    return next((k.__name__ for k in known if isinstance(error, k)), type(error).__name__)


def words_of(drained: Callable[[], ReplayReport]) -> dict[str, Any]:
    """How a drain ended, as `Ending` has it."""
    process = os.getpid()
    ended, message = "returned", ""
    report: ReplayReport | None = None
    try:
        report = drained()
    # What a drain lets go up is what the tests look at, interrupts too.
    except BaseException as error:  # noqa: BLE001 -- it tells of whatever comes
        ended, message = _kind(error), str(error)
        report = getattr(error, "report", None)
    return {
        "ended": ended,
        "message": message,
        "report": None if report is None else report.as_dict(),
        "forked": os.getpid() != process,
    }


def main() -> None:
    path, order = Path(sys.argv[1]), Order(**json.loads(sys.argv[2]))
    say(json.dumps(words_of(lambda: drain(path, order))))


if __name__ == "__main__":
    main()
