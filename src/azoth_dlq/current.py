"""The letter whose handler runs here."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

# Of a drain and its handlers: a list of one, for the loop over letters to write to at no cost.
IN_HAND: Final[ContextVar[list[int | None]]] = ContextVar("azoth_dlq_in_hand")


def current_letter_id() -> int | None:
    """Return the id of the letter whose handler runs in this thread or task (of a batch the first),
    None where none does."""
    in_hand = IN_HAND.get(None)
    return None if in_hand is None else in_hand[0]
