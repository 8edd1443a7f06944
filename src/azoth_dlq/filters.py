"""Which letters are meant: by id, error, type of event, age, retry count, due or not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from azoth_dlq.clock import rfc3339
from azoth_dlq.durations import Duration, from_microseconds, to_microseconds
from azoth_dlq.errors import ConfigError, not_allowed
from azoth_dlq.ids import IdRanges

_COUNTS: Final = range(2**63)
_AGES: Final = ("min_age", "max_age", "min_parked_age")
_INSTANTS: Final = ("since", "until")
_RANGES: Final = (
    ("min_age", "max_age"),
    ("since", "until"),
    ("min_retry_count", "max_retry_count"),
)
_GROUP: Final = re.compile(r"[0-9a-f]{4,16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Letters that fit all of what is given; None: any.

    - `ids`: a collection of ints and of ranges of step 1; kept as sorted ranges, which say them
      as text (`1-3,17`).
    - `group`: the fingerprint of a group of errors, or its first digits, four or more, that no
      other group's begins with.
    - `error`: a text somewhere in the first error or in the latest, or, of a permanent failure, in
      the reason that it was parked for (ASCII letters in any case, all other characters as they
      are).
    - `event_type`: what stands before the first colon of the event.
    - `min_age`, `max_age`: times since `failed_at` (0 where that lies ahead); `since`, `until`:
      from when to when it lies.
    - `min_retry_count`, `max_retry_count`.
    - `due`: whether a drain would attempt it now (True), or it waits for its time (False); fits no
      permanent failure, and neither a letter that the next drain parks.
    - `min_parked_age`: the time since it was parked; fits no dead letter.
    - `parked`: of the permanent failures (True) or of the dead letters (False); None: of those that
      the verb at hand is about.

    Both ends of each range are included. A row of which a value that is asked for cannot be read
    fits no filter that asks for it.

    Ages are given as a `timedelta` or seconds and kept as a `timedelta`, instants as a `datetime`
    with a time zone. Errors: `ConfigError` naming the field, its value and what is allowed.
    """

    ids: IdRanges | None = None
    group: str | None = None
    error: str | None = None
    event_type: str | None = None
    min_age: timedelta | None = None
    max_age: timedelta | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_retry_count: int | None = None
    max_retry_count: int | None = None
    due: bool | None = None
    min_parked_age: timedelta | None = None
    parked: bool | None = None

    if TYPE_CHECKING:
        # A dataclass cannot say that it takes more types than it keeps.
        def __init__(  # noqa: PLR0913 -- one keyword a condition
            self,
            *,
            ids: IdRanges | Iterable[int | range] | None = ...,
            group: str | None = ...,
            error: str | None = ...,
            event_type: str | None = ...,
            min_age: Duration | None = ...,
            max_age: Duration | None = ...,
            since: datetime | None = ...,
            until: datetime | None = ...,
            min_retry_count: int | None = ...,
            max_retry_count: int | None = ...,
            due: bool | None = ...,
            min_parked_age: Duration | None = ...,
            parked: bool | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.ids is not None and not isinstance(self.ids, IdRanges):
            object.__setattr__(self, "ids", IdRanges(self.ids))
        _check_group(self.group)
        _check_text("error", self.error)
        _check_text("event_type", self.event_type, without=":")
        for name in _AGES:
            age = getattr(self, name)
            if age is not None:
                object.__setattr__(self, name, from_microseconds(to_microseconds(age, name)))
        for name in _INSTANTS:
            _check_instant(name, getattr(self, name))
        _check_count("min_retry_count", self.min_retry_count)
        _check_count("max_retry_count", self.max_retry_count)
        _check_choice("due", self.due)
        _check_choice("parked", self.parked)
        for lower, upper in _RANGES:
            _check_order(lower, getattr(self, lower), upper, getattr(self, upper))

    @property
    def is_empty(self) -> bool:
        """Whether every letter fits, of the dead letters or of the permanent failures."""
        return self.as_dict().keys() <= {"parked"}

    def as_dict(self) -> dict[str, Any]:
        """Return what is given ready for JSON: ages in seconds, instants as RFC 3339 in UTC, ids as
        a text (`17,20-30`)."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in given.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return rfc3339(value)
    return str(value) if isinstance(value, IdRanges) else value


def _check_group(value: object) -> None:
    if value is not None and not (isinstance(value, str) and _GROUP.fullmatch(value)):
        allowed = "a fingerprint as `groups` shows it, or its first digits: 4 to 16 of 0-9 and a-f"
        raise not_allowed("group", value, allowed)


def _check_text(name: str, value: object, *, without: str = "") -> None:
    if value is None:
        return
    allowed = "a text of one character or more"
    if without:
        allowed = f"{allowed}, none of them {without!r}"
    if not isinstance(value, str) or not value or (without and without in value):
        raise not_allowed(name, value, allowed)
    try:
        value.encode()
    except UnicodeEncodeError:
        # Such as from an argument that is not UTF-8; no stored text holds one.
        raise not_allowed(name, value, "a text without lone surrogates") from None


def _check_instant(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, datetime) or value.utcoffset() is None):
        raise not_allowed(name, value, "a datetime with a time zone")


def _check_count(name: str, value: object) -> None:
    if value is not None and (type(value) is not int or value not in _COUNTS):
        raise not_allowed(name, value, "an int from 0 to 2**63-1")


def _check_choice(name: str, value: object) -> None:
    if value is not None and type(value) is not bool:
        raise not_allowed(name, value, "True, False or None (any)")


def _check_order(lower: str, least: Any, upper: str, most: Any) -> None:
    """Refuse a range that no letter can be in."""
    if least is not None and most is not None and least > most:
        raise ConfigError(f"{lower}={least}: must be at most {upper}, which is {most}")
