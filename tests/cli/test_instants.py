"""Times of day, as `--since` and `--until` take them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from azoth_dlq import clock
from azoth_dlq.cli.instants import parse_instant
from azoth_dlq.clock import EPOCH, MICROSECOND

NOW = datetime(2026, 3, 29, 2, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: (NOW - EPOCH) // MICROSECOND)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """At 04:30 there, an hour after 02:00 became 03:00."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system sets a process's zone otherwise")
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "day", "hour", "minute"),
    [
        ("02:30Z", 29, 2, 30),  # it is so late now
        ("02:31Z", 28, 2, 31),
        ("00:00:30Z", 29, 0, 0),
        ("04:00+05:00", 28, 23, 0),  # of the day that it is there
        ("20:00-05:00", 29, 1, 0),
    ],
)
def test_a_time_of_day_is_the_last_one(text: str, day: int, hour: int, minute: int) -> None:
    found = parse_instant(text, "since")
    assert found.utcoffset() == NOW.utcoffset()
    assert (found.day, found.hour, found.minute) == (day, hour, minute)


@pytest.mark.usefixtures("berlin")
def test_without_an_offset_it_is_local() -> None:
    assert parse_instant("04:30", "since") == NOW
    assert parse_instant("04:31", "since") == datetime(2026, 3, 28, 3, 31, tzinfo=UTC)
    assert parse_instant("01:00", "since") == datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
