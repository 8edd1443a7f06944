"""Whoever writes what, no look for suspects leaves out a letter that a look at all finds due."""

from __future__ import annotations

import math
import sqlite3
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from azoth_dlq import BackoffStrategy, DlqReplayConfig
from azoth_dlq.kernels.eligibility import Verdict, format_timestamp, parse_timestamp, select
from azoth_dlq.store.base import DrainSettings, NewLetter, Suspects
from azoth_dlq.store.settlement import Parking, Retry, Settlement, Snoozed
from azoth_dlq.store.sqlite import SqliteStore, waiting
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.raw import read
from tests.store.polls import InterleavedStore

NOON = parse_timestamp("2026-11-24 12:00:00")
SECOND = 1_000_000
SETTINGS = DrainSettings(busy_timeout=1, settings="{}")
# As another program may have made it, without types and constraints.
LOOSE_TABLE = (
    "CREATE TABLE dead_letter_queue (id INTEGER PRIMARY KEY AUTOINCREMENT, event_id, event_bytes, "
    "error_message, failed_at, retry_count DEFAULT 0, last_retry_at)"
)
# IGNORE: what a table refuses is not written.
INSERT = (
    "INSERT OR IGNORE INTO dead_letter_queue (id, event_id, event_bytes, error_message, failed_at, "
    "retry_count, last_retry_at) VALUES (?, 1, x'00', 'boom', ?, ?, ?)"
)
HIGHEST = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'dead_letter_queue'"
CRATE_ADDS = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) VALUES (1, x'00', 'boom')"
)
CRATE_RETRIES = (
    "UPDATE dead_letter_queue SET retry_count = retry_count + 1, last_retry_at = ? WHERE id = ?"
)
CRATE_REMOVES = "DELETE FROM dead_letter_queue WHERE id = ?"

configs = st.builds(
    DlqReplayConfig,
    max_retries=st.integers(1, 4),
    min_age=st.sampled_from([0, 5]),
    backoff=st.sampled_from(
        [BackoffStrategy.exponential(10, 100), BackoffStrategy.fixed(0), BackoffStrategy.fixed(30)]
    ),
    jitter=st.sampled_from([0, 0.5, 1]),
)
instants = st.integers(-200, 60).map(lambda seconds: NOON + seconds * SECOND)
good_texts = instants.map(format_timestamp)
texts: st.SearchStrategy[Any] = st.one_of(
    good_texts,
    good_texts.map(lambda text: text[:19].replace("T", " ")),
    st.sampled_from(
        ["2026-11-24T14:00:00+02:00", "2999-01-01 00:00:00", "1960-01-01 00:00:00", "now", ""]
    ),
    st.sampled_from([None, 7, b"2026-11-24 12:00:00"]),
)
counts: st.SearchStrategy[Any] = st.integers(0, 4) | st.sampled_from(
    [-1, None, 2.5, 2.0, "many", "2", b"2", 2**40, 2**63 - 1, 1e300]
)
columns = st.one_of(
    st.tuples(st.sampled_from(["failed_at", "last_retry_at"]), texts),
    st.tuples(st.just("retry_count"), counts),
)
letters = st.integers(0, 9)


class Looks(RuleBasedStateMachine):
    """`store` looks and catches up; `another` is a store of its own on the same file, whose marks
    it does not know. SQLite tells no statements of two connections apart that follow each other."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(waiting, "NOTED_AT_ONCE", 2)
        # A slow machine must not make a step do something else when it is done again.
        self.patches.setattr(waiting, "LONGEST_HOLD", math.inf)
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.now = NOON

    def teardown(self) -> None:
        self.patches.undo()
        self.connection.close()

    @initialize(config=configs, loose=st.booleans(), migrated=st.booleans())
    def open(self, config: DlqReplayConfig, loose: bool, migrated: bool) -> None:
        if loose:
            self.connection.execute(LOOSE_TABLE)
        self.config = config
        self.store = InterleavedStore(self.connection)
        self.another = SqliteStore(self.connection)
        if migrated or not loose:
            self.another.delete([])

    @rule(seconds=st.integers(0, 60))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND

    # Other programs

    @rule(failed_at=texts, count=counts, last=texts | st.none(), gap=st.integers(1, 3) | st.none())
    def another_inserts(self, failed_at: Any, count: Any, last: Any, gap: int | None) -> None:
        (highest,) = self.connection.execute(HIGHEST).fetchone()
        wanted = None if gap is None else highest + gap
        self.connection.execute(INSERT, (wanted, failed_at, count, last))

    @rule(letter=letters, change=columns)
    def another_updates(self, letter: int, change: tuple[str, Any]) -> None:
        column, value = change
        statement = f"UPDATE OR IGNORE dead_letter_queue SET {column} = ? WHERE id = ?"  # noqa: S608 -- own names
        self.connection.execute(statement, (value, self.id_of(letter)))

    @rule(letter=letters, column=st.sampled_from(["failed_at", "last_retry_at", "retry_count"]))
    def another_writes_text_that_is_no_utf8(self, letter: int, column: str) -> None:
        statement = f"UPDATE dead_letter_queue SET {column} = CAST(x'FF' AS TEXT) WHERE id = ?"  # noqa: S608 -- own names
        self.connection.execute(statement, (self.id_of(letter),))

    @rule()
    def the_crate_adds(self) -> None:
        self.connection.execute(CRATE_ADDS)

    @rule(letter=letters, text=good_texts)
    def the_crate_retries(self, letter: int, text: str) -> None:
        self.connection.execute(CRATE_RETRIES, (text, self.id_of(letter)))

    @rule(letter=letters)
    def the_crate_removes(self, letter: int) -> None:
        self.connection.execute(CRATE_REMOVES, (self.id_of(letter),))

    # Our own

    @rule(failed_at=instants)
    def add(self, failed_at: int) -> None:
        self.another.add([NewLetter(1, b"ok:", "boom", failed_at)])

    @rule(letter=letters, at=instants)
    def mark_retry(self, letter: int, at: int) -> None:
        self.another.mark_retry(self.id_of(letter), at)

    @rule()
    def requeue(self) -> None:
        self.another.requeue([parked.id for parked in self.another.read(parked=True)], self.now)

    @rule(letter=letters, count=st.integers(0, 4), put_off=st.none() | st.integers(0, 60))
    def retry(self, letter: int, count: int, put_off: int | None) -> None:
        not_before = None if put_off is None else self.now + put_off * SECOND
        self.settle(retries=[Retry(self.id_of(letter), count, self.now, "boom", not_before)])

    @rule(letter=letters, put_off=st.integers(0, 60))
    def snooze(self, letter: int, put_off: int) -> None:
        """One that can be attempted: no other letter's handler is called."""
        letter_id = self.id_of(letter)
        rules = self.config.rules(self.now, waive_delay=True)
        if select([row for row in self.everything() if row[0] == letter_id], rules).ids():
            self.settle(snoozed=[Snoozed(letter_id, self.now + put_off * SECOND)])

    @rule(letter=letters)
    def park(self, letter: int) -> None:
        self.settle(parked=[Parking(self.id_of(letter), self.now, "poison")])

    def settle(self, **settled: Any) -> None:
        with self.another.draining(SETTINGS):
            self.another.begin()
            self.another.settle(Settlement(**settled))
            self.another.end(commit=True)

    # The polls

    @rule()
    def catch_up(self) -> None:
        self.store.catch_up()

    @rule(letter=letters, change=columns)
    def catch_up_while_another_updates(self, letter: int, change: tuple[str, Any]) -> None:
        self.store.before_lock = lambda: self.another_updates(letter=letter, change=change)
        self.store.catch_up()
        self.store.before_lock = None

    @rule(letter=letters, put_off=st.integers(0, 60))
    def catch_up_while_a_letter_is_snoozed(self, letter: int, put_off: int) -> None:
        self.store.before_lock = lambda: self.snooze(letter=letter, put_off=put_off)
        self.store.catch_up()
        self.store.before_lock = None

    @rule(letter=letters)
    def catch_up_while_a_letter_is_parked_and_requeued(self, letter: int) -> None:
        self.store.before_lock = lambda: (self.park(letter=letter), self.requeue())
        self.store.catch_up()
        self.store.before_lock = None

    @rule()
    def look_at_all(self) -> None:
        with self.store.candidates(with_error=False) as rows:
            assert sorted(list_without_doubles(rows), key=id_in) == self.everything()

    @rule()
    def catch_up_completely_and_look(self) -> None:
        while not self.store.catch_up():
            pass
        self.look_for_suspects()

    @rule()
    def look_for_suspects(self) -> None:
        suspects = Suspects(self.now, self.config.least_wait)
        with self.store.candidates(with_error=False, suspects=suspects) as rows:
            found = {row[0]: row for row in list_without_doubles(rows)}
        left_out = []
        for row in self.everything():
            if row[0] not in found:
                left_out.append(row)
            else:
                assert row == found[row[0]]
        rest = select(left_out, self.config.rules(self.now))
        assert rest.ids() == []
        # Letters to be parked are found at their time, or by a look at all: those put off, and
        # those whose failed_at alone was changed after an attempt.
        put_off = {row[0] for row in left_out if row[4] is not None}
        for letter_id, verdict in rest.unfit():
            assert letter_id in put_off or verdict is Verdict.BAD_FAILED_AT
        if rest.next_due is not None:
            assert suspects.next_due is not None
            assert suspects.next_due <= rest.next_due

    # What the steps share

    def everything(self) -> list[tuple[Any, ...]]:
        """The rows by id."""
        migrated = bool(read(self.connection, sql.TABLES + " AND name = 'azoth_dlq_migrations'"))
        rows = read(self.connection, sql.candidates(migrated=migrated, with_error=False))
        return sorted(rows, key=id_in)

    def id_of(self, letter: int) -> int:
        ids = [row[0] for row in self.everything()]
        return ids[letter % len(ids)] if ids else 0


def id_in(row: tuple[Any, ...]) -> int:
    return int(row[0])


def list_without_doubles(rows: Any) -> list[tuple[Any, ...]]:
    found = list(rows)
    assert len({row[0] for row in found}) == len(found)
    return found


Looks.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestLooks = Looks.TestCase
