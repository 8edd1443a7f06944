"""Times are shown in local time with its offset, with --utc in UTC, and to programs in UTC."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.cli.conftest import Workplace

pytestmark = pytest.mark.skipif(os.name == "nt", reason="its C library reads no zones from TZ")

# Written as POSIX has them, so that no database of zones is needed: their signs are the other way.
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
KOLKATA = "IST-5:30"
NEWFOUNDLAND = "NST3:30NDT,M3.2.0,M11.1.0"


def shown(workplace: Workplace, *arguments: str) -> str:
    done = workplace.run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("zone", "winter", "summer"),
    [
        ("UTC", "2026-01-15 12:00:00 +00:00", "2026-07-15 12:00:00 +00:00"),
        (BERLIN, "2026-01-15 13:00:00 +01:00", "2026-07-15 14:00:00 +02:00"),
        (KOLKATA, "2026-01-15 17:30:00 +05:30", "2026-07-15 17:30:00 +05:30"),
        (NEWFOUNDLAND, "2026-01-15 08:30:00 -03:30", "2026-07-15 09:30:00 -02:30"),
    ],
)
def test_times_are_those_of_the_zone(
    workplace: Workplace, zone: str, winter: str, summer: str
) -> None:
    workplace.make("ok", failed_at="2026-01-15 12:00:00", last_retry_at="2026-07-15T12:00:00Z")
    workplace.environment["TZ"] = zone
    assert winter in shown(workplace, "list", "projection.db")
    columns = shown(workplace, "show", "projection.db", "1")
    assert winter in columns
    assert summer in columns
    in_utc = shown(workplace, "show", "projection.db", "1", "--utc")
    assert "2026-01-15 12:00:00 UTC" in in_utc
    assert "2026-07-15 12:00:00 UTC" in in_utc
    assert "2026-01-15 12:00:00 UTC" in shown(workplace, "list", "projection.db", "--utc")


def test_the_hour_that_comes_twice_is_told_apart_by_its_offset(workplace: Workplace) -> None:
    workplace.environment["TZ"] = BERLIN
    for failed_at in ("2026-10-25 00:30:00", "2026-10-25 01:30:00"):
        workplace.make("ok", failed_at=failed_at)
    times = re.findall(r"2026-10-25 \S+ \S+", shown(workplace, "list", "projection.db"))
    assert times == ["2026-10-25 02:30:00 +01:00", "2026-10-25 02:30:00 +02:00"]


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("0001-01-01 00:00:00", "0001-01-01 00:00:00 UTC"),
        ("9999-12-31 23:59:59", "9999-12-31 23:59:59 UTC"),
        ("yesterday", "yesterday"),
    ],
)
def test_what_no_local_time_can_show_is_shown_in_utc(
    workplace: Workplace, stored: str, text: str
) -> None:
    """One zone is too far to the west for the first day of all, another for the last."""
    workplace.environment["TZ"] = "XXX5" if stored.startswith("0001") else "XXX-5"
    workplace.make("ok", failed_at=stored)
    assert text in shown(workplace, "list", "projection.db")


def test_status_shows_when_the_next_is_due(workplace: Workplace) -> None:
    workplace.environment["TZ"] = KOLKATA
    workplace.make("ok", last_retry_at="8000-01-01T00:00:00Z")
    assert "(8000-01-01 05:30:10 +05:30)" in shown(workplace, "status", "projection.db")
    assert "(8000-01-01 00:00:10 UTC)" in shown(workplace, "status", "projection.db", "--utc")
    document = json.loads(shown(workplace, "status", "projection.db", "--json"))
    assert document["next_due"] == "8000-01-01T00:00:10.000000Z"


def test_a_drain_shows_when_the_next_is_due_and_its_log_the_same_way(workplace: Workplace) -> None:
    workplace.environment["TZ"] = BERLIN
    workplace.make("fails", "ok", last_retry_at="8000-01-01T00:00:00Z")
    workplace.make("fails")
    done = workplace.drain("-v")
    assert "(8000-01-01 01:00:10 +01:00)" in done.stdout
    assert re.search(r"^azoth-dlq: 20\S+ \S+ \+0[12]:00: letter 3 ", done.stderr, re.MULTILINE)
    done = workplace.drain("-v", "--utc", "--now")
    assert re.search(r"^azoth-dlq: 20\S+ \S+ UTC: letter 3 ", done.stderr, re.MULTILINE)
