"""Instants as people write them: a date, a time of day, both, or how long ago."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Final

from azoth_dlq import clock
from azoth_dlq.clock import EPOCH, to_datetime
from azoth_dlq.durations import parse_duration
from azoth_dlq.errors import ConfigError, not_allowed

_FORMS: Final = (
    "a date such as 2026-11-30, with a time of day such as '2026-11-30 03:00' (local time) or "
    "2026-11-30T02:00Z, the last time that it was 03:00, or how long ago: 90s, 15m, 2h, 3d"
)
_DAY: Final = timedelta(days=1)


def parse_instant(text: str, field: str) -> datetime:
    """The instant that a text names, in UTC. Errors: ConfigError naming `field`."""
    if any(mark in text for mark in "-:"):
        with suppress(ValueError, OverflowError, OSError):
            # A local time without an offset is of the zone of this machine.
            return datetime.fromisoformat(text).astimezone(UTC)
        with suppress(ValueError, OverflowError, OSError):
            return _latest(time.fromisoformat(text))
    else:
        with suppress(ConfigError):
            ago = parse_duration(text, field)
            return to_datetime(clock.now() - ago) if ago <= clock.now() else EPOCH
    raise not_allowed(field, text, _FORMS)


def _latest(time_of_day: time) -> datetime:
    """When it was so late last, here or where its offset is of; in UTC."""
    now = to_datetime(clock.now())
    day = now.astimezone(time_of_day.tzinfo).date()
    today = datetime.combine(day, time_of_day).astimezone(UTC)
    if today <= now:
        return today
    return datetime.combine(day - _DAY, time_of_day).astimezone(UTC)
