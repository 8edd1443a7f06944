"""Errors say what was wrong, and survive a trip between processes."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

from azoth_dlq.errors import (
    AzothError,
    ConfigError,
    EventDecodeError,
    InvalidStateError,
    StorageError,
)
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
    error = ConfigError.for_field("batch_size", 0, "an int of 1 or more")
    assert str(error) == "batch_size=0: must be an int of 1 or more"


def test_a_long_value_is_shortened_in_the_message() -> None:
    error = ConfigError.for_field("backoff", "x" * 10_000, "a text")
    assert len(str(error)) < 100


def test_a_value_whose_repr_fails_is_shown_by_its_type() -> None:
    assert "clock=<_Unshowable" in str(ConfigError.for_field("clock", _Unshowable(), "callable"))


def test_an_integer_too_long_to_print_still_makes_a_message() -> None:
    assert "batch_size=" in str(ConfigError.for_field("batch_size", 10**5000, "less"))


def test_a_storage_error_has_no_report_unless_given_one() -> None:
    assert StorageError("disk full").report is None


def test_the_report_of_a_storage_error_pickles_with_it() -> None:
    report = ReplayReport(started_at=datetime(2026, 11, 24, tzinfo=UTC), succeeded=3)
    copy = pickle.loads(pickle.dumps(StorageError("disk full", report=report)))
    assert copy.report == report
    assert str(copy) == "disk full"
