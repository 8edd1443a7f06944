"""Letters seen waiting: what a poll reads, and what is noted of them."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq.clock import to_datetime
from azoth_dlq.kernels.eligibility import select
from azoth_dlq.store.base import Busy, DrainSettings, Suspects
from azoth_dlq.store.settlement import Retry, Settlement, Snoozed
from azoth_dlq.store.sqlite import checkpoint, waiting
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.checkpoint import length_of_log
from tests.store.conftest import execute
from tests.store.polls import ANOTHERS_TABLE, CONFIG, HOUR, NOON, SECOND, Polls, polling

# What a poll reads


def test_a_poll_reads_no_letter_that_is_known_to_wait(polls: Polls) -> None:
    polls.insert(50)
    assert len(polls.ids_read(NOON)) == 50
    polls.catch_up()
    assert polls.ids_read(NOON) == []
    assert polls.ids_read(NOON + 60 * SECOND) == list(range(1, 51))


def test_a_poll_reads_the_letters_that_came_since(polls: Polls) -> None:
    polls.insert(50)
    polls.note_all()
    polls.insert(2)
    assert polls.ids_read(NOON) == [51, 52]


@pytest.mark.parametrize("retry_count", [5, 2**40, -1])
def test_a_poll_reads_letters_that_are_to_be_parked(polls: Polls, retry_count: int) -> None:
    polls.insert(2)
    polls.insert(retry_count=retry_count)
    polls.note_all()
    assert polls.ids_read(NOON) == [3]
    assert polls.catch_up() == 1


def test_a_poll_by_other_settings_reads_what_they_make_due(polls: Polls) -> None:
    polls.insert(3)
    polls.note_all()
    shorter = Suspects(NOON + 10 * SECOND, lambda _: 10 * SECOND)
    with polls.store.candidates(with_error=False, suspects=shorter) as rows:
        assert len(list(rows)) == 3


def test_what_the_poll_of_one_store_notes_costs_another_one_look(polls: Polls) -> None:
    polls.insert(10)
    polls.note_all()
    another = Polls(polls.connection)
    assert len(another.ids_read(NOON)) == 10
    changes = polls.connection.total_changes
    assert another.catch_up() == 1
    assert polls.connection.total_changes == changes
    assert another.ids_read(NOON) == []


def test_a_letter_tried_again_waits_without_being_noted(polls: Polls) -> None:
    polls.insert(2)
    polls.note_all()
    retries = [Retry(1, 1, NOON + HOUR, "x"), Retry(2, 1, NOON, "x", 7)]
    polls.settle(Settlement(retries=retries))
    assert polls.ids_read(NOON + HOUR) == [2]
    assert polls.catch_up() == 1


def test_a_letter_put_off_is_noted_by_the_one_instant_alone(polls: Polls) -> None:
    polls.insert(3)
    polls.note_all()
    until = NOON + HOUR
    retries = [Retry(1, 1, NOON, "x"), Retry(2, 1, NOON, "x", until)]
    polls.settle(Settlement(retries=retries, snoozed=[Snoozed(3, until)]))
    assert polls.ids_where("azoth_base IS NOT NULL") == [1]
    assert polls.ids_read(until - 1) == [1]


def test_a_letter_put_off_and_then_changed_waits_like_others_again(polls: Polls) -> None:
    polls.insert(1)
    polls.settle(Settlement(snoozed=[Snoozed(1, NOON + HOUR)]))
    polls.connection.execute("UPDATE dead_letter_queue SET retry_count = 1")
    polls.note_all()
    assert polls.ids_read(NOON) == []
    assert polls.ids_read(NOON + 60 * SECOND) == [1]


def test_a_letter_snoozed_while_letters_are_noted_stays_snoozed(polls: Polls) -> None:
    polls.insert(2)
    polls.ids_read(NOON)
    until = NOON + HOUR
    polls.store.before_lock = lambda: polls.settle(Settlement(snoozed=[Snoozed(1, until)]))
    polls.catch_up()
    (letter,) = polls.store.read(ids=[1])
    assert letter.not_before == to_datetime(until)
    assert polls.ids_read(until - 1) == [2]


def test_another_programs_change_costs_a_read_until_it_is_caught_up(polls: Polls) -> None:
    polls.insert(3)
    polls.note_all()
    polls.connection.execute(
        "UPDATE dead_letter_queue SET last_retry_at = '2026-11-24 12:00:01' WHERE id = 2"
    )
    assert polls.ids_read(NOON) == [2]
    assert polls.catch_up() == 2
    assert polls.ids_read(NOON) == []


@pytest.mark.parametrize("analyzed", [False, True])
def test_every_question_of_a_poll_is_answered_from_an_index(
    polls: Polls, *, analyzed: bool
) -> None:
    polls.insert(2000)
    polls.note_all()
    if analyzed:
        polls.connection.execute("ANALYZE")
    texts = [
        sql.candidates(migrated=True, with_error=True, among=among)
        for among in (sql.AMONG_NEWER, sql.AMONG_CHANGED, sql.AMONG_COUNT, sql.AMONG_PUT_OFF)
    ]
    texts += [sql.NEXT_COUNT, sql.NEXT_BASE, sql.NEXT_PUT_OFF]
    texts += [sql.NOT_NOTED_CHANGED, sql.NOT_NOTED_PUT_OFF, sql.NOT_NOTED_NEWER]
    for text in texts:
        plan = polls.connection.execute(
            f"EXPLAIN QUERY PLAN {text}", [1] * text.count("?")
        ).fetchall()
        assert [step[3].split()[0] for step in plan] == ["SEARCH"], text


@pytest.mark.parametrize("kind", ["", "INTEGER", "REAL", "TEXT"])
def test_a_letter_whose_count_is_no_integer_is_read_at_every_poll(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "anothers.db"
    execute(path, ANOTHERS_TABLE.replace("retry_count INTEGER", f"retry_count {kind}"))
    with polling(path) as polls:
        values: list[Any] = [0, 2, 2.0, 2.5, "2", "many", "", b"2", None, 1e300, -1]
        for count in values:
            polls.insert(retry_count=count)
        polls.note_all()
        rules = CONFIG.rules(NOON)
        with polls.store.candidates(with_error=False) as rows:
            unfit = [letter for letter, _ in select(rows, rules).unfit()]
        polls.catch_up()
        assert polls.ids_read(NOON) == unfit


# What is noted


def test_letters_are_noted_some_at_once(polls: Polls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "NOTED_AT_ONCE", 10)
    polls.insert(25)
    polls.ids_read(NOON)
    for noted in (10, 20, 25):
        assert not polls.store.catch_up()
        assert len(polls.ids_where("azoth_base IS NOT NULL")) == noted
        assert polls.ids_read(NOON) == list(range(noted + 1, 26))
    assert polls.store.catch_up()


def test_a_transaction_ends_when_it_has_held_the_lock_long_enough(
    polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LONGEST_HOLD", 0.0)
    polls.insert(3)
    polls.ids_read(NOON)
    assert not polls.store.catch_up()
    assert polls.ids_read(NOON) == [2, 3]
    assert polls.catch_up() == 3


def test_noting_many_letters_leaves_the_lock_free_in_between(polls: Polls) -> None:
    polls.insert(20_000)
    polls.ids_read(NOON)
    longest, done = 0.0, False
    while not done:
        start = time.thread_time()  # what others take of a busy machine is not ours
        done = polls.store.catch_up()
        longest = max(longest, time.thread_time() - start)
    assert polls.ids_read(NOON) == []
    assert longest < 0.5  # a tenth, and some


def test_the_log_does_not_grow_with_the_letters_noted_nor_is_it_waited_for(
    polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite copies it by itself; what begins it anew would lock others out beside a reader."""
    monkeypatch.setattr(checkpoint, "LARGE_BYTES", 1)
    monkeypatch.setattr(waiting, "NOTED_AT_ONCE", 10)
    polls.insert(500)
    polls.connection.execute("PRAGMA wal_autocheckpoint = 10")
    statements: list[str] = []
    with polls.store.draining(DrainSettings(1, "{}")):
        polls.ids_read(NOON)
    before = length_of_log(polls.store.where)
    polls.connection.set_trace_callback(statements.append)
    assert 51 <= polls.catch_up() < 70  # one that holds the lock too long ends earlier
    assert length_of_log(polls.store.where) < before + 40 * 4096
    assert not any("checkpoint" in statement for statement in statements)


def test_letters_that_came_after_the_look_are_not_noted(polls: Polls) -> None:
    polls.insert(2)
    polls.ids_read(NOON)
    polls.insert(2)
    polls.catch_up()
    assert polls.ids_where("azoth_base IS NULL") == [3, 4]
    assert polls.ids_read(NOON) == [3, 4]


def test_where_all_is_noted_no_lock_is_taken(polls: Polls, tmp_path: Path) -> None:
    polls.insert(5)
    polls.note_all()
    polls.ids_read(NOON)
    with closing(sqlite3.connect(tmp_path / "letters.db", isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        assert polls.store.catch_up()


def test_a_locked_file_is_busy_and_caught_up_with_later(polls: Polls, tmp_path: Path) -> None:
    polls.insert(5)
    polls.ids_read(NOON)
    with closing(sqlite3.connect(tmp_path / "letters.db", isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy):
            polls.store.catch_up()
        assert not polls.connection.in_transaction
        assert len(polls.ids_read(NOON)) == 5
    polls.catch_up()
    assert polls.ids_read(NOON) == []


def test_a_file_gets_what_it_needs_when_letters_are_first_noted(tmp_path: Path) -> None:
    path = tmp_path / "anothers.db"
    execute(path, ANOTHERS_TABLE)
    with polling(path) as polls:
        polls.note_all()
        assert not execute(path, "SELECT 1 FROM sqlite_master WHERE name LIKE 'azoth_dlq_%'")
        polls.insert(3)
        polls.note_all()
        assert polls.ids_read(NOON) == []


def test_each_index_is_made_in_a_transaction_of_its_own(tmp_path: Path) -> None:
    """Others are shut out for one scan of the table at once."""
    path = tmp_path / "anothers.db"
    execute(path, ANOTHERS_TABLE)
    done: list[str] = []
    with polling(path) as polls:
        polls.insert(3)
        polls.connection.set_trace_callback(lambda text: done.append(" ".join(text.split()[:2])))
        polls.note_all()
        polls.connection.set_trace_callback(None)
        made = [place for place, text in enumerate(done) if text == "CREATE INDEX"]
        assert "COMMIT /*" in done[made[-2] : made[-1]]
        names = polls.connection.execute(
            "SELECT name FROM pragma_index_list('dead_letter_queue') ORDER BY name"
        )
        assert names.fetchall() == [("azoth_dlq_not_before",), ("azoth_dlq_waiting",)]


def test_a_table_whose_name_is_written_otherwise_is_polled_as_cheaply(tmp_path: Path) -> None:
    path = tmp_path / "anothers.db"
    execute(path, ANOTHERS_TABLE.replace("dead_letter", "Dead_Letter"))
    with polling(path) as polls:
        polls.insert(3)
        polls.note_all()
        assert polls.ids_read(NOON) == []


def test_a_letter_that_cannot_be_read_is_read_at_every_poll(polls: Polls) -> None:
    polls.insert(4)
    for row_id, text in ((2, "now"), (3, b"2026-11-24 12:00:00")):
        polls.connection.execute(
            "UPDATE dead_letter_queue SET failed_at = ?, last_retry_at = '2026-11-24 12:00:00' "
            "WHERE id = ?",
            (text, row_id),
        )
    polls.note_all()
    assert polls.ids_read(NOON) == [2, 3]
    assert polls.catch_up() == 1
    ages = Suspects(NOON, lambda _: 2**63 - 1)
    with polls.store.candidates(with_error=False, suspects=ages) as rows:
        assert sorted(row[0] for row in rows) == [2, 3]  # type: ignore[type-var]  # ids are integers
