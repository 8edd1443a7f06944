"""Letters attempted in one transaction, and what becomes of each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

from azoth_dlq.clock import writable
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.durations import to_microseconds
from azoth_dlq.engine.failure import describe, one_line, readable
from azoth_dlq.errors import EventDecodeError
from azoth_dlq.outcomes import NonRetryable, RetryAfter, Snooze
from azoth_dlq.store.base import Parking, Retry, Settlement, Snoozed

logger = logging.getLogger("azoth_dlq")


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

    def raised(self, row: tuple[Any, ...], error: Exception, text: str | None = None) -> None:
        """The letter's handler raised `error`; `text` says more than the error itself."""
        if text is None and isinstance(error, Snooze):
            self._snooze(row, error)
            return
        self.failed += 1
        if text is None and isinstance(error, NonRetryable):
            self._charge(row, describe(error), reason=f"not retryable: {describe(error)}")
        elif text is None and isinstance(error, RetryAfter):
            self.failures_in_row += 1
            self._charge(row, describe(error), delay=to_microseconds(error.delay, "delay"))
        else:
            if not isinstance(error, EventDecodeError):
                self.failures_in_row += 1
            self._charge(row, readable(text) if text else describe(error))

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
        self._park(letter_id, reason)

    def log(self) -> None:
        """Say what was committed; DEBUG a success, WARNING a failure, ERROR a letter parked."""
        if self.acked and logger.isEnabledFor(logging.DEBUG):
            for letter_id in self.acked:
                logger.debug("letter %d: replayed", letter_id)
        for level, message, values in self._log:
            logger.log(level, message, *values)

    def _snooze(self, row: tuple[Any, ...], snooze: Snooze) -> None:
        self.snoozed += 1
        until = self._now(plus=to_microseconds(snooze.delay, "delay"))
        self.settlement.snoozed.append(Snoozed(row[0], until))

    def _charge(
        self, row: tuple[Any, ...], error: str, *, reason: str = "", delay: int | None = None
    ) -> None:
        self.errors.append(error)
        now = self._now()
        count = row[1] + 1
        if not reason and count >= self._max_retries:
            reason = f"failed {count} of {self._max_retries} attempts, the last with {error}"
        if reason:
            self._park(row[0], reason, count, now, error)
            return
        not_before = None if delay is None else self._now(plus=delay)
        self.settlement.retries.append(Retry(row[0], count, now, error, not_before))
        self._note(
            logging.WARNING, "letter %d: attempt %d failed: %s", row[0], count, one_line(error)
        )

    def _park(
        self,
        letter_id: int,
        reason: str,
        retry_count: int | None = None,
        last_retry_at: int | None = None,
        error: str | None = None,
    ) -> None:
        parking = Parking(letter_id, self._now(), reason, retry_count, last_retry_at, error)
        self.settlement.parked.append(parking)
        self._note(logging.ERROR, "letter %d: parked: %s", letter_id, one_line(reason))

    def _now(self, plus: int = 0) -> int:
        return writable(self._clock() + plus)

    def _note(self, level: int, message: str, *values: object) -> None:
        if logger.isEnabledFor(level):
            self._log.append((level, message, values))
