"""Log records that are made within a handler carry its letter's id."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from azoth_dlq.current import IN_HAND, current_letter_id

ATTRIBUTE = "azoth_letter_id"  # of its own: who gives one of the record's in `extra` is refused
Factory = Callable[..., logging.LogRecord]
_lock = threading.Lock()
_drains = 0
_before: Factory | None = None  # the program's factory, and ours in its place
_ours: Factory | None = None


@contextmanager
def carrying_the_letter() -> Iterator[None]:
    """While a drain goes on, records have `azoth_letter_id`: None where no handler runs."""
    token = IN_HAND.set([None])
    _begin()
    try:
        yield
    finally:
        _end()
        IN_HAND.reset(token)


def _begin() -> None:
    global _drains, _before, _ours  # noqa: PLW0603 -- logging has one factory for all
    with _lock:
        _drains += 1
        if _drains == 1:
            _before = logging.getLogRecordFactory()
            _ours = _with_letter(_before)
            logging.setLogRecordFactory(_ours)


def _end() -> None:
    global _drains  # noqa: PLW0603 -- as above
    with _lock:
        _drains -= 1
        # Where somebody has put another in its place, or around it, that stays.
        if _drains == 0 and _before is not None and logging.getLogRecordFactory() is _ours:
            logging.setLogRecordFactory(_before)


def _with_letter(make: Factory) -> Factory:
    def record(*arguments: Any, **named: Any) -> logging.LogRecord:
        made = make(*arguments, **named)
        setattr(made, ATTRIBUTE, current_letter_id())
        return made

    return record
