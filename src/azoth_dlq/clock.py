"""Instants: microseconds since 1970 (UTC) inside, `datetime` outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import Final

from azoth_dlq.kernels.eligibility import format_timestamp

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
EARLIEST: Final = -62_135_596_800_000_000  # the start of the year 1
LATEST: Final = 253_402_300_799_999_999  # the end of the year 9999


def now() -> int:
    """What the wall clock says."""
    return time_ns() // 1000


def writable(instant: int) -> int:
    """The instant, kept within the years that can be written."""
    return max(EARLIEST, min(instant, LATEST))


def to_datetime(instant: int) -> datetime:
    """The instant as a UTC datetime, kept within the years that one can show."""
    return EPOCH + timedelta(microseconds=writable(instant))


def optional_datetime(instant: int | None) -> datetime | None:
    """The same of an instant that may be missing."""
    return None if instant is None else to_datetime(instant)


def rfc3339(moment: datetime | None) -> str | None:
    """A moment for programs, in UTC."""
    return None if moment is None else format_timestamp((moment - EPOCH) // MICROSECOND)
