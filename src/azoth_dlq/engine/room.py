"""How many more letters a drain may claim for calls at once, in calls and in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from azoth_dlq.engine.outside import OutsideCall
from azoth_dlq.store.base import Store

_AHEAD = 2  # calls claimed that cannot start at once, for each that can


class Room:
    """Each call in hand has a slot of its own, where it is marked that it has started, until its
    outcome is committed. `marks`: a byte for each."""

    def __init__(self, at_once: int, most_bytes: int) -> None:
        self._most = (1 + _AHEAD) * at_once
        self._most_bytes = most_bytes
        self._bytes = 0
        # Those that are over wait for their commit, and others are claimed in that.
        self._slots = 2 * self._most
        self._free = list(range(self._slots))
        self.marks: Any = None

    @property
    def bytes_left(self) -> int:
        return self._most_bytes - self._bytes

    def left(self, waiting: int) -> int:
        """How many calls may be claimed, where so many are to be called or go on."""
        if self._bytes >= self._most_bytes:
            return 0
        return min(self._most - waiting, len(self._free))

    def allot(self, calls: Sequence[OutsideCall], store: Store) -> None:
        """Give each of them a slot, in the group that is to claim them."""
        if self.marks is None:
            self.marks = store.start_marks(self._slots)
        for call, slot in zip(calls, reversed(self._free), strict=False):
            call.slot = slot

    def take(self, calls: Sequence[OutsideCall]) -> None:
        """They are claimed."""
        del self._free[-len(calls) :]
        self._bytes += sum(call.size for call in calls)

    def free(self, call: OutsideCall) -> None:
        """Its outcome is committed."""
        self._bytes -= call.size
        if call.slot is not None:
            self.marks[call.slot] = 0
            self._free.append(call.slot)
