"""The plan of a drain: which letters are due, in which order, as compact arrays."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.kernels.eligibility import Rules, Selection, select
from azoth_dlq.store.base import Store, Suspects


class Look(NamedTuple):
    """Which letters are looked at: those of `ids` (None: all), or (`suspects`) those alone that
    may be due by what the store has noted before. `asked_for`: attempt them whatever was before."""

    ids: Sequence[int] | None = None
    suspects: bool = False
    asked_for: bool = False


LOOK_AT_ALL = Look()
RESTS_OF_COUNTS = 100  # times as long as a count took


class Plan(NamedTuple):
    """The due letters in order. `next_due`: when the first of the others is due, at the earliest.
    `waiting`: how many others are not due, None where not all were looked at. `depth`: how many
    letters there are, None where that was not counted. `is_stop_over`: a stop by failures is
    recorded, and no letter is left that it could be about."""

    letters: Selection
    next_due: int | None
    waiting: int | None
    depth: int | None
    is_stop_over: bool


class Depth:
    """How many letters there are. A store reads its rows to count them, so that they are counted a
    hundredth of the time at most."""

    def __init__(self) -> None:
        self.is_known = False
        self._may_be_counted_at = 0.0  # monotonic seconds

    def count(self, store: Store, *, changed: bool) -> int | None:
        """None: it is known from before, or was not counted."""
        self.is_known &= not changed
        began = monotonic()
        if self.is_known or began < self._may_be_counted_at:
            return None
        depth = store.count()
        ended = monotonic()
        self._may_be_counted_at = ended + RESTS_OF_COUNTS * (ended - began)
        self.is_known = True
        return depth


def make_plan(
    store: Store,
    config: DlqReplayConfig,
    rules: Rules,
    look: Look = LOOK_AT_ALL,
    counted: Depth | None = None,
) -> Plan:
    """One pass over the letters: filtered and ordered by the kernels, 12 bytes a due letter."""
    priority = config.priority
    suspects = Suspects(rules.now, config.least_wait) if look.suspects else None
    with store.candidates(
        with_error=priority.needs_error_text, ids=look.ids, suspects=suspects
    ) as rows:
        letters = select(rows, rules, rank=priority.rank, descending=priority.descending)
        depth = letters.examined if suspects is None else None
        if suspects is not None and counted is not None:
            changed = suspects.others_wrote or letters.examined > 0
            depth = counted.count(store, changed=changed)
        is_empty = depth == 0 and look.ids is None
        is_stop_over = is_empty and store.figures().stopped_at is not None
    instants = [letters.next_due, suspects.next_due if suspects else None]
    return Plan(
        letters,
        next_due=min((instant for instant in instants if instant is not None), default=None),
        waiting=None if suspects else letters.waiting,
        depth=depth,
        is_stop_over=is_stop_over,
    )
