"""What the Rust crate azoth 0.2.5 does with a file, by its own statements, all the time.

`python -m tests.crash.crate FILE` adds, retries, deletes, counts and reads letters until there is a
file `enough` beside FILE, with the busy timeout that rusqlite sets. It says `writing`, and at last
in JSON what it did and saw: the members of `Seen`.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.crash.talk import say

BUSY_SECONDS = 5.0
PAUSE_SECONDS = 0.003
FIRST_EVENT = 1_000_000  # of its own letters
BATCH = 100
INSERT = "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) VALUES (?, ?, ?)"
RETRY = "UPDATE dead_letter_queue SET retry_count = retry_count + 1, last_retry_at = ? WHERE id = ?"
DELETE = "DELETE FROM dead_letter_queue WHERE id = ?"
COUNT = "SELECT COUNT(*) FROM dead_letter_queue"
ELIGIBLE = (
    "SELECT id, event_id, event_bytes, error_message, failed_at, retry_count "
    "FROM dead_letter_queue WHERE retry_count < ? "
    "AND datetime(COALESCE(last_retry_at, failed_at)) <= datetime('now', '-0 seconds') "
    "ORDER BY retry_count ASC, failed_at ASC LIMIT ?"
)
LAST_ATTEMPT = "SELECT COALESCE(last_retry_at, failed_at) FROM dead_letter_queue WHERE id = ?"
TYPES = [int, int, bytes, str, str, int]
TIMESTAMPS = re.compile(
    r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d|T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))"
)


@dataclass
class Seen:
    """Longest waits (seconds) and counts by verb; statements that were refused; what it read that
    cannot be; events that it added, deleted, and retried as of tomorrow (so that they are not due);
    how often it retried letters that always fail."""

    longest: dict[str, float] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    added: list[int] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    postponed: list[int] = field(default_factory=list)
    retried_failing: int = 0


class Crate:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._rows: list[tuple[Any, ...]] = []
        self._events: set[int] = set()
        self.seen = Seen()
        self.look()
        self._events = {row[1] for row in self._rows}

    def act(self, verb: Callable[[], None]) -> None:
        name, began = verb.__name__, time.monotonic()
        try:
            verb()
            self.seen.done[name] = self.seen.done.get(name, 0) + 1
        except sqlite3.Error as error:
            self.seen.refused.append(f"{name}: {error}")
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
        waited = time.monotonic() - began
        self.seen.longest[name] = max(waited, self.seen.longest.get(name, 0.0))

    def add(self) -> None:
        event = FIRST_EVENT + len(self.seen.added)
        self._execute(INSERT, (event, b"takes:1", "boom"))
        self.seen.added.append(event)
        self._events.add(event)

    def retry(self) -> None:
        row = random.choice(self._rows)
        done = self._execute(RETRY, (datetime.now(UTC).isoformat(), row[0]))
        if row[2] == b"fails:":
            self.seen.retried_failing += done.rowcount

    def postpone(self) -> None:
        letter, event = self._one_that_ends()
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        if self._execute(RETRY, (tomorrow.isoformat(), letter)).rowcount == 1:
            self.seen.postponed.append(event)

    def delete(self) -> None:
        letter, event = self._one_that_ends()
        if self._execute(DELETE, (letter,)).rowcount == 1:
            self.seen.deleted.append(event)

    def _one_that_ends(self) -> tuple[int, int]:
        """Id and event of a letter that was there when all were read, and is touched once."""
        ending = [n for n, row in enumerate(self._rows) if row[2] != b"fails:"]
        return self._rows.pop(random.choice(ending))[:2] if ending else (-1, -1)

    def count(self) -> None:
        self._execute(COUNT).fetchone()

    def read_batch(self) -> None:
        rows = self._execute(ELIGIBLE, (2**31 - 1, BATCH)).fetchall()
        self._check(rows)
        last = self._execute(LAST_ATTEMPT, (random.choice(rows)[0],)).fetchone()
        if last is not None and not TIMESTAMPS.fullmatch(last[0]):
            self.seen.wrong.append(f"last attempt {last[0]!r}")

    def look(self) -> None:
        """Everything, as of one instant."""
        self._execute("BEGIN")
        ((count,),) = self._execute(COUNT)
        rows = self._execute(ELIGIBLE, (2**31 - 1, 10**6)).fetchall()
        effects = [e for (e,) in self._execute("SELECT event_id FROM effects")]
        parked = [e for (e,) in self._execute("SELECT event_id FROM permanent_failures")]
        self._execute("COMMIT")
        self._check(rows)
        postponed = self.seen.postponed
        if count != len(rows) + len(postponed):
            self.seen.wrong.append(f"{count} counted, {len(rows)} read, {len(postponed)} postponed")
        read = [row[1] for row in rows]
        places = Counter([*read, *effects, *parked, *self.seen.deleted, *postponed])
        # Others may have added some.
        lost, twice = self._events - places.keys(), [e for e, n in places.items() if n > 1]
        if lost or twice:
            self.seen.wrong.append(f"{len(lost)} events lost, {len(twice)} in two places")
        self._rows = rows

    def _check(self, rows: list[tuple[Any, ...]]) -> None:
        if any([type(value) for value in row] != TYPES for row in rows):
            self.seen.wrong.append("types")
        if rows != sorted(rows, key=lambda row: (row[5], row[4])):
            self.seen.wrong.append("order")
        if not all(TIMESTAMPS.fullmatch(row[4]) for row in rows):
            self.seen.wrong.append("failed_at")


def main() -> None:
    path = Path(sys.argv[1])
    options: dict[str, Any] = {"timeout": BUSY_SECONDS, "isolation_level": None}
    with closing(sqlite3.connect(path, **options)) as connection:
        crate = Crate(connection)
        verbs = (
            crate.add,
            crate.retry,
            crate.postpone,
            crate.delete,
            crate.count,
            crate.read_batch,
        )
        say("writing")
        while not (path.parent / "enough").exists():
            for verb in (*random.sample(verbs * 3, 18), crate.look):
                crate.act(verb)
                time.sleep(PAUSE_SECONDS)
    say(json.dumps(asdict(crate.seen)))


if __name__ == "__main__":
    main()
