"""Makes the file of this version that later versions are held to: `python -m tests.versions.make`.

It is run once, by the version that it is of, and never for a file that is there.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import azoth_dlq
from azoth_dlq import (
    BackoffStrategy,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    NonRetryable,
    Snooze,
)

DATA: Final = Path(__file__).parents[1] / "data"
EVENTS: Final = [
    "ok:1",
    "ok:2",
    "fails:3",
    "fails:4",
    "never:5",
    "never:6",
    "snoozes:7",
    "deadly:8",
]
EDITED, EDITED_PARKED = b"fails:mended", b"never:mended"
WHO: Final = "on call"
_CONFIG: Final = DlqReplayConfig(
    backoff=BackoffStrategy.fixed(0), min_age=0, stop_on_consecutive_failures=None
)
# Tracebacks name files as they lie in a checkout.
_WITHOUT_PLACE: Final = "UPDATE azoth_dlq_history SET traceback = replace(traceback, ?, '')"
# A process that dies in a call outside the transaction, whose claim stays.
_DEADLY: Final = """
import os, sys
from azoth_dlq import DeadLetterQueue, DlqReplayer, EventHandlerRegistry
registry = EventHandlerRegistry()
registry.register("deadly", lambda *_: os._exit(0), transactional=False)
with DeadLetterQueue.open(sys.argv[1]) as queue:
    DlqReplayer(queue, registry).replay(int(sys.argv[2]))
"""


def make(path: Path) -> None:
    """Letters, parked ones, history, a snooze, edits, audit, origins, settings, a claim."""
    with DeadLetterQueue.open(path) as queue:
        queue.connection.execute("CREATE TABLE effects (event_id INTEGER NOT NULL)")
        ids = queue.add_many(
            [(n, event.encode(), f"Error {n}") for n, event in enumerate(EVENTS, 1)]
        )
        registry = _registry()
        for letter_id in ids[2:7]:
            DlqReplayer(queue, registry, _CONFIG).replay(letter_id)
        queue.edit(ids[2], EDITED, by=WHO)
        first, second = sorted(letter.id for letter in queue.permanent_failures())
        queue.edit(second, EDITED_PARKED, parked=True, by=WHO)
        queue.requeue([first], by=WHO)
        _take_in_from_elsewhere(queue)
    subprocess.run([sys.executable, "-c", _DEADLY, str(path), str(ids[7])], check=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(_WITHOUT_PLACE, (f"{Path(__file__).parents[2]}{os.sep}",))
        connection.execute("VACUUM")  # nothing of before is left in free pages
        # What its log holds comes into the file.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _registry() -> EventHandlerRegistry:
    registry = EventHandlerRegistry()

    def fail(error: Exception) -> Any:
        def handle(*_: object) -> None:
            raise error

        return handle

    registry.register("fails", fail(ValueError("the ledger does not answer")))
    registry.register("never", fail(NonRetryable("no such account")))
    registry.register("snoozes", fail(Snooze(1, "later")))
    return registry


def _take_in_from_elsewhere(queue: DeadLetterQueue) -> None:
    exported = BytesIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        DeadLetterQueue.open(Path(folder) / "other.db") as other,
    ):
        other.add(9, b"ok:9", "elsewhere")
        other.export_to(exported)
    exported.seek(0)
    queue.import_from(exported, by=WHO)


def main() -> None:
    major, minor, _ = azoth_dlq.__version__.split(".")
    path = DATA / f"azoth-dlq-{major}.{minor}.db"
    if path.exists():
        raise SystemExit(f"{path} is there, and stays as it is")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        make(made)
        path.write_bytes(made.read_bytes())


if __name__ == "__main__":
    main()
