"""Which letters are meant: by error, type of event, age, retry count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from azoth_dlq.durations import Duration, from_microseconds, to_microseconds
from azoth_dlq.errors import ConfigError

_COUNTS: Final = range(2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Letters that fit all of what is given; None: any.

    `error` is a text somewhere in `error_message` (ASCII letters in any case, all other characters
    as they are), `event_type` what stands before the first colon of the event, ages are times since
    `failed_at` (0 where that lies ahead), retry counts and ages are both ends inclusive. A row
    whose `failed_at` or `retry_count` cannot be read fits no filter that asks for it.

    Ages are given as a `timedelta` or seconds and kept as a `timedelta`. Errors: `ConfigError`
    naming the field, its value and what is allowed.
    """

    error: str | None = None
    event_type: str | None = None
    min_age: timedelta | None = None
    max_age: timedelta | None = None
    min_retry_count: int | None = None
    max_retry_count: int | None = None

    if TYPE_CHECKING:
        # A dataclass cannot say that it takes more types than it keeps.
        def __init__(  # noqa: PLR0913 -- one keyword a condition
            self,
            *,
            error: str | None = ...,
            event_type: str | None = ...,
            min_age: Duration | None = ...,
            max_age: Duration | None = ...,
            min_retry_count: int | None = ...,
            max_retry_count: int | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        _check_text("error", self.error)
        _check_text("event_type", self.event_type, without=":")
        for name in ("min_age", "max_age"):
            age = getattr(self, name)
            if age is not None:
                object.__setattr__(self, name, from_microseconds(to_microseconds(age, name)))
        _check_count("min_retry_count", self.min_retry_count)
        _check_count("max_retry_count", self.max_retry_count)
        _check_order("min_age", self.min_age, "max_age", self.max_age)
        _check_order(
            "min_retry_count", self.min_retry_count, "max_retry_count", self.max_retry_count
        )

    @property
    def is_empty(self) -> bool:
        """Whether every letter fits."""
        return self == LetterFilter()


def _check_text(name: str, value: object, *, without: str = "") -> None:
    if value is None:
        return
    allowed = "a text of one character or more"
    if without:
        allowed = f"{allowed}, none of them {without!r}"
    if not isinstance(value, str) or not value or (without and without in value):
        raise ConfigError.for_field(name, value, allowed)
    try:
        value.encode()
    except UnicodeEncodeError:
        # Such as from an argument that is not UTF-8; no stored text holds one.
        raise ConfigError.for_field(name, value, "a text without lone surrogates") from None


def _check_count(name: str, value: object) -> None:
    if value is not None and (type(value) is not int or value not in _COUNTS):
        raise ConfigError.for_field(name, value, "an int from 0 to 2**63-1")


def _check_order(
    lower: str, least: timedelta | int | None, upper: str, most: timedelta | int | None
) -> None:
    """Refuse a range that no letter can be in."""
    if least is not None and most is not None and least > most:  # type: ignore[operator]  # both of one type
        raise ConfigError(f"{lower}={least}: must be at most {upper}, which is {most}")
