"""The groups in which a drain works through its plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine._group import Group
from azoth_dlq.engine.attempting import Attempting
from azoth_dlq.engine.course import Course
from azoth_dlq.engine.deaths import Deaths
from azoth_dlq.engine.in_turn import CallsInTurn
from azoth_dlq.engine.phases import Phases
from azoth_dlq.engine.recovery import Kept, Recovery, culprit_text
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.engine.turns import Turns
from azoth_dlq.kernels.eligibility import Selection
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.store.base import (
    Abandoned,
    CommitRefused,
    Forked,
    Opened,
    StorageFault,
    Store,
    TransactionLost,
)

if TYPE_CHECKING:
    from azoth_dlq.engine.at_once import CallsAtOnce

_MOST_TRIES = 50  # to write at last what became of calls: some of it may be refused
_TELLING = 500  # letters from which on the time of their acks says what one takes


class Groups:
    """Attempts letters group by group. What was committed is counted by `committed` (once, however
    often it is called for a group), and then `tell` is called.

    `claimed`: letters that other drains had in hand when the last group was opened.
    """

    def __init__(  # noqa: PLR0913 -- what a drain has, and what it is told by name
        self,
        store: Store,
        registry: EventHandlerRegistry,
        config: DlqReplayConfig,
        surroundings: Surroundings,
        *,
        committed: Callable[[Group], None],
        tell: Callable[[], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._config = config
        self._around = surroundings
        self._metrics = surroundings.metrics
        self._stop = surroundings.stop
        self._committed = committed
        self._tell = tell
        self.phases = Phases()
        self.turns = Turns(config, surroundings, self.phases)
        self.course = Course()
        self._asked_for = False
        self.recovery = Recovery(Kept())
        self._deaths = Deaths(store, self.recovery)
        self._committing: Group | None = None  # not counted yet
        self.calls = self._calls()
        self._attempting = Attempting(
            store,
            registry,
            config,
            surroundings,
            course=self.course,
            recovery=self.recovery,
            calls=self.calls,
        )
        self._has_stopped = False
        self.claimed: set[int] = set()

    def plan(self, letters: Selection, limit: int | None, *, asked_for: bool = False) -> None:
        """Attempt these letters, at most `limit` of them, not counting those that are skipped.
        `asked_for`, by id: also those that are charged with a death first, and all at once where
        the store tells of a stop by failures."""
        self.course.follow(letters, limit)
        self._asked_for = asked_for

    def _calls(self) -> CallsInTurn | CallsAtOnce:
        """Who calls handlers outside the transaction."""
        config, registry = self._config, self._registry
        outside = [one for one in registry.registrations if not one.transactional]
        some_at_once = config.concurrency > 1 or config.timeout is not None
        if outside and (some_at_once or any(one.is_async or one.timeout for one in outside)):
            from azoth_dlq.engine.at_once import CallsAtOnce  # noqa: PLC0415 -- few drains need it

            return CallsAtOnce(self._store, registry, config, self._around)
        return CallsInTurn(self._store, registry, self.course, self.recovery, self._around)

    def close(self) -> None:
        """Nothing is attempted any more."""
        self._around.activity.running = None
        self.calls.close()

    @property
    def is_amid_call(self) -> bool:
        """Whether handlers were called outside, or letters claimed for them, whose outcome is still
        to be committed."""
        return self.calls.is_amid

    @property
    def is_done(self) -> bool:
        return self.course.is_over or self._attempting.still_allowed <= 0

    def wait(self, *, ending: bool) -> None:
        """Until another group is worth it."""
        self.phases.begin("handlers")
        self.calls.wait(ending=ending, more=not (ending or self.is_done))
        self.phases.begin()

    def work(self, *, settle_only: bool = False) -> None:
        """Attempt letters in one group, and commit it or see to it that it is done again.

        `settle_only`: attempt none, write what became of the one that was called before.
        """
        self.course.begin_group()
        self.turns.keep_outcome = self.calls.has_outcome
        opened = self._open()
        began = monotonic()
        if opened.stopped and not self._asked_for:
            # Whoever met the failures: this group, too, is a probe.
            self._around.failures_in_row.count = self._config.stop_on_consecutive_failures or 0
        group = self._new_group()
        try:
            self.calls.record(group, unchanged=opened.unchanged)
            unchanged = opened.unchanged
            if not (settle_only or self.calls.settles_alone or self._stop.is_halted):
                unchanged = self._attempting.attempt(
                    group,
                    verify=not unchanged,
                    ends_at=self.turns.end_of_group(began),
                    claimed=self.claimed,
                    phases=self.phases,
                )
            self.calls.record(group, unchanged=unchanged)
            self._commit(group)
            self._tell()
        except BaseException as error:  # noqa: BLE001 -- what cannot be mended is raised again
            self._recover(error, group)
        finally:
            self.turns.freed()
        if group.interrupt is not None:
            raise group.interrupt
        self.phases.begin("handlers")
        self.calls.go_on(self._attempting.largest_chunk)
        self.phases.begin()
        self.turns.keep_outcome = self.calls.has_outcome

    @contextmanager
    def without_calls(self) -> Iterator[tuple[Opened, Group]]:
        """A group that attempts nothing, and is committed in the end."""
        opened = self._open()
        group = self._new_group()
        try:
            yield opened, group
            self._commit(group)
            self._tell()
        finally:
            self.turns.freed()

    def end_amid(self) -> None:
        """An error ends the drain: count the group that is committed all the same, and see what
        becomes of calls that go on."""
        self._count_if_committed()
        if self.calls.finish():
            self._settle_at_last()

    def end_interrupted(self) -> None:
        """An interrupt does: also write what became of calls, which would be made again."""
        self._count_if_committed()
        self.calls.break_off()
        self._settle_at_last()

    def _settle_at_last(self) -> None:
        if not (self.calls.has_outcome or (self.calls.are_beside and self.calls.is_amid)):
            return
        self.turns.hurry()
        with suppress(Exception):  # as if it had come during the calls
            # It may have come when a group had just been opened.
            self._store.end(commit=False)
            self.turns.freed()
            for _ in range(_MOST_TRIES if self.calls.are_beside else 1):
                self.work(settle_only=True)
                if not self.calls.is_amid:
                    return

    def _count_if_committed(self) -> bool:
        """Whether the group whose COMMIT did not return is in the file."""
        group, self._committing = self._committing, None
        if group is None or not self._store.was_committed():
            return False
        self._count(group)
        return True

    def _new_group(self) -> Group:
        around = self._around
        return Group(self._config, around.clock, around.failures_in_row.count, around.hooks)

    def _commit(self, group: Group) -> None:
        """Write what became of the group's letters, and commit."""
        began = monotonic()
        # Calls that were begun before a stop say nothing of what comes after it.
        group.settlement.resumed |= bool(group.acked) and not self._has_stopped
        self.phases.begin("write")
        self._store.settle(group.settlement)
        self.calls.claim(group)
        self._committing = group
        self.phases.begin("commit")
        try:
            self.turns.patiently(lambda: self._store.end(commit=True), heed_shutdown=False)
        except Exception as error:
            if not isinstance(error, StorageFault):  # the file may hold it all the same
                self._committing = None
            raise
        self.turns.freed()
        self.phases.begin()
        self.turns.commit_seconds = monotonic() - began
        if len(group) > _TELLING:
            self._attempting.ack_seconds = self.turns.commit_seconds / len(group)
        self.recovery.committed(group.settlement, self.course.place)
        self._count(group)

    def _count(self, group: Group) -> None:
        """The group is committed. Done twice, it counts once."""
        self.calls.committed(group)
        self.turns.keep_outcome = self.calls.has_outcome
        self.course.count(group)
        if not self._has_stopped:
            self._around.failures_in_row.count = group.failures_in_row
        self._has_stopped = self._has_stopped or group.stopped is not None
        self._committed(group)
        self._committing = None

    # Opening a group

    def _open(self) -> Opened:
        """A group that is ours; deaths of others in a handler are charged first."""
        while True:
            self.phases.begin("open")
            opened = self.turns.take(self._store.begin, heed_shutdown=not self.is_amid_call)
            self.turns.meet(others=opened.others)
            dead = self._deaths.met(opened)
            if dead is None:
                self.claimed = self._store.claimed()
                return opened
            self._settle_deaths(dead)

    def _settle_deaths(self, dead: Abandoned) -> None:
        group = self._new_group()
        charged = self._deaths.settle(dead, group)
        parked = {parking.id for parking in group.settlement.parked}
        # A letter that is asked for by its id is attempted all the same.
        over = {i for i in charged if not self._asked_for or i in parked}
        planned = self.course.ahead(over) - self.recovery.settled
        group.not_planned = len(charged) - len(planned)
        try:
            self._commit(group)
        except CommitRefused as refused:
            self._store.end(commit=False)
            self.turns.freed()
            self._deaths.refuse(dead, refused)
            return
        self._deaths.committed()
        self.recovery.settled |= planned
        self._tell()

    # Groups that were lost

    def _recover(self, error: BaseException, group: Group) -> None:
        """See to it that the group is done again, or raise."""
        if isinstance(error, Forked):
            raise error
        self._store.end(commit=False)
        match error:
            case TransactionLost():
                self._redo_without_culprit(group, error)
            case _ if group.interrupt is not None:
                raise group.interrupt from error
            case CommitRefused():
                self._redo_halved(group, error)
            case StorageFault():
                self._redo_failing(group, error)
            case _:
                raise error

    def _redo_without_culprit(self, group: Group, lost: TransactionLost) -> None:
        """The transaction went away with a letter's call: that letter fails, the others are done
        again, unless their effects were committed all the same."""
        self._metrics.lost_group()
        known = lost.by_letter_in_hand and group.interrupt is None
        if known and group.batch:
            # One of these: to be told by calling them one by one.
            self.recovery.singly.update(group.batch)
            known = False
        if lost.committed:
            self._settle_committed(group, lost if known else None)
            return
        self._go_back(group)
        if known:
            self.recovery.condemn(group, lost)

    def _settle_committed(self, group: Group, lost: TransactionLost | None) -> None:
        """The group's effects are in the file, its outcomes are not: write those now."""
        self._open()
        if lost is not None and group.last_called is not None:
            if group.acked[-1:] == [group.last_called[0]]:
                group.succeeded_not()  # found out after its call
            group.failed_with(group.last_called, culprit_text(group, lost))
        self._commit(group)
        self.recovery.settled.update(group.settlement.ids())
        self._tell()

    def _redo_halved(self, group: Group, refused: CommitRefused) -> None:
        self._metrics.lost_group()
        end = self.course.place
        self._go_back(group)
        if not group.settled_calls:
            self.recovery.halve_refused(group, refused, end)
        elif (given_up := self.calls.refuse(refused)) is not None:
            (letter_id,) = given_up.ids
            self.recovery.give_up_called(letter_id, given_up.refused, refused)

    def _redo_failing(self, group: Group, fault: StorageFault) -> None:
        if self._count_if_committed():
            raise fault
        self._metrics.lost_group()
        start = self._go_back(group)
        if not group.settled_calls:
            self.recovery.halve_failing(group, fault, start)
        elif self.calls.settle_alone():
            raise fault

    def _go_back(self, group: Group) -> int:
        """To where the group began, in the plan, which is returned, and in calls."""
        self.calls.lost(group)
        return self.course.go_back()
