"""Calls outside any transaction, one at a time: between the group that claims and the one that
settles."""

from __future__ import annotations

from typing import Any

from azoth_dlq.current import IN_HAND
from azoth_dlq.engine._calls import Calls
from azoth_dlq.engine._group import Group
from azoth_dlq.engine.course import Course
from azoth_dlq.engine.letters import Limits
from azoth_dlq.engine.outside import OutsideCall, gather
from azoth_dlq.engine.recovery import Recovery
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.store.base import CommitRefused, Store

Row = tuple[Any, ...]
_LOOK_SECONDS = 0.05  # at which a changed rate is seen


class CallsInTurn:
    """What is claimed and not called yet, and what was called and is not settled yet.

    A call is made in the drain's own thread, and settled in the group after it, with what else that
    group does; one that cannot be is settled alone, letter by letter.
    """

    are_beside = False
    go_on_beside = False
    letters = 0  # whose calls go on while others are attempted
    has_lost_too_many = False
    has_given_back = False

    def __init__(
        self,
        store: Store,
        registry: EventHandlerRegistry,
        course: Course,
        recovery: Recovery,
        surroundings: Surroundings,
    ) -> None:
        self._store = store
        self._registry = registry
        self._course = course
        self._recovery = recovery
        self._rate = surroundings.rate
        self._stop = surroundings.stop
        self._claimed: OutsideCall | None = None
        self._called: OutsideCall | None = None
        self._settled_alone = False
        self._called_with_it: list[OutsideCall] = []

    @property
    def is_amid(self) -> bool:
        """Whether a handler was called whose outcome is still to be committed."""
        return self._called is not None

    @property
    def has_outcome(self) -> bool:
        """Whether there is one to be written."""
        return self._called is not None and not self._called.is_to_be_released

    @property
    def settles_alone(self) -> bool:
        """Whether nothing goes into a group but the outcome of a call. A route is a program's own
        code as handlers are, which no group calls that is to keep an outcome."""
        return self._settled_alone or (self.is_amid and self._registry.route is not None)

    def limited(self, limits: Limits, _group: Group) -> Limits:
        """What bounds the letters of a group beside those that are called."""
        # A handler that kills the process must not take back what became of the letter before.
        return limits._replace(outside_only=self.is_amid)

    def has_no_room(self, _group: Group) -> bool:
        """Whether a letter that is to be called outside cannot be claimed now."""
        return False

    def record(self, group: Group, *, unchanged: bool) -> None:  # noqa: ARG002 -- see CallsAtOnce
        """In the group: what became of the letters called before."""
        call = self._called
        if call is None or call in group.settled_calls:
            return
        counted = Calls(group)
        call.record(group, counted, None if call.is_to_be_released else call.present(self._store))
        counted.tell_group()
        group.interrupt = call.interrupt
        group.full = group.full or call.interrupt is not None

    def gather(self, rows: list[Row], group: Group, limits: Limits) -> int:
        """Have the first of `rows` called behind this group, and those that go with it, if its
        handler runs outside; how many they are."""
        if group.outside is None:
            return 0
        try:
            call = gather(rows, group.outside, self._registry, self._store, limits)
        except Exception:
            raise
        except BaseException as interrupt:  # noqa: BLE001 -- raised once the group is committed
            self._store.undo()
            group.interrupt = interrupt
            return 0
        group.next_calls.append(call)
        return len(call)

    def claim(self, group: Group) -> None:
        """In the group, which is about to be committed."""
        for call in group.next_calls:
            call.claim(self._store)

    def committed(self, group: Group) -> None:
        """A group that is told twice counts once."""
        self._claimed = group.next_calls[0] if group.next_calls else None
        if self._called in group.settled_calls:
            self._called = self._called_with_it.pop(0) if self._called_with_it else None
            self._settled_alone = self._called is not None

    def lost(self, group: Group) -> None:
        """It is done again."""

    def go_on(self, largest_chunk: int) -> None:
        """Call what was claimed."""
        call = self._claimed
        if call is None:
            return
        self._claimed, self._called = None, call
        self._rate.take(len(call))
        in_hand = IN_HAND.get()
        in_hand[0] = call.first_id
        try:
            call.call(self._store.reader, self._store.tidy)
        finally:
            in_hand[0] = None
        course = self._course
        if call.interrupt is not None:
            course.place -= len(call)
        if call.is_failed_batch:
            end = course.place
            course.place = course.place_of(call.ids[0], largest_chunk)
            self._recovery.singly.update(call.ids)
            # Those between them that are gone were counted as skipped.
            gone = set(course.next_ids(end - course.place)).difference(call.ids)
            self._recovery.settled.update(gone)

    def wait(self, *, ending: bool, more: bool) -> None:
        """Until another attempt may be made."""
        while more and not (ending or self.is_amid or self._stop.requested):
            left = self._rate.wait()
            if left <= 0:
                return
            self._stop.wait(min(left, _LOOK_SECONDS))

    def settle_alone(self) -> bool:
        """The group that was to settle the call is lost; whether it did nothing else."""
        was_alone, self._settled_alone = self._settled_alone, True
        return was_alone

    def refuse(self, refused: CommitRefused) -> OutsideCall | None:
        """Such a group is refused: what is tried next is letter by letter, then a failure of the
        letter, and then to give it up, which is returned.

        Errors: CommitRefused where not even that a call is over can be written.
        """
        if self._called is None or not self.settle_alone():
            return None
        if self._called.is_to_be_released:
            raise refused
        if len(self._called) > 1:
            self._called, *self._called_with_it = self._called.singly()
            return None
        return None if self._called.refuse(refused) else self._called

    def break_off(self) -> None:
        """An interrupt ends the drain."""

    def finish(self) -> bool:
        """An error does; whether there may be outcomes of calls to be written all the same."""
        return False

    def close(self) -> None:
        """The drain is over."""
