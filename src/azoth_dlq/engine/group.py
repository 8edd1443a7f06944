"""Letters attempted in one transaction, and what becomes of each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

from azoth_dlq.clock import writable
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.durations import format_seconds, to_microseconds
from azoth_dlq.engine.failure import describe, letter_text, one_line, readable, traceback_text
from azoth_dlq.errors import EventDecodeError
from azoth_dlq.outcomes import NonRetryable, RetryAfter, Snooze
from azoth_dlq.store.base import Parking, Retry, Settlement, Snoozed

logger = logging.getLogger("azoth_dlq")
_MOST_RETRIES = 2**63 - 1
_MOST_FAILURES = 5000  # in a group: their texts are held until they are written


class Group:
    """Collects outcomes until they are settled and committed together.

    A row is one of `Store.fetch`: its id, its retry_count, …, its event id and event bytes.
    """

    def __init__(
        self, config: DlqReplayConfig, clock: Callable[[], int], failures_in_row: int = 0
    ) -> None:
        self._max_retries = config.max_retries
        self._clock = clock
        self.settlement = Settlement()
        self.acked = self.settlement.acked
        self.failures_in_row = failures_in_row
        self.failed = 0
        self.snoozed = 0
        self.skipped = 0
        self.unreadable = 0
        self.exhausted = 0
        self.last_called: tuple[Any, ...] | None = None  # the row whose handler ran last
        self.handler = ""  # the name of that handler, once it is in question
        self.error: BaseException | None = None  # what that handler raised
        self.interrupt: BaseException | None = None  # what ends the drain
        self.full = False  # it is to be committed now
        self.stale = False  # a handler changed letters: those fetched must be fetched anew
        self.stopped: Literal["failures"] | None = None
        self.errors: list[str] = []  # of failed attempts
        self._log: list[tuple[int, str, tuple[object, ...]]] = []

    def __len__(self) -> int:
        """Letters attempted."""
        return len(self.acked) + self.failed + self.snoozed

    def raised(self, row: tuple[Any, ...], handler: str, error: Exception) -> None:
        """The letter's handler, of that name, raised `error`."""
        delay = _asked_delay(error)
        if delay is not None and isinstance(error, Snooze):
            self._snooze(row, handler, error, delay)
            return
        self.failed += 1
        text = describe(error)
        origin: BaseException | None = error
        if isinstance(error, EventDecodeError):
            # It led to no handler; where a route raised, that is its cause.
            origin = error.__cause__
            self._charge(row, text)
        elif isinstance(error, NonRetryable):
            self._charge(row, text, handler, reason=f"not retryable: {text}")
        else:
            self.failures_in_row += 1
            self._charge(row, text, handler, delay=delay)
        if origin is not None and logger.isEnabledFor(logging.DEBUG):
            self._note(logging.DEBUG, "%s: %s", letter_text(row), traceback_text(origin))

    def failed_with(self, row: tuple[Any, ...], text: str) -> None:
        """The letter's attempt failed with what `text` says."""
        self.failed += 1
        self.failures_in_row += 1
        self._charge(row, readable(text))

    def charge_death(self, row: tuple[Any, ...], text: str) -> None:
        """The letter lost an attempt that another process made."""
        self._charge(row, text)

    def park_unattempted(self, letter_id: int, reason: str, *, unreadable: bool) -> None:
        if unreadable:
            self.unreadable += 1
        else:
            self.exhausted += 1
        self.settlement.parked.append(Parking(letter_id, self._now(), reason, None, None, None))
        self._note(logging.ERROR, "letter %d: parked: %s", letter_id, one_line(reason))

    def log(self) -> None:
        """Say what was committed: DEBUG a success, and where a failure was raised; INFO a snooze;
        WARNING a failure; ERROR a letter parked."""
        if self.acked and logger.isEnabledFor(logging.DEBUG):
            for letter_id in self.acked:
                logger.debug("letter %d: replayed", letter_id)
        for level, message, values in self._log:
            logger.log(level, message, *values)

    def _snooze(self, row: tuple[Any, ...], handler: str, snooze: Snooze, delay: int) -> None:
        self.snoozed += 1
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
        self.full = self.full or len(self.errors) >= _MOST_FAILURES
        now = self._now()
        count = min(row[1] + 1, _MOST_RETRIES)
        if not reason and count >= self._max_retries:
            reason = f"failed {count} of {self._max_retries} attempts, the last with {error}"
        if reason:
            parking = Parking(row[0], self._now(), reason, count, now, error)
            self.settlement.parked.append(parking)
        else:
            not_before = None if delay is None else self._now(plus=delay)
            self.settlement.retries.append(Retry(row[0], count, now, error, not_before))
        self._note(
            logging.ERROR if reason else logging.WARNING,
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
