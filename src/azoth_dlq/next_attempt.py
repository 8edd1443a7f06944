"""When a letter is attempted next, by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from azoth_dlq.clock import EPOCH, MICROSECOND, optional_datetime
from azoth_dlq.kernels.eligibility import Rules, Verdict, select

if TYPE_CHECKING:
    from datetime import datetime

    from azoth_dlq.types import FailedEvent

State = Literal["due", "waiting", "exhausted", "unreadable"]
_UNFIT: Final[dict[Verdict, State]] = {Verdict.EXHAUSTED: "exhausted"}


class NextAttempt(NamedTuple):
    """`at` is when it becomes due (UTC), where it waits; what is exhausted or unreadable is parked
    by the next drain."""

    state: State
    at: datetime | None = None


def next_attempt(letter: FailedEvent, rules: Rules) -> NextAttempt:
    """By the rules, and their instant."""
    not_before = None if letter.not_before is None else (letter.not_before - EPOCH) // MICROSECOND
    row = (letter.id, letter.retry_count, letter.failed_at, letter.last_retry_at, not_before)
    found = select([row], rules)
    if found.unfit_count:
        [(_, verdict)] = found.unfit()
        return NextAttempt(_UNFIT.get(verdict, "unreadable"))
    if found.waiting:
        return NextAttempt("waiting", optional_datetime(found.next_due))
    return NextAttempt("due")
