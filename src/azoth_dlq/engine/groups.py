"""The groups in which a drain works through its plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine._group import Group
from azoth_dlq.engine._loop import attempt
from azoth_dlq.engine.course import Course
from azoth_dlq.engine.deaths import Deaths
from azoth_dlq.engine.in_hand import InHand
from azoth_dlq.engine.letters import INLINE, Limits
from azoth_dlq.engine.outside import OutsideCall, gather
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

Row = tuple[Any, ...]
_CHUNK = 500  # letters fetched at once, where no handler takes batches
_FEWEST = 50  # the same, where one is attempted: those before it may be skipped
_TELLING = 500  # letters from which on the time of their acks says what one takes
_FIRST_ACK_SECONDS = 2e-6


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
        # A chunk is let go only when the next is there.
        most = max(_CHUNK, registry.batch.max_batch_size if registry.has_batches else 0)
        self._largest_chunk = max(1, min(most, config.memory_limit // (2 * INLINE)))
        self._chunk = self._largest_chunk
        self._ack_seconds = _FIRST_ACK_SECONDS
        self.recovery = Recovery(Kept())
        self._deaths = Deaths(store, self.recovery)
        self._committing: Group | None = None  # not counted yet
        self._in_hand = InHand()
        self.claimed: set[int] = set()

    def plan(self, letters: Selection, limit: int | None, *, asked_for: bool = False) -> None:
        """Attempt these letters, at most `limit` of them, not counting those that are skipped.
        `asked_for`, by id: also those that are charged with a death first, and all at once where
        the store tells of a stop by failures."""
        self.course.follow(letters, limit)
        self._asked_for = asked_for

    @property
    def is_amid_call(self) -> bool:
        """Whether a handler was called whose outcome is still to be committed."""
        return self._in_hand.called is not None

    @property
    def is_done(self) -> bool:
        return self.course.is_over or self.course.still_allowed <= 0

    def work(self, *, settle_only: bool = False) -> None:
        """Attempt letters in one group, and commit it or see to it that it is done again.

        `settle_only`: attempt none, write what became of the one that was called before.
        """
        self.course.begin_group()
        opened = self._open()
        began = monotonic()
        if opened.stopped and not self._asked_for:
            # Whoever met the failures: this group, too, is a probe.
            self._around.failures_in_row.count = self._config.stop_on_consecutive_failures or 0
        group = self._new_group()
        try:
            if self._in_hand.called is not None:
                self._in_hand.called.record(group, self._store)
            if not (settle_only or self._settles_alone() or self._stop.requested):
                self._attempt_letters(group, began, verify=not opened.unchanged)
            self._commit(group)
            self._tell()
        except BaseException as error:  # noqa: BLE001 -- what cannot be mended is raised again
            self._recover(error, group)
        finally:
            self.turns.freed()
        if group.interrupt is not None:
            raise group.interrupt
        if self._in_hand.claimed is not None:
            self._call_outside(self._in_hand.claimed)

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
        """An error ends the drain: count the group that is committed all the same."""
        self._count_if_committed()

    def end_interrupted(self) -> None:
        """An interrupt does: also write what became of a call, which would be made again."""
        self.end_amid()
        if self._in_hand.has_outcome:
            self.turns.hurry()
            with suppress(Exception):  # as if it had come during the call
                self.work(settle_only=True)

    def _count_if_committed(self) -> bool:
        """Whether the group whose COMMIT did not return is in the file."""
        group, self._committing = self._committing, None
        if group is None or not self._store.was_committed():
            return False
        self._count(group)
        return True

    def _attempt_letters(self, group: Group, began: float, *, verify: bool) -> None:
        course, recovery = self.course, self.recovery
        limits = Limits(
            ends_at=self.turns.end_of_group(began),
            ack_seconds=self._ack_seconds,
            most=1
            if group.is_probe
            else min(recovery.most(len(course.letters)), self.course.still_allowed),
            batch_size=self._registry.batch.max_batch_size,
            batch_bytes=self._config.memory_limit // 2,
            singly=recovery.singly,
            # A handler that kills the process must not take back what became of the letter before.
            outside_only=self.is_amid_call,
        )
        while not (course.is_over or group.full) and group.written < limits.most:
            useful = max(limits.most - group.written, _FEWEST)
            ids = course.next_ids(min(self._chunk, useful, course.still_allowed - len(group)))
            if ids[0] in recovery.condemned:
                self._fail_condemned(ids[0], group)
                continue
            ids = recovery.without_condemned(ids) if recovery.condemned else ids
            wanted = recovery.without_settled(ids, self.claimed)
            self.phases.begin("fetch")
            rows = self._store.fetch(wanted, inline=INLINE, verify=verify) if wanted else []
            if verify:
                rows = course.letters.unchanged(rows, course.place, course.place + len(ids))
            self.phases.begin("handlers")
            taken = attempt(rows, group, self._store, self._registry, self._stop, limits)
            taken += self._prepare_call(rows[taken:], group, limits)
            self.phases.begin()
            self._pass(ids, rows, taken, group)
            verify, group.stale = verify or group.stale, False
            group.full |= not rows and monotonic() >= limits.ends_at

    def _prepare_call(self, rows: list[Row], group: Group, limits: Limits) -> int:
        """Have the first of `rows` called behind this group, and those that go with it, if its
        handler runs outside; how many they are."""
        if group.outside is None:
            return 0
        try:
            group.next_call = gather(rows, group.outside, self._registry, self._store, limits)
        except Exception:
            raise
        except BaseException as interrupt:  # noqa: BLE001 -- raised once the group is committed
            self._store.undo()
            group.interrupt = interrupt
            return 0
        return len(group.next_call)

    def _pass(self, ids: list[int], rows: list[Row], taken: int, group: Group) -> None:
        """Go on in the plan behind the rows that were taken; the letters of `ids` before that
        place without a row were skipped."""
        places = len(ids) if taken == len(rows) else ids.index(rows[taken][0])
        settled = self.recovery.settled
        known = sum(i in settled for i in ids[:places]) if settled else 0
        group.skipped += places - known - taken
        self.course.place += places
        # Where handlers change other letters, few of those fetched will be used.
        fitting = self._chunk // 2 if group.stale else self._chunk * 2
        self._chunk = min(max(1, fitting), self._largest_chunk)

    def _fail_condemned(self, letter_id: int, group: Group) -> None:
        """The letter's call took a group away, or kept it from being committed: it fails in its
        place of the order, without another call."""
        self.course.place += 1
        if letter_id in self.recovery.aside or letter_id in self.recovery.settled:
            return
        wanted = [] if letter_id in self.claimed else [letter_id]
        rows = self._store.fetch(wanted, inline=0, verify=False)
        if rows:
            group.failed_with(rows[0], self.recovery.condemned[letter_id])
        else:
            group.skipped += 1

    def _call_outside(self, call: OutsideCall) -> None:
        self._in_hand.claimed, self._in_hand.called = None, call
        self.phases.begin("handlers")
        call.call(self._store)
        self.turns.keep_outcome = self._in_hand.has_outcome
        if call.interrupt is not None:
            self.course.place -= len(call)
        if call.is_failed_batch:
            course, end = self.course, self.course.place
            course.place = course.place_of(call.ids[0], self._largest_chunk)
            self.recovery.singly.update(call.ids)
            # Those between them that are gone were counted as skipped.
            gone = set(course.next_ids(end - course.place)).difference(call.ids)
            self.recovery.settled.update(gone)

    def _settles_alone(self) -> bool:
        """Whether nothing goes into a group but the outcome of a call. A route is a program's own
        code as handlers are, which no group calls that is to keep an outcome."""
        return self._in_hand.settled_alone or (self.is_amid_call and self._registry.by_key is None)

    def _new_group(self) -> Group:
        return Group(self._config, self._around.clock, self._around.failures_in_row.count)

    def _commit(self, group: Group) -> None:
        """Write what became of the group's letters, and commit."""
        began = monotonic()
        group.settlement.resumed |= bool(group.acked)
        self.phases.begin("write")
        self._store.settle(group.settlement)
        if group.next_call is not None:
            group.next_call.claim(self._store)
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
            self._ack_seconds = self.turns.commit_seconds / len(group)
        self.recovery.committed(group.settlement, self.course.place)
        self._count(group)

    def _count(self, group: Group) -> None:
        """The group is committed. Done twice, it counts once."""
        self._in_hand.committed(group)
        self.turns.keep_outcome = self._in_hand.has_outcome
        self.course.count(group)
        self._around.failures_in_row.count = group.failures_in_row
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
        self.course.go_back()
        if known:
            self.recovery.condemn(group, lost)

    def _settle_committed(self, group: Group, lost: TransactionLost | None) -> None:
        """The group's effects are in the file, its outcomes are not: write those now."""
        self._open()
        if lost is not None and group.last_called is not None:
            if group.acked[-1:] == [group.last_called[0]]:
                group.acked.pop()  # found out after its call
            group.failed_with(group.last_called, culprit_text(group, lost))
        self._commit(group)
        self.recovery.settled.update(group.settlement.ids())
        self._tell()

    def _redo_halved(self, group: Group, refused: CommitRefused) -> None:
        self._metrics.lost_group()
        end = self.course.place
        self.course.go_back()
        if not self.is_amid_call:
            self.recovery.halve_refused(group, refused, end)
        elif (given_up := self._in_hand.refuse(refused)) is not None:
            (letter_id,) = given_up.ids
            self.recovery.give_up_called(letter_id, given_up.refused, refused)

    def _redo_failing(self, group: Group, fault: StorageFault) -> None:
        if self._count_if_committed():
            raise fault
        self._metrics.lost_group()
        start = self.course.go_back()
        if not self.is_amid_call:
            self.recovery.halve_failing(group, fault, start)
        elif self._in_hand.settle_alone():
            raise fault
