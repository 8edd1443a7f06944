"""Letters that no index may tell of, and what the indexes cost others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from azoth_dlq.kernels.eligibility import select
from azoth_dlq.store.settlement import Settlement
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite import waiting
from tests.store.conftest import execute
from tests.store.polls import ANOTHERS_TABLE, CONFIG, HOUR, INSERT, NOON, Polls, polling

# Where nothing can be noted


def test_without_autoincrement_every_look_is_at_all(tmp_path: Path) -> None:
    path = tmp_path / "plain.db"
    plain_table = ANOTHERS_TABLE.replace("AUTOINCREMENT", "")
    execute(path, plain_table)
    execute(path, plain_table.replace("dead_letter_queue", "permanent_failures"))
    with polling(path) as polls:
        polls.insert(5)
        polls.note_all()
        # An id that is given anew lies below what a look has seen.
        polls.connection.execute("DELETE FROM dead_letter_queue WHERE id = 5")
        polls.insert(1, at=NOON - HOUR)
        assert polls.ids_read(NOON) == [1, 2, 3, 4, 5]


def test_where_the_sequence_was_set_back_the_look_is_at_all(polls: Polls) -> None:
    polls.insert(5)
    polls.note_all()
    polls.connection.execute("DELETE FROM dead_letter_queue WHERE id > 2")
    polls.connection.execute("DELETE FROM sqlite_sequence")
    polls.insert(1, at=NOON - HOUR)
    assert polls.ids_read(NOON) == [1, 2, 3]


def test_an_id_seen_in_a_transaction_that_was_undone_may_be_given_again(polls: Polls) -> None:
    polls.insert(2)
    polls.connection.execute("BEGIN")
    polls.connection.execute(INSERT, (None, "2026-11-24 12:00:00", 0))
    assert polls.ids_read(NOON) == [1, 2, 3]
    polls.connection.execute("ROLLBACK")
    polls.catch_up()
    polls.insert(1, at=NOON - HOUR)
    assert polls.ids_read(NOON) == [3]


def test_an_id_of_anothers_choice_is_found_by_a_look_at_all_and_noted_then(polls: Polls) -> None:
    polls.insert(2, first_id=100)
    polls.note_all()
    polls.insert(1, first_id=7)
    assert polls.ids_read(NOON + HOUR) == [100, 101]
    polls.note_all()
    assert polls.ids_read(NOON) == []
    assert polls.ids_read(NOON + HOUR) == [7, 100, 101]


@pytest.mark.parametrize("action", ["IGNORE", "ABORT, 'no'", "FAIL, 'no'", "ROLLBACK, 'no'"])
def test_where_a_trigger_refuses_a_note_every_look_is_at_all(polls: Polls, action: str) -> None:
    polls.insert(5)
    polls.connection.execute(
        "CREATE TRIGGER refuses BEFORE UPDATE ON dead_letter_queue WHEN OLD.id = 3 "
        f"BEGIN SELECT RAISE({action}); END"
    )
    for _ in range(2):
        polls.note_all()
        assert not polls.connection.in_transaction
        assert polls.ids_read(NOON) == [1, 2, 3, 4, 5]


def test_where_a_trigger_ignores_a_note_of_changed_letters_every_look_is_at_all(
    polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "NOTED_AT_ONCE", 2)
    polls.insert(5)
    polls.connection.execute("UPDATE dead_letter_queue SET azoth_base = 0, azoth_base_of = 'x'")
    polls.connection.execute(
        "CREATE TRIGGER refuses BEFORE UPDATE ON dead_letter_queue WHEN OLD.id < 3 "
        "BEGIN SELECT RAISE(IGNORE); END"
    )
    polls.note_all()
    assert polls.ids_read(NOON) == [1, 2, 3, 4, 5]


def test_letters_deleted_meanwhile_are_no_refusal(polls: Polls) -> None:
    polls.insert(5)
    polls.connection.execute(
        "CREATE TRIGGER deletes AFTER UPDATE ON dead_letter_queue WHEN OLD.id = 2 "
        "BEGIN DELETE FROM dead_letter_queue WHERE id = 4; END"
    )
    polls.note_all()
    assert polls.ids_read(NOON) == []


# What it costs others


def test_a_letter_that_was_never_seen_waiting_has_no_place_in_an_index(polls: Polls) -> None:
    polls.insert(5)
    with polls.store.candidates(with_error=False) as rows:
        assert len(select(rows, CONFIG.rules(NOON + HOUR))) == 5
    assert polls.ids_where("azoth_base IS NOT NULL") == []
    polls.settle(Settlement(acked=[1, 2, 3, 4]))
    polls.catch_up()
    assert polls.ids_where("azoth_base IS NOT NULL") == [5]


def test_a_delete_calls_no_function_for_the_indexes(polls: Polls) -> None:
    """Where it may call one, SQLite journals the statement apart, against the function's error."""
    statement = sql.delete(2, parked=False)
    steps = polls.connection.execute(f"EXPLAIN {statement}", (1, 2)).fetchall()
    operations = [step[1] for step in steps]
    assert operations.count("IdxDelete") >= 3
    assert not [operation for operation in operations if "Func" in operation]


@pytest.mark.parametrize("value", [None, "", "now", b"\0", 7, 2.5, -(2**63), "9" * 400])
@pytest.mark.parametrize("column", ["failed_at", "last_retry_at", "retry_count"])
def test_the_indexes_refuse_no_write_of_another_program(
    tmp_path: Path, column: str, value: Any
) -> None:
    path = tmp_path / "loose.db"
    loose = ANOTHERS_TABLE.replace("retry_count INTEGER", "retry_count").replace(" TEXT", "")
    execute(path, loose)
    with polling(path) as polls:
        polls.insert(2)
        polls.note_all()
    execute(path, f"UPDATE dead_letter_queue SET {column} = ?", value)  # noqa: S608 -- own names
    execute(path, f"INSERT INTO dead_letter_queue ({column}) VALUES (?)", value)  # noqa: S608 -- own names
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]
