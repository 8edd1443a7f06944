"""What a replayer tells the program that made it, and whom it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from azoth_dlq.report import ReplayReport
    from azoth_dlq.types import AttemptOutcome

    Outcome: TypeAlias = AttemptOutcome | Literal["succeeded"]


class Attempt(NamedTuple):
    """An attempt whose outcome is committed: "succeeded", "failed", "snoozed", or "died" (with its
    process).

    `event_type` is that of the handler; where the event led to none, or its process died, what the
    event names, "" where that may be payload or is not known. `error` is at most 4096 bytes of
    UTF-8, None after a success. `retry_count`: the letter's failed attempts, this one included.
    `duration` is None where it is not known; of a batch each letter has its share.
    """

    letter_id: int
    event_id: int
    event_type: str
    outcome: Outcome
    error: str | None
    retry_count: int
    duration: timedelta | None


class ParkedLetter(NamedTuple):
    """A letter that is committed as a permanent failure, whether it was attempted or not.

    `letter_id` was its id among the dead letters, `permanent_failure_id` (None: another program
    took the letter away) is that among the permanent failures. `event_type` as of `Attempt`. What
    is unreadable of a row is handed out as it is stored, of whatever SQLite type.
    """

    letter_id: int
    permanent_failure_id: int | None
    event_id: int
    event_type: str
    reason: str


class Hooks(NamedTuple):
    """Who is called; None: nobody."""

    on_parked: Callable[[ParkedLetter], object] | None = None
    on_stopped: Callable[[ReplayReport], object] | None = None
    on_attempt: Callable[[Attempt], object] | None = None
