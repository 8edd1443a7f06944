"""A file of dead letters, and processes that drain it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, Self

import pytest

from azoth_dlq import DeadLetterQueue
from tests import forked
from tests.fork_server import Order

ROOT = Path(__file__).parents[2]
NEEDS_SIGKILL = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here"
)


class Ending(NamedTuple):
    """How a drain ended: "returned" or the error's name; its message; the report by its fields."""

    ended: str
    message: str
    report: dict[str, Any] | None
    forked: bool


class Program:
    """A process that says what it does in lines; `said` are those read so far."""

    def __init__(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment`: beside what a user has."""
        order = Order(
            f"tests.crash.{module}",
            list(arguments),
            str(ROOT),
            {**forked.users_environment(), **(environment or {})},
        )
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as theirs:
            self._process = forked.start(order, theirs, theirs)
        self._words = os.fdopen(reading, encoding="utf-8")
        self.said: list[str] = []
        self._heard: SimpleQueue[str | None] = SimpleQueue()
        # A process whose words nobody hears would stop amid one of them, and keep its locks.
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with self._words:
            for line in self._words:
                self._heard.put(line.rstrip("\n"))
        self._heard.put(None)

    def wait_for(self, text: str) -> None:
        """Read until it says `text`. Errors: AssertionError with what it said instead."""
        while (line := self._heard.get()) is not None:
            self.said.append(line)
            if line == text:
                return
        self._heard.put(None)
        raise AssertionError(f"the process ended without saying {text!r}: {self.said}")

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def interrupt(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self.wait()

    def wait(self) -> int:
        """Its exit status; negative: the signal that killed it."""
        while (line := self._heard.get()) is not None:
            self.said.append(line)
        self._heard.put(None)
        return self._process.wait()

    def last_words(self) -> list[Any]:
        """Wait, and read its lines of JSON. Errors: AssertionError where it failed or said none."""
        status = self.wait()
        words = [json.loads(line) for line in self.said if line.startswith("{")]
        assert words, (status, self.said)
        return words

    def endings(self) -> list[Ending]:
        return [Ending(**words) for words in self.last_words()]

    def ending(self) -> Ending:
        (ending,) = self.endings()
        return ending

    def report(self) -> dict[str, Any]:
        """Of a drain that returned."""
        ending = self.ending()
        assert ending.ended == "returned", ending
        assert ending.report is not None
        return ending.report


class DlqFile:
    """A database with an `effects` table beside the letters, and the processes that use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.routed = False  # whether the programs have a route
        self.environment: Mapping[str, str] = {}  # of the programs, beside that of the test
        self.programs: list[Program] = []

    @classmethod
    def make(cls, path: Path, journal_mode: str) -> Self:
        DeadLetterQueue.open(path).close()
        file = cls(path)
        file.query(f"PRAGMA journal_mode = {journal_mode}")
        file.make_tables_of_handlers()
        return file

    def make_tables_of_handlers(self) -> None:
        self.query("CREATE TABLE effects (event_id INTEGER NOT NULL)")
        self.query("CREATE TABLE bulk (content BLOB)")

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30, isolation_level=None)

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with closing(self.connect()) as connection:
            return connection.execute(statement, parameters).fetchall()

    def add(self, *events: str) -> list[int]:
        """Letters whose event ids are their ids, which are returned."""
        with closing(self.connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            (highest,) = connection.execute(
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name='dead_letter_queue'"
            ).fetchone()
            ids = [highest + 1 + n for n in range(len(events))]
            connection.executemany(
                "INSERT INTO dead_letter_queue (id, event_id, event_bytes, error_message) "
                "VALUES (?, ?, CAST(? AS BLOB), 'boom')",
                zip(ids, ids, events, strict=True),
            )
            connection.execute("COMMIT")
        return ids

    def let_go(self, name: str) -> None:
        """Make the file that a process waits for."""
        (self.path.parent / name).touch()

    # Processes

    def run(self, module: str, *arguments: str) -> Program:
        program = Program(module, str(self.path), *arguments, environment=self.environment)
        self.programs.append(program)
        return program

    def start(
        self,
        *pauses: str,
        rest: float = 0.0,
        shutdown_after: float | None = None,
        largest_file: int | None = None,
        runs: bool = False,
        **settings: Any,
    ) -> Program:
        """A process that drains once, or `runs`: at once, all that is there, without stopping by
        itself."""
        defaults = {"min_age": 0, "backoff": "fixed=0", "stop_on_consecutive_failures": "never"}
        order = {
            "settings": {**defaults, **settings},
            "pauses": pauses,
            "rest": rest,
            "shutdown_after": shutdown_after,
            "largest_file": largest_file,
            "runs": runs,
            "routed": self.routed,
        }
        return self.run("program", json.dumps(order))

    def drain(self, **settings: Any) -> dict[str, Any]:
        """The report of a process that drains once and must return."""
        return self.start(**settings).report()

    # What is there

    def effects(self) -> list[int]:
        return [e for (e,) in self.query("SELECT event_id FROM effects ORDER BY 1")]

    def left(self) -> list[int]:
        return [i for (i,) in self.query("SELECT id FROM dead_letter_queue ORDER BY 1")]

    def charges(self) -> dict[int, int]:
        """Attempts spent, of those that spent any."""
        rows = self.query("SELECT id, retry_count FROM dead_letter_queue WHERE retry_count <> 0")
        return dict(rows)

    def parked(self) -> dict[int, str]:
        """Reason by the id that the letter had; a letter parked twice fails the test."""
        rows = self.query("SELECT azoth_dead_letter_id, azoth_reason FROM permanent_failures")
        assert len(dict(rows)) == len(rows)
        return dict(rows)

    def assert_whole(self, letters: Sequence[int]) -> None:
        """The file is sound, and each letter is done once, or waits, or is parked; also while
        others write to it."""
        assert self.query("PRAGMA integrity_check") == [("ok",)]
        places = self.query(
            "SELECT event_id FROM effects UNION ALL SELECT id FROM dead_letter_queue "
            "UNION ALL SELECT azoth_dead_letter_id FROM permanent_failures"
        )
        assert Counter(place for (place,) in places) == Counter(letters)
