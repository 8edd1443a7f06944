"""Calls outside any transaction, many at once: claimed ahead in groups that attempt others, too."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextvars import copy_context
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine._calls import Calls
from azoth_dlq.engine._group import Group
from azoth_dlq.engine.flights import Flights
from azoth_dlq.engine.letters import INLINE, Limits
from azoth_dlq.engine.outside import OutsideCall, gather
from azoth_dlq.engine.room import Room
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.engine.threads import Threads
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.report import MOST_LOST
from azoth_dlq.store.base import CommitRefused, Store

if TYPE_CHECKING:
    from azoth_dlq.engine.loops import OnLoop

Row = tuple[Any, ...]
_START_SECONDS = 0.02  # in which a call starts that may
_POLL_SECONDS = 0.05  # at which a shutdown is heard
_INTERRUPTED_SECONDS = 1.0  # that cancelled handlers have to end in


class CallsAtOnce:
    """What of them is the drain's own: which are claimed, recorded, settled.

    `Flights` has those in between. Letters of a batch that failed wait to be called one by one.
    """

    are_beside = True

    def __init__(
        self,
        store: Store,
        registry: EventHandlerRegistry,
        config: DlqReplayConfig,
        surroundings: Surroundings,
    ) -> None:
        self._store = store
        self._registry = registry
        self._around = surroundings
        self._stop = surroundings.stop
        self._rate = surroundings.rate
        self._most = config.concurrency
        self._timeout = None if config.timeout is None else config.timeout.total_seconds()
        self._has_timeouts = False  # any that was claimed
        self._room = Room(self._most, config.memory_limit // 2)
        self._failures_in_row = surroundings.failures_in_row
        most_in_row = config.stop_on_consecutive_failures
        self._most_in_row = inf if most_in_row is None else most_in_row
        self._flights = Flights(self._most, most_in_row, surroundings.stop, surroundings.rate)
        self._over: list[OutsideCall] = []  # to be settled, in the order in which they ended
        self._claimed: list[OutsideCall] = []  # to be called
        self._one_by_one: deque[OutsideCall] = deque()
        self._suspected = 0  # of those that are over: some cannot be committed
        self._largest_settled: int | None = None
        self._is_ending = False
        self.has_given_back = False  # letters that were claimed, and have no outcome
        self._has_stopped = False
        self._is_broken_off = False
        self._is_blocked = False  # the last group ended for want of room
        self.interrupt: BaseException | None = None
        self._context = copy_context()
        self._threads = Threads(self._flights, store.open_reader, self._context)
        self._flights.threads = self._threads
        surroundings.activity.running = lambda: self._flights.running
        self._loop: OnLoop | None = None  # once an async handler is to be called

    @property
    def is_amid(self) -> bool:
        """Whether letters are claimed whose outcome is still to be committed."""
        flights = self._flights
        here = self._over or self._claimed or self._one_by_one
        return bool(here or flights.ahead or flights.running or flights.ended)

    @property
    def go_on_beside(self) -> bool:
        """Whether some are to be called, or go on."""
        return bool(self._flights.running or self._flights.ahead or self._claimed)

    @property
    def has_outcome(self) -> bool:
        """Whether there is one to be written."""
        return bool(self._flights.ended) or any(not c.is_to_be_released for c in self._over)

    @property
    def letters(self) -> int:
        """Whose calls go on while others are attempted."""
        here = sum(map(len, (*self._over, *self._claimed, *self._one_by_one)))
        return here + self._flights.letters

    @property
    def has_lost_too_many(self) -> bool:
        is_stuck = self._loop is not None and self._loop.is_stuck and bool(self._flights.lost)
        return is_stuck or len(self._flights.lost) >= MOST_LOST

    @property
    def settles_alone(self) -> bool:
        """Whether nothing goes into a group but the outcomes of calls."""
        return self._largest_settled is not None

    def limited(self, limits: Limits, group: Group) -> Limits:
        """What bounds the letters of a group beside those that are called."""
        most = limits.most - sum(map(len, group.next_calls))
        room, room_bytes = self._room_in(group), self._room.bytes_left
        room_bytes -= sum(call.size for call in group.next_calls)
        if not group.next_calls and not self.is_amid:
            room_bytes = max(room_bytes, 1)  # one that needs more is called alone
        soon = _START_SECONDS if self._flights.running < self._most else inf
        return limits._replace(
            most=most, room=room, room_bytes=room_bytes, soon=soon, hurry=self._flights.hurry
        )

    def has_no_room(self, group: Group) -> bool:
        """Whether a letter that is to be called outside cannot be claimed now."""
        return self._room_in(group) <= 0

    def _room_in(self, group: Group) -> int:
        if self._is_ending or self._has_stopped or self._flights.is_closed or self._stop.is_halted:
            return 0
        if group.is_probe:
            return 0 if self.is_amid or group.next_calls else 1
        return max(self._room_left() - len(group.next_calls), 0)

    def _room_left(self) -> int:
        return self._room.left(self._flights.running + self._flights.ahead + len(self._claimed))

    def record(self, group: Group, *, unchanged: bool) -> None:
        """In the group: what became of the calls that are over. `unchanged`: their letters are as
        they were when they were claimed."""
        self._over += self._flights.take_ended()
        most = len(self._over) if self._largest_settled is None else self._largest_settled
        calls = self._over[len(group.settled_calls) : most]
        present = None if unchanged else self._present(calls)
        counted = Calls(group)
        for call in calls:
            if not self._is_broken_off:
                self.interrupt = self.interrupt or call.interrupt
            if call.is_to_be_released and not call.is_gone:
                self.has_given_back = True
            is_late = present is not None and _came_late(call)
            call.record(group, counted, call.present(self._store) if is_late else present)
            if (call.is_failed_batch or call.was_in_batch) and self._is_ending:
                # They are called one by one by the next drain.
                group.settlement.alone += call.ids
            elif call.is_failed_batch:
                # Still in hand; until each of them is called, no death charges it.
                group.settlement.held += call.ids
        counted.tell_group()
        if not group.full:
            self._call_one_by_one(group)

    def _present(self, calls: Sequence[OutsideCall]) -> dict[int, Row]:
        ids = [i for c in calls if not (c.is_to_be_released or _came_late(c)) for i in c.ids]
        rows = self._store.fetch(ids, inline=INLINE, verify=False) if ids else []
        return {row[0]: row for row in rows}

    def _call_one_by_one(self, group: Group) -> None:
        """Have letters of batches that failed called first, as far as there is room; but not one
        that is gone or has been replaced."""
        while self._one_by_one and self._room_in(group) > 0:
            call = self._one_by_one.popleft()
            call.is_gone = not call.is_as_claimed(call.present(self._store))
            (self._over if call.is_gone else group.next_calls).append(call)

    def gather(self, rows: list[Row], group: Group, limits: Limits) -> int:
        """Have the letters that were met called once the group is committed, and the first of
        `rows`, with those that go with it in a batch; how many of `rows` that are."""
        for row, registration, payload, event_bytes in group.met:
            whole = (*row[:-1], event_bytes)
            group.next_calls.append(OutsideCall([whole], [payload], registration, batch=False))
        group.met.clear()
        if group.outside is None:
            return 0
        first, group.outside = group.outside, None
        if self._room_in(group) <= 0 or limits.room_bytes <= 0:
            group.full = group.is_blocked = True
            return 0
        limits = limits._replace(most=limits.most - group.written)
        call = gather(rows, first, self._registry, self._store, limits)
        group.next_calls.append(call)
        return len(call)

    def claim(self, group: Group) -> None:
        """In the group, which is about to be committed."""
        if not group.next_calls:
            return
        self._room.allot(group.next_calls, self._store)
        self._flights.marks = self._room.marks
        for call in group.next_calls:
            call.timeout = call.timeout or self._timeout
            self._has_timeouts |= call.timeout is not None
        single = [call for call in group.next_calls if not call.is_batch]
        if single:
            ids, slots = [c.ids[0] for c in single], [c.slot or 0 for c in single]
            self._store.claim(ids, batch=False, slots=slots)
        for call in group.next_calls:
            if call.is_batch:
                call.claim(self._store)

    def committed(self, group: Group) -> None:
        """A group that is told twice counts once."""
        if group.next_calls and group.next_calls[0] not in self._claimed:
            self._claimed += group.next_calls
            self._room.take(group.next_calls)
        settled = group.settled_calls
        if settled and self._over and settled[0] is self._over[0]:
            del self._over[: len(settled)]
            self._flights.written()
            for call in settled:
                self._room.free(call)
                if call.is_failed_batch and not self._is_ending:
                    self._one_by_one.extend(call.singly())
        self._is_blocked = group.is_blocked
        self._has_stopped = self._has_stopped or group.stopped is not None
        if self._largest_settled is not None:
            self._suspected -= len(settled)
            self._largest_settled = None if self._suspected <= 0 else 2 * self._largest_settled

    def lost(self, group: Group) -> None:
        """It is done again: nothing that it was to claim is claimed."""
        for call in reversed(group.next_calls):
            if call.was_in_batch:
                self._one_by_one.appendleft(call)
        group.next_calls.clear()

    def go_on(self, _largest_chunk: int) -> None:
        """Have called what was claimed."""
        flights, in_row = self._flights, self._failures_in_row.count
        if not self._has_stopped and self.interrupt is None and not self._is_ending:
            flights.reopen(in_row)
        if self._loop is None and any(call.registration.is_async for call in self._claimed):
            self._loop = flights.loop = self._on_loop()
        claimed, self._claimed = self._claimed, []
        flights.add(claimed)
        if self.interrupt is not None and not self.is_amid:
            interrupt, self.interrupt = self.interrupt, None
            raise interrupt

    def _on_loop(self) -> OnLoop:
        from azoth_dlq.engine.loops import OnLoop  # noqa: PLC0415 -- asyncio costs its import

        loop = self._around.event_loop()
        return OnLoop(loop, self._flights, self._store.open_reader, self._context)

    # Between groups

    def wait(self, *, ending: bool, more: bool) -> None:
        """Until something is worth a group. `more`: there are letters that may be attempted."""
        flights = self._flights
        while True:
            if not self._is_broken_off:
                self.interrupt = self.interrupt or flights.trouble
            if ending or self._stop.requested or self._has_stopped or self.interrupt is not None:
                self._give_back()
            if self._stop.is_urgent and not self._is_broken_off:
                self.break_off()
            flights.launch()
            left = self._until_worth_it(more=more and not self._is_ending)
            if left <= 0:
                return
            if self._has_timeouts:
                left = min(left, flights.give_up_late() - monotonic())
            self._see_that_the_loop_goes_on()
            if self.has_lost_too_many:
                self._give_back()
            if left > 0:
                flights.wait(min(left, _POLL_SECONDS))

    def _until_worth_it(self, *, more: bool) -> float:
        """Seconds."""
        flights = self._flights
        if self._over or self._claimed:
            return 0
        ended, until = flights.ended, flights.hurry[0] - monotonic()
        if ended and (ended >= self._most or not flights.running or until <= 0):
            return 0
        if self._stop.is_paused:
            return until
        goes_on = ended or flights.running or flights.ahead or (more and self._rate.is_limited)
        can_go_on = self._one_by_one and not (flights.is_closed or self._is_blocked)
        if can_go_on or not goes_on:
            return 0
        is_blocked = self._is_blocked and self._room_left() < self._most
        if more and not is_blocked and not self._is_waiting_for_outcomes():
            rate = self._rate.wait()
            return min(rate, until) if rate > 0 else 0
        is_limited = flights.ahead and self._rate.is_limited
        return min(until, max(self._rate.wait(), 0.001) if is_limited else inf)

    def _is_waiting_for_outcomes(self) -> bool:
        """Whether no letter is claimed before others have an outcome."""
        is_probing = self._failures_in_row.count >= self._most_in_row
        return self._flights.is_closed or (is_probing and self.is_amid)

    def _give_back(self) -> None:
        """None starts any more; what was claimed is released."""
        self._is_ending = True
        flights = self._flights
        flights.close()
        given_back = [*flights.take_ahead(), *self._claimed, *self._one_by_one]
        self._claimed.clear()
        self._one_by_one.clear()
        self._over += given_back

    def _see_that_the_loop_goes_on(self) -> None:
        """Where it is closed, nobody awaits its handlers any more."""
        if self._loop is not None and self._loop.is_gone:
            self._give_back()
            for call in self._flights.are_running():
                if call.registration.is_async:
                    self._loop.forget(call)

    def settle_alone(self) -> bool:
        """The group that was to settle calls is lost; whether it did nothing else, for one call."""
        was = self._largest_settled
        if was is None:
            self._suspected = self._largest_settled = len(self._over)
            return False
        self._largest_settled = max(was // 2, 1)
        return was <= 1

    def refuse(self, refused: CommitRefused) -> OutsideCall | None:
        """Such a group is refused: what is tried next is fewer of them, at last one, letter by
        letter, then a failure of the letter, and then to give it up, which is returned.

        Errors: CommitRefused where not even that a call is over can be written.
        """
        if not self.settle_alone():
            return None
        call = self._over[0]
        if call.is_to_be_released:
            raise refused
        if len(call) > 1:
            singly = call.singly()
            singly[0].slot = call.slot
            self._over[:1] = singly
            self._suspected += len(singly) - 1
            return None
        return None if call.refuse(refused) else call

    def break_off(self) -> None:
        """An interrupt ends the drain: async handlers are cancelled, threads left behind, and their
        letters given back."""
        if self._flights.is_of_another_process:
            return
        self._is_broken_off, self.interrupt = True, None
        self._give_back()
        flights, until = self._flights, monotonic() + _INTERRUPTED_SECONDS
        running = [call for call in flights.are_running() if call.registration.is_async]
        if self._loop is not None:
            self._loop.cancel(running)
        while any(map(flights.is_running, running)) and (left := until - monotonic()) > 0:
            flights.wait(min(left, _POLL_SECONDS))
        self._over += flights.take_ended()
        self._over += [call.abandoned() for call in flights.take_running()]

    def finish(self) -> bool:
        """An error ends it: handlers that run are waited for; whether there may be outcomes of
        calls to be written all the same."""
        if self._flights.is_of_another_process:
            return False
        self._give_back()
        flights = self._flights
        while flights.running:
            flights.wait(min(flights.give_up_late() - monotonic(), _POLL_SECONDS))
            self._see_that_the_loop_goes_on()
        return True

    def close(self) -> None:
        """The drain is over. Handlers that go on keep their letters' claims until they end."""
        flights = self._flights
        if flights.is_of_another_process:
            return
        flights.close()
        flights.take_running()
        if flights.marks is not None:
            # What could not be written of the others charges nobody.
            flights.marks[:] = bytes(len(flights.marks))
        if flights.lost:  # first, whatever comes amid the others
            flights.outlive(self._store.outlive())
        if self._loop is not None:
            if self._loop.is_stuck:
                self._around.give_up_loop()
            self._loop.close()
        self._threads.close()


def _came_late(call: OutsideCall) -> bool:
    return call.size > 2 * INLINE
