"""The texts of the SQLite store's statements: no value is ever a part of one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.migrations import migrate

TABLES = ("dead_letter_queue", "permanent_failures", "azoth_dlq_state", "sqlite_master")


def texts() -> dict[str, str]:
    """Every statement that a migrated file meets, by name."""
    plain = {name: text for name, text in vars(sql).items() if name.isupper()}
    made = {
        f"{name} {n}": text
        for name, maker in {
            "read_letters": lambda n: sql.read_letters(True, n),
            "read_parked": lambda n: sql.read_parked(True, n),
            "delete": lambda n: sql.delete(n or 1, parked=False),
            "delete parked": lambda n: sql.delete(n or 1, parked=True),
            "candidates": lambda n: sql.candidates(True, with_error=n is None),
            "fetch": lambda n: sql.fetch(n or 1, inline=n, verify=True),
            "fetch plainly": lambda n: sql.fetch(n or 1, inline=n, verify=False),
        }.items()
        for n in (None, 1, 500)
        for text in [maker(n)]
    }
    both = {f"{name} {k}": text for name in ("COUNT", "CLEAR") for k, text in plain[name].items()}  # type: ignore[attr-defined]
    single = {name: text for name, text in plain.items() if isinstance(text, str)}
    return {name: text for name, text in (single | both | made).items() if " " in text}


STATEMENTS = texts()
PARTS = {"NOT_BEFORE"}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - PARTS))
def test_a_statement_names_the_schema_of_each_table(name: str) -> None:
    for table in TABLES:
        for found in re.finditer(rf"\b(?:FROM|INTO|UPDATE|JOIN)\s+(\S*{table})\b", STATEMENTS[name]):
            assert found[1] == f"main.{table}"


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, text in STATEMENTS.items()
        if text.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))
    ),
)
def test_a_statement_can_be_prepared(connection: sqlite3.Connection, name: str) -> None:
    text = STATEMENTS[name]
    numbered = [int(n) for n in re.findall(r"\?(\d+)", text)]
    values = [1] * (max(numbered) if numbered else text.count("?"))
    connection.execute(f"EXPLAIN {text}", values)


def test_no_statement_of_a_handler_is_taken_for_one_that_ends_a_group() -> None:
    handlers = {"BEGIN", "BEGIN IMMEDIATE", "COMMIT", "END", "ROLLBACK"}
    assert handlers.isdisjoint({sql.BEGIN, sql.COMMIT, sql.ROLLBACK})
    for text in (sql.BEGIN, sql.COMMIT, sql.ROLLBACK):
        assert "azoth-dlq" in text


def test_a_statement_of_500_ids_has_no_more_variables_than_old_libraries_allow() -> None:
    assert all(text.count("?") <= 999 for text in STATEMENTS.values())


@pytest.mark.parametrize(
    "make",
    [
        lambda value: sql.set_busy_timeout(value),
        lambda value: sql.set_wal_autocheckpoint(value),
        lambda value: sql.fetch(1, inline=value, verify=False),
    ],
)
def test_only_integers_become_a_part_of_a_statement(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match="invalid literal"):
        make("1; DROP TABLE dead_letter_queue")


def test_a_fetch_finds_each_letter_by_its_key_in_the_order_given(
    connection: sqlite3.Connection,
) -> None:
    statement = sql.fetch(3, inline=10, verify=True)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1, 2, 3)).fetchall()
    steps = [row[3] for row in plan if row[3].startswith(("SCAN", "SEARCH"))]
    assert re.search(r"wanted", steps[-2])
    assert re.fullmatch(r"SEARCH d(ead_letter_queue AS d)? USING INTEGER PRIMARY KEY.*", steps[-1])
    assert not any("ORDER BY" in row[3] for row in plan)
