"""What `azoth-dlq tune` says of what it cannot tune, in one sentence, the copies removed."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.cli.conftest import Workplace, error_line
from tests.cli.tuning import ENOUGH, findings, leftovers, trouble, tune


def test_no_letter_is_due(workplace: Workplace) -> None:
    workplace.make("ok", failed_at="2100-01-01 00:00:00")
    assert (
        trouble(workplace, 1) == "azoth-dlq: no letter is due; 1 is not yet (--now takes it, too)"
    )
    assert findings(workplace, "--now", "--budget", ENOUGH)["due"] == 1


def test_letters_are_used_up(workplace: Workplace) -> None:
    workplace.make("ok", "ok", retry_count=7)
    line = trouble(workplace, 1, "--max-retries", "7")
    told = "no letter is due; 2 would be parked, their retries used up (max_retries)"
    assert line == f"azoth-dlq: {told}"


def test_a_queue_is_empty(workplace: Workplace) -> None:
    workplace.make()
    assert trouble(workplace, 1) == "azoth-dlq: no letter is due; there is none to try with"


def test_all_letters_fail(workplace: Workplace) -> None:
    workplace.make("fails", "fails")
    line = trouble(workplace, 1)
    assert "none of 2 letters succeeded; the commonest error: ValueError: event 7" in line


@pytest.mark.parametrize(("seconds", "budget"), [(0.2, "1"), (1, "9")])
def test_a_budget_is_too_small(workplace: Workplace, seconds: float, budget: str) -> None:
    """One call may take longer than a group: each trial waits for it."""
    handler = f"import time\nregistry.register('waits', lambda *_: time.sleep({seconds}))\n"
    workplace.add_handler(handler)
    workplace.make(*["waits"] * 20)
    line = trouble(workplace, 2, "--budget", budget)
    assert f"{budget} s are too few: 3 rounds of " in line
    assert "--budget" in line


@pytest.mark.parametrize("budget", ["0", "0.5", "-1", "nan", "soon"])
def test_a_budget_is_no_time(workplace: Workplace, budget: str) -> None:
    workplace.make("ok")
    assert "--budget" in error_line(tune(workplace, "--budget", budget), 2)


def test_a_file_is_none_of_ours(workplace: Workplace) -> None:
    assert "there is no file" in error_line(tune(workplace), 1)
    workplace.database.write_bytes(b"")
    assert "dead_letter_queue" in error_line(tune(workplace), 1)
    workplace.database.write_bytes(b"no database" * 1000)
    assert "is not an SQLite database" in error_line(tune(workplace), 1)
    assert leftovers(workplace) == []


def test_a_file_is_locked(workplace: Workplace) -> None:
    workplace.make("ok")
    workplace.execute("PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(workplace.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        line = trouble(workplace, 1, "--busy-timeout", "0.2")
    assert "is locked by another program" in line


def test_a_damaged_file_is_named_not_its_copy(workplace: Workplace) -> None:
    workplace.make(*["ok"] * 500)
    workplace.execute("PRAGMA journal_mode = DELETE")
    content = workplace.database.read_bytes()
    # The pages behind the first ones hold letters and their indexes.
    workplace.database.write_bytes(content[: 4096 * 20].ljust(len(content), b"x"))
    assert "a copy of projection.db is damaged" in trouble(workplace, 1)


def test_a_file_and_its_folder_may_be_read_alone(open_workplace: Workplace) -> None:
    open_workplace.make(*["ok"] * 5)
    open_workplace.execute("PRAGMA journal_mode = DELETE")
    open_workplace.database.chmod(0o444)
    open_workplace.folder.chmod(0o555)
    demo = ("--handlers", "azoth_dlq.demo:registry")
    try:
        refused = open_workplace.as_user("tune", "projection.db", *demo)
        assert error_line(refused, 1).endswith("choose another folder by --copies-in")
    finally:
        open_workplace.folder.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("projection.db", "projection.db exists already, and is never overwritten"),
        ("nowhere/found.toml", "nowhere/found.toml cannot be made"),
        ("", "'' cannot be the name of a file"),
        ("x" * 300, "cannot be the name of a file"),
    ],
    ids=["there", "nowhere", "none", "too long"],
)
def test_settings_cannot_be_written(workplace: Workplace, name: str, told: str) -> None:
    workplace.make("ok")
    assert told in error_line(tune(workplace, "--write", name), 2)


def test_a_handler_ends_the_process(workplace: Workplace) -> None:
    workplace.add_handler("@registry.handler('ends')\ndef ends(*_):\n    raise SystemExit(0)\n")
    workplace.make("ends")
    assert "a handler raised SystemExit" in trouble(workplace, 1)
