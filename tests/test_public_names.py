"""The names that programs import, and the program that the documentation shows."""

from __future__ import annotations

import ast
import pickle
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import azoth_dlq
from azoth_dlq import (
    BackoffStrategy,
    BatchConfig,
    ConfigError,
    DeadLetterQueue,
    DlqMetricsSnapshot,
    DlqReplayConfig,
    EventDecodeError,
    FailedEvent,
    Histogram,
    InvalidStateError,
    LetterFilter,
    LetterGroup,
    NonRetryable,
    PermanentFailure,
    ReplayPriority,
    ReplayReport,
    RetryAfter,
    Snooze,
    StorageError,
)
from azoth_dlq.errors import not_allowed
from tests.programs import run_program

NAMES = {
    "AzothError", "BackoffStrategy", "BatchConfig", "ConfigError", "DeadLetterQueue", "DlqMetrics",
    "DlqReplayConfig", "DlqReplayer", "EventDecodeError", "EventHandlerRegistry",
    "ExchangeError", "FailedEvent", "InvalidStateError", "LetterFilter", "NonRetryable",
    "ReplayPriority", "ReplayReport", "RetryAfter", "Snooze", "StorageError",
    "current_letter_id",
}  # fmt: skip
HANDED_OUT = {
    "Attempt", "AttemptRecord", "AuditRecord", "DlqMetricsSnapshot", "Event", "ExportReport",
    "Histogram", "ImportReport", "LetterGroup", "ParkedLetter", "PermanentFailure", "Purged",
}  # fmt: skip

ALL: list[str] = vars(azoth_dlq)["__all__"]  # type checkers see imports in its place

PROGRAM = """
from azoth_dlq import (BackoffStrategy, DeadLetterQueue, DlqReplayConfig, DlqReplayer, EventHandlerRegistry,
                       FailedEvent, NonRetryable, ReplayPriority, RetryAfter, Snooze, AzothError, ConfigError)

registry = EventHandlerRegistry()

@registry.handler("deposit")
def deposit(conn, event_id, payload: bytes) -> None:
    conn.execute("UPDATE accounts SET balance = balance + ? WHERE id = 1", (int(payload),))

with DeadLetterQueue.open("projection.db") as dlq:      # or DeadLetterQueue(an sqlite3.Connection)
    letter_id = dlq.add(event_id=42, event_bytes=b"deposit:100", error=ValueError("boom"))
    report = DlqReplayer(dlq, registry, DlqReplayConfig(max_retries=5)).drain()
    print(report.succeeded, report.failed, report.parked, dlq.count())
"""  # noqa: E501 -- as it is shown
EARLIER = (
    "dlq.connection.execute(\"UPDATE dead_letter_queue SET failed_at = '2020-01-01 00:00:00'\")"
)


def test_the_program_of_the_documentation_runs_as_it_stands(tmp_path: Path) -> None:
    """Its letter failed a moment ago, so it is not due yet."""
    assert run_program(PROGRAM, tmp_path) == "0 0 0 1\n"


def test_the_program_of_the_documentation_replays_its_letter_when_it_is_due(
    tmp_path: Path,
) -> None:
    with DeadLetterQueue.open(tmp_path / "projection.db") as queue:
        queue.connection.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)")
        queue.connection.execute("INSERT INTO accounts VALUES (1, 7)")
    later = PROGRAM.replace("    report =", f"    {EARLIER}\n    report =")
    assert run_program(later, tmp_path) == "1 0 0 0\n"
    with DeadLetterQueue.open(tmp_path / "projection.db") as queue:
        assert queue.connection.execute("SELECT balance FROM accounts").fetchall() == [(107,)]


def test_every_public_name_is_listed_and_there() -> None:
    assert set(ALL) == NAMES | HANDED_OUT
    assert len(ALL) == len(set(ALL))
    for name in ALL:
        assert getattr(azoth_dlq, name).__name__ == name


def test_a_star_import_brings_the_public_names_only() -> None:
    names: dict[str, Any] = {}
    exec("from azoth_dlq import *", names)  # noqa: S102 -- a star is allowed at module level only
    names.pop("__builtins__")
    assert set(names) == set(ALL)


def test_type_checkers_see_the_names_that_are_there() -> None:
    tree = ast.parse(Path(azoth_dlq.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {
        alias.asname: getattr(import_module(node.module or ""), alias.name)
        for node in imports
        for alias in node.names
        if alias.asname
    }
    assert seen == {name: getattr(azoth_dlq, name) for name in ALL}


@pytest.mark.parametrize("module", ["backoff", "eligibility", "order", "templates"])
def test_the_kernels_are_public(module: str, tmp_path: Path) -> None:
    run_program(f"import azoth_dlq.kernels; azoth_dlq.kernels.{module}", tmp_path)


def test_an_sqlite_that_is_too_old_is_told_at_import(tmp_path: Path) -> None:
    program = (
        "import sqlite3\n"
        "sqlite3.sqlite_version_info, sqlite3.sqlite_version = (3, 34, 1), '3.34.1'\n"
        "try:\n    from azoth_dlq import DeadLetterQueue\n"
        "except ImportError as error:\n    print(error)"
    )
    told = run_program(program, tmp_path)
    assert "3.35" in told
    assert "3.34.1" in told


_AT = datetime(2026, 11, 24, tzinfo=UTC)
_LETTER = (1, 2, b"ok:", "boom", "2026-11-24 10:00:00", 3)
_REPORT = ReplayReport(started_at=_AT, succeeded=2, next_due=_AT)


@pytest.mark.parametrize(
    "value",
    [
        BackoffStrategy.fibonacci(1, 2),
        BatchConfig(7),
        DlqReplayConfig(priority=ReplayPriority.by_error_type(["timeout"]), jitter=0.5),
        DlqMetricsSnapshot(successes=3),
        Histogram(sum=0.5),
        LetterFilter(error="timeout", max_age=60),
        LetterGroup(
            fingerprint="0" * 16, template="a", count=1, share=1.0, example_id=7, example="a"
        ),
        ReplayPriority.LIFO,
        FailedEvent(*_LETTER),
        PermanentFailure(*_LETTER, "2026-11-24 10:00:00"),
        _REPORT,
    ],
    ids=lambda value: type(value).__name__,
)
def test_configs_letters_and_reports_pickle(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize(
    "error",
    [
        not_allowed("max_retries", 0, "an int from 1"),
        StorageError("it is full", report=_REPORT, transient=True),
        EventDecodeError("no colon"),
        InvalidStateError("not now"),
        NonRetryable("gone"),
        RetryAfter(5, "busy"),
        Snooze(7.5, "later"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_and_outcomes_pickle(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_error_of_the_package_is_an_azoth_error() -> None:
    for kind in (ConfigError, StorageError, EventDecodeError, InvalidStateError):
        assert issubclass(kind, azoth_dlq.AzothError)
    assert issubclass(ConfigError, ValueError)
