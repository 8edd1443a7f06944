"""Errors say what was wrong, and survive a trip between processes."""

from __future__ import annotations

import pickle
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from azoth_dlq.errors import (
    AzothError,
    ConfigError,
    EventDecodeError,
    InvalidStateError,
    StorageError,
    not_allowed,
)
from azoth_dlq.store.base import Busy, StorageFault
from azoth_dlq.store.sqlite import open_for_looking
from azoth_dlq.store.sqlite.faults import as_fault, explain, fault_within, told_to_engine
from azoth_dlq.types import ReplayReport


class _Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("kind", [ConfigError, StorageError, EventDecodeError, InvalidStateError])
def test_every_error_is_an_azoth_error_and_pickles(kind: type[AzothError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("it broke")))
    assert type(copy) is kind
    assert str(copy) == "it broke"
    assert isinstance(copy, AzothError)


def test_a_config_error_is_a_value_error() -> None:
    assert issubclass(ConfigError, ValueError)


def test_a_field_error_names_field_value_and_what_is_allowed() -> None:
    error = not_allowed("batch_size", 0, "an int of 1 or more")
    assert str(error) == "batch_size=0: must be an int of 1 or more"


def test_a_long_value_is_shortened_in_the_message() -> None:
    error = not_allowed("backoff", "x" * 10_000, "a text")
    assert len(str(error)) < 100


def test_a_value_whose_repr_fails_is_shown_by_its_type() -> None:
    assert "clock=<_Unshowable" in str(not_allowed("clock", _Unshowable(), "callable"))


def test_an_integer_too_long_to_print_still_makes_a_message() -> None:
    assert "batch_size=" in str(not_allowed("batch_size", 10**5000, "less"))


def test_a_storage_error_has_no_report_unless_given_one() -> None:
    assert StorageError("disk full").report is None


def test_the_report_of_a_storage_error_pickles_with_it() -> None:
    report = ReplayReport(started_at=datetime(2026, 11, 24, tzinfo=UTC), succeeded=3)
    copy = pickle.loads(pickle.dumps(StorageError("disk full", report=report)))
    assert copy.report == report
    assert str(copy) == "disk full"


def test_a_storage_error_is_not_transient_unless_it_says_so_and_pickles_so() -> None:
    assert StorageError("damaged").transient is False
    copy = pickle.loads(pickle.dumps(StorageError("disk full", transient=True)))
    assert copy.transient is True
    assert copy.report is None


# What SQLite's codes mean

TRANSIENT = [
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_BUSY_SNAPSHOT,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_PROTOCOL,
]
LASTING = [
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CORRUPT_INDEX,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_READONLY_DIRECTORY,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_ERROR,
]


def _error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    return error


def _told(error: BaseException) -> Exception:
    """What the engine is told of an error of SQLite's."""
    with pytest.raises((Busy, StorageFault, StorageError)) as caught, told_to_engine("the file"):
        raise error
    return caught.value


@pytest.mark.parametrize("code", [*TRANSIENT, *LASTING])
def test_whether_waiting_may_mend_it_is_told_by_the_code(code: int) -> None:
    told = explain(_error(code), "the file")
    assert isinstance(told, StorageError)
    assert told.transient is (code in TRANSIENT)


@pytest.mark.parametrize("code", [*TRANSIENT, *LASTING])
def test_the_engine_is_told_whether_waiting_may_mend_a_fault(code: int) -> None:
    told = _told(_error(code))
    if not isinstance(told, Busy):
        assert isinstance(told, StorageFault | StorageError)
        assert told.transient is (code in TRANSIENT)


def test_memory_that_runs_out_in_sqlite_is_a_fault_that_passes() -> None:
    told = _told(MemoryError())
    assert isinstance(told, StorageFault)
    assert told.transient
    assert str(told).startswith("the file needs more memory than there is")


def test_a_fault_of_a_store_passes_unless_it_says_so() -> None:
    assert StorageFault("unplugged").transient is True
    assert StorageFault("damaged", transient=False).transient is False


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_CORRUPT])
def test_a_fault_behind_a_handlers_error_is_found_with_its_own_words(code: int) -> None:
    behind = _error(code)
    error = RuntimeError("the handler's own words")
    error.__cause__ = behind
    assert fault_within(error) is behind
    told = as_fault(behind, "the file", "; in a handler")
    assert told.transient is (code in TRANSIENT)
    assert str(told) == f"{explain(behind, 'the file')}; in a handler"


def test_errors_raised_from_each_other_in_a_circle_hide_no_fault() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert fault_within(one) is None
    assert fault_within(ValueError("alone")) is None


def test_a_file_that_is_no_database_never_becomes_one(tmp_path: Path) -> None:
    file = tmp_path / "letters.db"
    file.write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(StorageError, match="not an SQLite database") as caught:
        open_for_looking(file)
    assert not caught.value.transient
