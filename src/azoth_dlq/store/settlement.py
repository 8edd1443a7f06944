"""What becomes of letters: the outcomes that a group writes together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from azoth_dlq.types import AttemptOutcome


class Retry(NamedTuple):
    """A failed attempt whose letter stays: its new count, when it was made, its error, and the
    instant that the handler asked for in place of the backoff."""

    id: int
    retry_count: int
    last_retry_at: int
    error: str
    not_before: int | None = None


class Snoozed(NamedTuple):
    """A letter put off until `not_before`, no attempt spent."""

    id: int
    not_before: int


class Parking(NamedTuple):
    """A letter to move to the permanent failures.

    `retry_count` and `last_retry_at` are None where no attempt was made: the row's own values are
    copied as they are.
    """

    id: int
    parked_at: int
    reason: str
    retry_count: int | None = None
    last_retry_at: int | None = None
    error: str | None = None


class Attempted(NamedTuple):
    """An attempt for the history: `at` in microseconds, `duration` in microseconds (None: unknown,
    the process died); `traceback` may be empty; `is_first`: none of the letter was recorded before.
    """

    letter_id: int
    at: int
    outcome: AttemptOutcome
    error_type: str
    message: str
    traceback: str
    duration: int | None
    is_first: bool = False


class Settlement:
    """What becomes of a group's letters, written together and committed together.

    recorded: those of `acked` that may have a history. history: goes with whatever becomes of the
    letter. alone: letters to be kept out of batches from now on. released: letters whose claim ends
    without an outcome; that of every other letter here ends, too, but of those `held`, whose calls
    still go on. stopped_at: the instant of a stop
    by failures, kept unless one is recorded already; resumed: a letter succeeded, or none is left,
    so that a stop recorded before is over. parked_as: once it is written, the id of each of
    `parked` that was still there among the permanent failures.
    """

    def __init__(  # noqa: PLR0913 -- by name only
        self,
        *,
        acked: Iterable[int] = (),
        retries: Iterable[Retry] = (),
        snoozed: Iterable[Snoozed] = (),
        parked: Iterable[Parking] = (),
        recorded: Iterable[int] = (),
        history: Iterable[Attempted] = (),
        alone: Iterable[int] = (),
        released: Iterable[int] = (),
        held: Iterable[int] = (),
        stopped_at: int | None = None,
        resumed: bool = False,
    ) -> None:
        self.acked = list(acked)
        self.retries = list(retries)
        self.snoozed = list(snoozed)
        self.parked = list(parked)
        self.parked_as: dict[int, int] = {}
        self.recorded = list(recorded)
        self.history = list(history)
        self.alone = list(alone)
        self.released = list(released)
        self.held = list(held)
        self.stopped_at = stopped_at
        self.resumed = resumed

    def ids(self) -> list[int]:
        """Of every letter in it."""
        return [
            *self.acked,
            *(retry.id for retry in self.retries),
            *(snoozed.id for snoozed in self.snoozed),
            *(parking.id for parking in self.parked),
        ]
