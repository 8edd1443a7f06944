"""What a handler raises to choose the outcome of its attempt; no faults, so no `AzothError`s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azoth_dlq.durations import Duration, from_microseconds, to_microseconds

if TYPE_CHECKING:
    from datetime import timedelta


class NonRetryable(Exception):
    """Park the letter at once: no further attempt can help."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class _Delayed(Exception):
    """An outcome that says when the letter is due again."""

    delay: timedelta

    def __init__(self, delay: Duration, message: str = "") -> None:
        super().__init__(message)
        self.delay = from_microseconds(to_microseconds(delay, f"{type(self).__name__} delay"))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.delay, *self.args), self.__dict__


class RetryAfter(_Delayed):
    """Spend an attempt; the letter is due after `delay` in place of its backoff.

    `delay` is a `timedelta` or seconds, 0 or more, else `ValueError`.
    """

    # Here, so that Python's error over a missing delay names this class.
    def __init__(self, delay: Duration, message: str = "") -> None:
        super().__init__(delay, message)


class Snooze(_Delayed):
    """Spend no attempt; the letter is due after `delay`.

    `delay` is a `timedelta` or seconds, 0 or more, else `ValueError`.
    """

    # As of `RetryAfter`.
    def __init__(self, delay: Duration, message: str = "") -> None:
        super().__init__(delay, message)
