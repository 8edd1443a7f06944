"""The texts of the SQLite store's statements: no value is ever a part of one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import pytest

from azoth_dlq.store.sqlite import pragmas, search_statements, upkeep_statements
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.history import ATTEMPTS_A_STATEMENT
from azoth_dlq.store.sqlite.migrations import migrate

TABLES = (
    "dead_letter_queue",
    "permanent_failures",
    "azoth_dlq_history",
    "azoth_dlq_state",
    "azoth_dlq_drainers",
    "azoth_dlq_claims",
    "azoth_dlq_audit",
    "azoth_dlq_origins",
    "sqlite_master",
)
VERBS = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH ")


def made(ids: int) -> dict[str, str]:
    """The statements over `ids` ids, for a file that has our migrations."""
    migrated = True
    return {
        "by_error": sql.by_error(migrated=migrated),
        "read_letters": sql.read_letters(ids, migrated=migrated),
        "read_parked": sql.read_parked(ids, migrated=migrated),
        "delete": sql.delete(ids, parked=False),
        "delete parked": sql.delete(ids, parked=True),
        "read_history": sql.read_history(parked=False),
        "read_history parked": sql.read_history(parked=True),
        "delete_history": sql.delete_history(ids, parked=False),
        "delete_history parked": sql.delete_history(ids, parked=True),
        "delete_history of all": sql.delete_history(None, parked=False),
        "record_attempts": sql.record_attempts(min(ids, ATTEMPTS_A_STATEMENT)),
        "there": sql.there(ids),
        "delete_claims": sql.delete_claims(ids, of_drainer=False),
        "delete_claims of one": sql.delete_claims(ids, of_drainer=True),
        "fetch": sql.fetch(ids, inline=None, verify=False),
        "fetch inline": sql.fetch(ids, inline=100, verify=True),
        "candidates": sql.candidates(migrated=migrated, with_error=False),
        "candidates with type": sql.candidates(migrated=migrated, with_error=False, with_type=True),
        "candidates with error": sql.candidates(migrated=migrated, with_error=True),
    } | upkeep_of_letters()


def upkeep_of_letters() -> dict[str, str]:
    of: dict[str, Callable[..., str]] = {
        "record_edit": upkeep_statements.record_edit,
        "edit": upkeep_statements.edit,
        "original": upkeep_statements.original,
        "put_back": upkeep_statements.put_back,
        "identities": partial(upkeep_statements.identities, 500),
        "holders": lambda *, parked: upkeep_statements.HOLDERS[parked],
    }
    return {
        f"{name}, parked={parked}": make(parked=parked)
        for name, make in of.items()
        for parked in (False, True)
    }


def searches() -> dict[str, str]:
    fields = ["error", "event_type", "min_retry_count", "max_retry_count"]
    columns = ["failed_at", "marked_permanent_at", "latest_error"]
    return {
        "errors": search_statements.errors(None, parked=False, migrated=True),
        "errors of some": search_statements.errors(500, parked=True, migrated=True),
        "find": search_statements.find([], parked=False, migrated=True),
        "find all": search_statements.find(
            fields, columns[::2], runs=200, parked=False, migrated=True, with_state=True
        ),
        "find parked": search_statements.find(fields, columns, runs=1, parked=True, migrated=True),
    }


def all_statements() -> dict[str, str]:
    plain = {
        name: text
        for module in (sql, upkeep_statements)
        for name, text in vars(module).items()
        if isinstance(text, str)
    }
    many = {f"{name}, many": text for name, text in made(500).items()}
    by_table = {
        f"{name}, parked={parked}": text
        for name, texts in {"COUNT": sql.COUNT, "CLEAR": sql.CLEAR}.items()
        for parked, text in texts.items()
    }
    found = plain | by_table | made(1) | many | searches()
    return {name: text for name, text in found.items() if text.startswith(VERBS)}


STATEMENTS = all_statements()


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


def test_the_statements_are_all_looked_at() -> None:
    known = {"ADD", "RETRY", "PARK", "REQUEUE", "by_error", "fetch, many", "CLEAR, parked=True"}
    assert known <= STATEMENTS.keys()


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_names_the_schema_of_each_table(name: str) -> None:
    for table in TABLES:
        for found in re.finditer(rf"(\S*){table}\b", STATEMENTS[name]):
            assert found[1] == "main."


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_can_be_prepared(connection: sqlite3.Connection, name: str) -> None:
    text = STATEMENTS[name]
    connection.execute(f"EXPLAIN {text}", [1] * text.count("?"))


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_numbers_no_variable(name: str) -> None:
    """Python 3.12 and newer take numbered ones for named, and warn."""
    assert not re.search(r"[?:@$]\w", STATEMENTS[name])


@pytest.mark.parametrize("name", [n for n, text in STATEMENTS.items() if "SELECT" in text])
def test_no_converter_of_the_user_sees_a_column(name: str) -> None:
    """Python finds a converter by the declared type of a result's column."""
    kinds = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made_by:
        migrate(made_by)
        tables = made_by.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            columns = made_by.execute("SELECT * FROM pragma_table_info(?)", (table,)).fetchall()
            values = ",".join(["1"] * len(columns))
            made_by.execute(f"REPLACE INTO {table} VALUES ({values})")  # noqa: S608 -- of the schema
        content = made_by.serialize()
    seen: list[bytes] = []
    with _converters(seen), closing(sqlite3.connect(":memory:", detect_types=kinds)) as connection:
        connection.deserialize(content)
        text = STATEMENTS[name]
        connection.execute(text, [1] * text.count("?")).fetchall()
    assert seen == []


@contextmanager
def _converters(seen: list[bytes]) -> Iterator[None]:
    before = dict(sqlite3.converters)
    for kind in ("TEXT", "BLOB", "INTEGER"):
        sqlite3.register_converter(kind, seen.append)
    try:
        yield
    finally:
        sqlite3.converters.clear()
        sqlite3.converters.update(before)


def test_no_statement_of_a_handler_is_taken_for_one_that_ends_a_group() -> None:
    for text in (sql.BEGIN, sql.COMMIT, sql.ROLLBACK):
        assert text.endswith("/* azoth-dlq */")


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_has_no_more_variables_than_old_libraries_allow(name: str) -> None:
    assert STATEMENTS[name].count("?") <= 999


@pytest.mark.parametrize(
    "make",
    [
        pragmas.set_busy_timeout,
        pragmas.set_wal_autocheckpoint,
        lambda value: sql.fetch(1, inline=value, verify=False),
    ],
)
def test_only_integers_become_a_part_of_a_statement(make: Callable[[Any], str]) -> None:
    assert "17" in make(17)
    with pytest.raises(ValueError, match="invalid literal"):
        make("1; DROP TABLE dead_letter_queue")


@pytest.mark.parametrize(
    "name",
    ["TRIM_HISTORY", "PARK_HISTORY", "REQUEUE_HISTORY", "read_history", "delete_history, many"],
)
def test_a_history_is_found_by_an_index(connection: sqlite3.Connection, name: str) -> None:
    text = STATEMENTS[name]
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", [1] * text.count("?")).fetchall()
    steps = [row[3] for row in plan]
    assert any("INDEX azoth_dlq_history_" in step for step in steps)
    assert not any("SCAN" in step or "ORDER BY" in step for step in steps)


def test_a_fetch_finds_each_letter_by_its_key_in_the_order_given(
    connection: sqlite3.Connection,
) -> None:
    statement = sql.fetch(3, inline=10, verify=True)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1, 2, 3)).fetchall()
    steps = [row[3] for row in plan if row[3].startswith(("SCAN", "SEARCH"))]
    assert "wanted" in steps[-2]
    assert re.match(r"SEARCH (TABLE )?d\S*( AS d)? USING INTEGER PRIMARY KEY", steps[-1])
    assert not any("ORDER BY" in row[3] for row in plan)
