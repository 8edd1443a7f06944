"""Log records that are made within a handler carry its letter's id."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from azoth_dlq.current import IN_HAND, current_letter_id

ATTRIBUTE = "azoth_letter_id"  # of its own: who gives one of the record's in `extra` is refused
Factory = Callable[..., logging.LogRecord]


@contextmanager
def carrying_the_letter() -> Iterator[None]:
    """Within a drain. From the first one on, every record of the process has `azoth_letter_id`:
    None where no handler runs."""
    token = IN_HAND.set([None])
    try:
        _have_records_carry_it()
        yield
    finally:
        IN_HAND.reset(token)


def _have_records_carry_it() -> None:
    # Once for all: where others have put their factories around ours, it cannot be taken away, and
    # where they have put one in its place, it is put around that.
    make = logging.getLogRecordFactory()
    if not hasattr(make("azoth_dlq", logging.DEBUG, "", 0, "", (), None), ATTRIBUTE):
        logging.setLogRecordFactory(_with_letter(make))


def _with_letter(make: Factory) -> Factory:
    def record(*arguments: Any, **named: Any) -> logging.LogRecord:
        made = make(*arguments, **named)
        setattr(made, ATTRIBUTE, current_letter_id())
        return made

    return record
