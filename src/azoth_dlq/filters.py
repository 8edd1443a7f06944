"""Which letters are meant: by error, type of event, age, retry count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Letters that fit all of what is given; None: any.

    `error` is a text somewhere in `error_message` (ASCII letters in any case, all other characters
    as they are), `event_type` what stands before the first colon of the event, ages are times since
    `failed_at`, retry counts and ages are both ends inclusive.
    """

    error: str | None = None
    event_type: str | None = None
    min_age: timedelta | None = None
    max_age: timedelta | None = None
    min_retry_count: int | None = None
    max_retry_count: int | None = None
