"""Calling a program's hooks, once what they are told is committed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from azoth_dlq.engine._group import Group
from azoth_dlq.engine.failure import describe, one_line, traceback_text
from azoth_dlq.event_type import shown_event_type
from azoth_dlq.hooks import Attempt, Hooks, ParkedLetter
from azoth_dlq.report import ReplayReport
from azoth_dlq.store.base import Store

logger = logging.getLogger("azoth_dlq")
_MOST_LOGGED = 10  # calls that raised, of one hook in one group


class Telling:
    """What one drain has committed and not told yet: the outcomes of one group, at most.

    Each is told once. A hook that raises an Exception is logged, and changes nothing; what it left
    open on the connection is taken back.
    """

    def __init__(self, hooks: Hooks, store: Store, report: Callable[[], ReplayReport]) -> None:
        self._hooks = hooks
        self._store = store
        self._report = report
        self._attempts: deque[tuple[Any, ...]] = deque()
        self._parked: deque[ParkedLetter] = deque()
        self._is_stopped = False

    def note(self, group: Group) -> None:
        """What a committed group did is to be told. Nothing the second time."""
        known_as = group.settlement.parked_as
        attempts, parked = group.take_heard()
        self._parked.extend(
            [ParkedLetter(i, known_as.get(i), *_readable(e), reason) for i, *e, reason in parked]
        )
        self._attempts.extend(attempts)
        # A probe that fails goes on with the stop that stood before.
        self._is_stopped = self._is_stopped or (group.stopped is not None and not group.is_probe)

    def stopped(self) -> None:
        """The drain stops by failures that no group tells of."""
        self._is_stopped = True

    def tell(self) -> None:
        """Call the hooks: between groups, in the drain's thread. Errors: StorageError where one of
        them closed the connection."""
        if self._attempts and self._hooks.on_attempt is not None:
            self._call_for_each(self._hooks.on_attempt, "on_attempt", self._attempts, _attempt)
        if self._parked and self._hooks.on_parked is not None:
            self._call_for_each(self._hooks.on_parked, "on_parked", self._parked, lambda p: p)
        if self._is_stopped:
            self._is_stopped = False
            if self._hooks.on_stopped is not None:
                reports = deque([self._report()])
                self._call_for_each(self._hooks.on_stopped, "on_stopped", reports, lambda r: r)

    def _call_for_each(
        self,
        hook: Callable[[Any], object],
        name: str,
        waiting: deque[Any],
        told: Callable[[Any], Any],
    ) -> None:
        raised = 0
        while waiting:
            value = told(waiting.popleft())
            try:
                hook(value)
            except Exception as error:  # noqa: BLE001 -- whatever a program's own code raises
                raised += 1
                if raised <= _MOST_LOGGED:
                    _log(name, error, value)
                self._store.tidy()
        if raised > _MOST_LOGGED:
            logger.error("%s raised for %d more letters", name, raised - _MOST_LOGGED)
        if self._store.tidy() is not None:
            logger.error("%s left a transaction open, which is rolled back; commit it there", name)


def _attempt(noted: tuple[Any, ...]) -> Attempt:
    letter_id, event_id, head, outcome, error, retry_count, seconds = noted
    duration = None if seconds is None else timedelta(seconds=seconds)
    event_type = head if type(head) is str else _readable((event_id, head))[1]
    return Attempt(letter_id, event_id, event_type, outcome, error, retry_count, duration)


def _readable(event: Any) -> tuple[Any, str]:
    """An event's id and type, of its id and its handler's type, or what it begins with."""
    event_id, head = event
    if isinstance(event_id, bytearray):
        event_id = event_id.decode("utf-8", "replace")
    if isinstance(head, bytes | bytearray):
        head = shown_event_type(head)
    return event_id, head if isinstance(head, str) else ""


def _log(name: str, error: Exception, value: Attempt | ParkedLetter | ReplayReport) -> None:
    told = "of a stop" if isinstance(value, ReplayReport) else f"of letter {value.letter_id}"
    logger.error("%s, told %s, raised %s", name, told, one_line(describe(error)))
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s: %s", name, traceback_text(error))
