"""Random triggers refuse random changes of letters, whose handlers do random things, within
transactions and outside, singly and in batches. What is refused of one keeps no other from being
done, nothing is lost or done twice, and every report adds up."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from azoth_dlq import (
    BatchConfig,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    NonRetryable,
    ReplayReport,
    RetryAfter,
    Snooze,
    StorageError,
)
from tests.attacks import Attack

KINDS = ("single", "batch", "outside", "outside_batch")
CHANGES = {
    "UPDATE": "UPDATE ON dead_letter_queue WHEN old.id",
    "DELETE": "DELETE ON dead_letter_queue WHEN old.id",
    "INSERT": "INSERT ON permanent_failures WHEN new.event_id",
}
REFUSALS = ("ABORT, 'no'", "ABORT, 'no'", "FAIL, 'no'", "ROLLBACK, 'no'", "IGNORE")


class _TellingError(Exception):
    """Whose text uses the queue's connection."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn

    def __str__(self) -> str:
        with suppress(sqlite3.Error):
            self.conn.execute("INSERT INTO notes VALUES (1)")
        return "it used the connection"


RAISED: dict[str, Callable[[sqlite3.Connection], BaseException]] = {
    "fails": lambda _: ValueError("it failed"),
    "parks": lambda _: NonRetryable("never"),
    "snoozes": lambda _: Snooze(100),
    "asks": lambda _: RetryAfter(100),
    "uses": _TellingError,
    "interrupts": lambda _: KeyboardInterrupt(),
}
ACTS = ("returns",) * 6 + ("stops", "removes", *RAISED)


class Trial:
    """One file, and one drain of it."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.chance = chance = Random(seed)
        self.calls: Counter[int] = Counter()
        self.returned: set[int] = set()
        self.removed: set[int] = set()  # or would be, had that not been undone or refused
        self.told: list[ReplayReport] = []
        kinds = chance.sample(KINDS, chance.randint(1, 4))
        count = chance.choice((1, 2, 5, 12, 30))
        self.kinds = {i: chance.choice(kinds) for i in range(1, count + 1)}
        self.acts = {i: chance.choice(ACTS) for i in self.kinds}
        shapes = ("plain",) * 9 + ("large", "unknown", "unreadable", "undated")
        self.shapes = {i: chance.choice(shapes) for i in self.kinds}
        self.refused: set[int] = set()
        with DeadLetterQueue.open(path) as queue:
            DlqReplayer(queue, EventHandlerRegistry()).drain()  # makes all tables
            queue.connection.executescript(
                "CREATE TABLE effects (event_id); CREATE TABLE notes (text)"
            )
            queue.connection.executemany(
                "INSERT INTO dead_letter_queue (id, event_id, event_bytes, error_message, "
                "failed_at) VALUES (?, ?, ?, 'boom', ?)",
                [(i, i, self._event_bytes(i), self._failed_at(i)) for i in self.kinds],
            )
            self._refuse_changes(queue.connection)

    def _event_bytes(self, letter: int) -> object:
        match self.shapes[letter]:
            case "large":
                return f"{self.kinds[letter]}:{'x' * 20_000}".encode()
            case "unknown":
                return b"of no type"
            case "unreadable":
                return 1.5
            case _:
                return f"{self.kinds[letter]}:".encode()

    def _failed_at(self, letter: int) -> str:
        return "never" if self.shapes[letter] == "undated" else "2026-01-01 00:00:00"

    def _refuse_changes(self, conn: sqlite3.Connection) -> None:
        for change, condition in CHANGES.items():
            share = self.chance.choice((0, 0.1, 0.4))
            for i in self.kinds:
                if self.chance.random() < share:
                    self.refused.add(i)
                    conn.execute(
                        f"CREATE TRIGGER {change}_{i} BEFORE {condition} = {i} "
                        f"BEGIN SELECT RAISE({self.chance.choice(REFUSALS)}); END"
                    )

    def drain(self) -> Exception | KeyboardInterrupt | None:
        registry = EventHandlerRegistry(batch=BatchConfig(self.chance.choice((2, 7, 1000))))
        with DeadLetterQueue.open(self.path) as queue:
            replayer = DlqReplayer(queue, registry, self._config())
            self._register(registry, queue.connection, replayer.shutdown)
            try:
                self.told.append(replayer.drain(on_progress=self.told.append))
            except StorageError as error:
                self.told += [error.report] if error.report is not None else []
                return error
            except KeyboardInterrupt as interrupt:
                return interrupt
        return None

    def _config(self) -> DlqReplayConfig:
        return DlqReplayConfig(
            stop_on_consecutive_failures=None,
            min_age=0,
            history_limit=self.chance.choice((0, 20)),
            max_retries=self.chance.choice((1, 5)),
            max_transaction_time=self.chance.choice((0.25, 0.001)),
        )

    def _register(
        self,
        registry: EventHandlerRegistry,
        own: sqlite3.Connection,
        shut_down: Callable[[], None],
    ) -> None:
        def handle(conn: sqlite3.Connection | None, event_id: int, _payload: bytes) -> None:
            self.calls[event_id] += 1
            if conn is not None:
                conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
            act = self.acts[event_id]
            if act in RAISED:
                raise RAISED[act](own)
            if act == "stops":
                shut_down()
            if act == "removes":
                self._remove(conn, self.chance.choice(list(self.kinds)))
            self.returned.add(event_id)

        class Batches:
            def handle(self, *arguments: Any) -> None:
                handle(*arguments)

            def handle_batch(self, conn: sqlite3.Connection | None, events: list[Any]) -> None:
                for event in events:
                    handle(conn, event.event_id, event.payload)

        registry.register("single", handle)
        registry.register("batch", Batches())
        registry.register("outside", handle, transactional=False)
        registry.register("outside_batch", Batches(), transactional=False)

    def _remove(self, conn: sqlite3.Connection | None, letter: int) -> None:
        self.removed.add(letter)
        with closing(sqlite3.connect(self.path)) as other, suppress(sqlite3.Error):
            (other if conn is None else conn).execute(
                "DELETE FROM dead_letter_queue WHERE id = ?", (letter,)
            )
            other.commit()

    # What is there afterwards

    def check(self, ended: Exception | KeyboardInterrupt | None) -> None:
        with closing(sqlite3.connect(self.path)) as conn:
            left = dict(conn.execute("SELECT id, retry_count FROM dead_letter_queue"))
            parked = {i for (i,) in conn.execute("SELECT event_id FROM permanent_failures")}
            effects = Counter(i for (i,) in conn.execute("SELECT event_id FROM effects"))
            (claims,) = conn.execute("SELECT count(*) FROM azoth_dlq_claims").fetchone()
        assert {self._total(report) for report in self.told} <= {len(self.kinds)}
        assert not left.keys() & parked
        done = self.kinds.keys() - left.keys() - parked
        assert done <= self.returned | self.removed
        within = {i for i, kind in self.kinds.items() if not kind.startswith("outside")}
        assert all(times == 1 for times in effects.values())
        assert done & within - self.removed <= effects.keys() <= done
        for i in self.kinds.keys() - within:
            assert self.calls[i] <= (2 if self.kinds[i] == "outside_batch" else 1)
        if ended is None:
            assert claims == 0
        if not isinstance(ended, KeyboardInterrupt) and "stops" not in self.acts.values():
            self._check_nobody_was_kept(left)

    def _check_nobody_was_kept(self, left: dict[int, int]) -> None:
        """From being called, charged, or parked, by what was refused of others."""
        for letter in left.keys() - self.refused:
            match self.shapes[letter]:
                case "unknown":
                    assert left[letter] == 1
                case shape:
                    assert shape in ("plain", "large")
                    assert self.calls[letter]

    @staticmethod
    def _total(report: ReplayReport) -> int:
        unattempted = report.skipped + report.unreadable + report.exhausted
        return report.attempted + unattempted + report.remaining


@pytest.mark.parametrize("part", range(4))
def test_what_is_refused_of_a_letter_costs_it_alone(
    tmp_path: Path, part: int, attack: Attack
) -> None:
    for seed in range(size := attack.size(30, long=3000)):
        trial = Trial(tmp_path / f"{seed}.db", part * size + seed)
        ended = trial.drain()
        trial.check(ended)
        trial.path.unlink()
        attack.struck("drain of a file whose triggers refuse random changes")
