"""Letters attempted in one transaction, and what becomes of each."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from azoth_dlq.clock import writable
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.durations import format_seconds, to_microseconds
from azoth_dlq.engine.failure import (
    describe,
    described,
    error_type_name,
    letter_text,
    message_of,
    one_line,
    readable,
    traceback_text,
)
from azoth_dlq.errors import EventDecodeError, InvalidStateError
from azoth_dlq.outcomes import NonRetryable, RetryAfter, Snooze
from azoth_dlq.registry import Registration
from azoth_dlq.store.base import Attempted, Parking, Retry, Settlement, Snoozed
from azoth_dlq.types import AttemptOutcome

if TYPE_CHECKING:
    from azoth_dlq.engine.outside import OutsideCall

# A logger of their own, so that lines a letter can be left out.
logger = logging.getLogger("azoth_dlq.letters")
_MOST_RETRIES = 2**63 - 1
_ROGUE = error_type_name(InvalidStateError())
_MOST_TEXT = 8 * 1024 * 1024  # characters of errors in a group: held until they are written


class Mark(NamedTuple):
    """How much a group had noted."""

    lengths: list[int]
    failures_in_row: int
    stopped: Literal["failures"] | None
    stopped_at: int | None


class Group:
    """Collects outcomes until they are settled and committed together.

    A row is one of `Store.fetch`: its id, its retry_count, …, its event id and event bytes.
    """

    def __init__(
        self, config: DlqReplayConfig, clock: Callable[[], int], failures_in_row: int = 0
    ) -> None:
        self._max_retries = config.max_retries
        self._most_in_row = config.stop_on_consecutive_failures
        self._keeps_history = config.history_limit > 0
        self._clock = clock
        self.identity = object()  # by which it is counted once
        self.settlement = Settlement()
        self.acked = self.settlement.acked
        self.recorded = self.settlement.recorded
        self.failures_in_row = failures_in_row
        most = config.stop_on_consecutive_failures
        # The drain before was stopped: one letter at a time, until an outcome counts.
        self.is_probe = most is not None and failures_in_row >= most
        self.skipped = 0
        self.unreadable = 0
        self.exhausted = 0
        self.deaths = 0
        self.last_called: tuple[Any, ...] | None = None  # the row whose handler ran last
        self.handler = ""  # the name of that handler, once it is in question
        self.error: BaseException | None = None  # what that handler raised
        self.batch: list[int] | None = None  # the letters of that call, where it was a batch's
        # Of the letter behind the last: registration, payload, event bytes.
        self.outside: tuple[Registration, bytes, bytes] | None = None
        self.next_call: OutsideCall | None = None  # to be claimed in this group
        self.settled_call: OutsideCall | None = None  # called before it
        self.interrupt: BaseException | None = None  # what ends the drain
        self.full = False  # it is to be committed now
        self.stale = False  # a handler changed letters: those fetched must be fetched anew
        self.stopped: Literal["failures"] | None = None
        self.errors: list[str] = []  # of failed attempts
        self._succeeded: Counter[tuple[str, str]] = Counter()  # as `attempts`
        self._unsuccessful: list[tuple[str, str]] = []
        self.seconds: dict[str, tuple[list[int], float]] = {}  # of calls by event type
        self._text = 0  # characters of errors
        self._log: list[tuple[int, str, tuple[object, ...]]] = []
        self._is_logged = False
        # What an outcome other than success adds to.
        self._noted: tuple[list[Any], ...] = (
            self.settlement.history,
            self.settlement.retries,
            self.settlement.parked,
            self.settlement.snoozed,
            self.errors,
            self._unsuccessful,
            self._log,
        )

    def __len__(self) -> int:
        """Letters attempted."""
        return len(self.acked) + self.failed + self.snoozed

    @property
    def failed(self) -> int:
        return len(self.errors)

    @property
    def snoozed(self) -> int:
        return len(self.settlement.snoozed)

    @property
    def attempts(self) -> Counter[tuple[str, str]]:
        """How many there were, by event type and outcome."""
        attempts = Counter(self._succeeded)
        attempts.update(self._unsuccessful)
        return attempts

    def mark(self) -> Mark:
        """What `go_back_to` needs where an interrupt comes amid noting an outcome."""
        return Mark(
            list(map(len, self._noted)),
            self.failures_in_row,
            self.stopped,
            self.settlement.stopped_at,
        )

    def go_back_to(self, mark: Mark) -> None:
        """Have no outcome that was noted since."""
        for noted, length in zip(self._noted, mark.lengths, strict=True):
            del noted[length:]
        self.failures_in_row, self.stopped = mark.failures_in_row, mark.stopped
        self.settlement.stopped_at = mark.stopped_at

    def called(self, event_type: str, succeeded: int, counts: list[int], seconds: float) -> None:
        """Handlers of a type were called: how many letters succeeded, how many calls took how long
        (by bucket), and how long all of them together."""
        if succeeded:
            self._succeeded[event_type, "succeeded"] += succeeded
        known, sum_before = self.seconds.get(event_type, ([0] * len(counts), 0.0))
        self.seconds[event_type] = (
            [a + b for a, b in zip(known, counts, strict=True)],
            sum_before + seconds,
        )

    def succeeded(self, row: tuple[Any, ...]) -> None:
        """The letter's handler, outside the transaction, returned."""
        self.acked.append(row[0])
        if row[-3]:
            self.recorded.append(row[0])
        self.failures_in_row = 0

    def raised(
        self,
        row: tuple[Any, ...],
        registration: Registration | None,
        error: Exception,
        seconds: float,
    ) -> None:
        """The letter's handler (None: the event led to none) raised `error` after `seconds`."""
        handler = "" if registration is None else registration.name
        event_type = "" if registration is None else registration.event_type
        delay = _asked_delay(error)
        if delay is not None and isinstance(error, Snooze):
            self._unsuccessful.append((event_type, "snoozed"))
            self._snooze(row, handler, error, delay)
            self._record(row, "snoozed", error, message_of(error), error, seconds)
            return
        message = message_of(error)
        text = described(error, message)
        self._unsuccessful.append((event_type, "failed"))
        origin: BaseException | None = error
        if isinstance(error, EventDecodeError):
            # It led to no handler; where a route raised, that is its cause.
            origin = error.__cause__
            self._charge(row, text)
        elif isinstance(error, NonRetryable):
            self._charge(row, text, handler, reason=f"not retryable: {text}")
        else:
            self._count_failure()
            self._charge(row, text, handler, delay=delay)
        self._record(row, "failed", error, message, origin, seconds)
        if origin is not None and logger.isEnabledFor(logging.DEBUG):
            self._note(logging.DEBUG, "%s: %s", letter_text(row), traceback_text(origin))

    def failed_with(
        self, row: tuple[Any, ...], text: str, event_type: str = "", *, in_handler: bool = True
    ) -> None:
        """The letter's attempt failed with what `text` says."""
        self._unsuccessful.append((event_type, "failed"))
        if in_handler:
            self._count_failure()
        self._charge(row, readable(text))
        self._keep("failed", row, _ROGUE, readable(text))

    def _count_failure(self) -> None:
        self.failures_in_row += 1
        if self._most_in_row is not None and self.failures_in_row >= self._most_in_row:
            self.stopped = "failures"
            self.settlement.stopped_at = self._now()
            self.full = True

    def charge_death(self, row: tuple[Any, ...], text: str) -> None:
        """The letter's attempt ended with the process that made it."""
        self.deaths += 1
        self._unsuccessful.append(("", "failed"))
        self._charge(row, text)
        self._keep("died", row, "", text)

    def park_unattempted(self, letter_id: int, reason: str, *, unreadable: bool) -> None:
        if unreadable:
            self.unreadable += 1
        else:
            self.exhausted += 1
        self.settlement.parked.append(Parking(letter_id, self._now(), reason, None, None, None))
        self._note(logging.ERROR, "letter %d: parked: %s", letter_id, one_line(reason))

    def log(self) -> None:
        """Say what was committed: DEBUG a success, and where a failure was raised; INFO a snooze;
        WARNING a failure; ERROR a letter parked. Nothing the second time."""
        if self._is_logged:
            return
        self._is_logged = True
        if self.acked and logger.isEnabledFor(logging.DEBUG):
            for letter_id in self.acked:
                logger.debug("letter %d: replayed", letter_id)
        for level, message, values in self._log:
            logger.log(level, message, *values)

    def _record(  # noqa: PLR0913, PLR0917 -- what is known of an attempt
        self,
        row: tuple[Any, ...],
        outcome: AttemptOutcome,
        error: Exception,
        message: str,
        origin: BaseException | None,
        seconds: float,
    ) -> None:
        if self._keeps_history:
            kind, traceback = (
                error_type_name(error),
                "" if origin is None else traceback_text(origin),
            )
            told = readable(message)
            self._keep(outcome, row, kind, told, traceback=traceback, seconds=seconds)

    def _keep(  # noqa: PLR0913 -- a column each
        self,
        outcome: AttemptOutcome,
        row: tuple[Any, ...],
        error_type: str,
        message: str,
        *,
        traceback: str = "",
        seconds: float | None = None,
    ) -> None:
        if not self._keeps_history:
            return
        duration = None if seconds is None else round(seconds * 1_000_000)
        # Notes: whether an attempt before is recorded.
        is_first = not row[-3]
        at = self._now()
        self.settlement.history.append(
            Attempted(row[0], at, outcome, error_type, message, traceback, duration, is_first)
        )
        self._hold(message, traceback)

    def _hold(self, *texts: str) -> None:
        self._text += sum(map(len, texts))
        self.full = self.full or self._text >= _MOST_TEXT

    def _snooze(self, row: tuple[Any, ...], handler: str, snooze: Snooze, delay: int) -> None:
        self.settlement.snoozed.append(Snoozed(row[0], self._now(plus=delay)))
        self._note(
            logging.INFO,
            "%s: snoozed for %s s in %s: %s",
            letter_text(row),
            format_seconds(delay),
            one_line(handler),
            one_line(describe(snooze)),
        )

    def _charge(
        self,
        row: tuple[Any, ...],
        error: str,
        handler: str = "",
        *,
        reason: str = "",
        delay: int | None = None,
    ) -> None:
        self.errors.append(error)
        self._hold(error)
        now = self._now()
        count = min(row[1] + 1, _MOST_RETRIES)
        if not reason and count >= self._max_retries:
            reason = f"failed {count} of {self._max_retries} attempts, the last with {error}"
        if reason:
            parking = Parking(row[0], now, reason, count, now, error)
            self.settlement.parked.append(parking)
        else:
            not_before = None if delay is None else self._now(plus=delay)
            self.settlement.retries.append(Retry(row[0], count, now, error, not_before))
        level = logging.ERROR if reason else logging.WARNING
        if logger.isEnabledFor(level):
            self._note(
                level,
                "%s: attempt %d of %d failed%s%s: %s",
                letter_text(row),
                count,
                self._max_retries,
                f" in {one_line(handler)}" if handler else "",
                ", parked" if reason else "",
                one_line(error),
            )

    def _now(self, plus: int = 0) -> int:
        return writable(self._clock() + plus)

    def _note(self, level: int, message: str, *values: object) -> None:
        if logger.isEnabledFor(level):
            self._log.append((level, message, values))


def _asked_delay(error: Exception) -> int | None:
    """The microseconds that a handler asked for; None where it did not, or for no duration."""
    if not isinstance(error, (RetryAfter, Snooze)):
        return None
    try:
        return to_microseconds(error.delay, "delay")
    except Exception:  # noqa: BLE001 -- a subclass of the handler's; the letter just fails
        return None
