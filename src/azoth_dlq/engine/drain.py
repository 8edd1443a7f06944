"""A drain: plans once, works through the plan in groups, and reports."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from datetime import timedelta
from time import monotonic
from typing import Any, Literal

from azoth_dlq.clock import to_datetime
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine import unfit
from azoth_dlq.engine._loop import attempt
from azoth_dlq.engine.group import Group
from azoth_dlq.engine.letters import Limits
from azoth_dlq.engine.outside import OutsideCall, gather
from azoth_dlq.engine.plan import Look, Plan, make_plan
from azoth_dlq.engine.recovery import Recovery, culprit_text
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.engine.tally import Tally
from azoth_dlq.engine.turns import ShutdownRequested, Turns
from azoth_dlq.errors import StorageError
from azoth_dlq.kernels.eligibility import Selection
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.store.base import (
    Abandoned,
    Busy,
    CommitRefused,
    DrainSettings,
    Forked,
    Opened,
    StorageFault,
    Store,
    TransactionLost,
)
from azoth_dlq.types import ReplayReport

logger = logging.getLogger("azoth_dlq")
Row = tuple[Any, ...]
_CHUNK = 500  # letters fetched at once, where no handler takes batches
_INLINE = 16 * 1024  # longer event bytes are fetched when their turn comes
_FIRST_ACK_SECONDS = 2e-6
_DIED = "the process died while the handler of this letter ran (killed, crashed, or out of memory)"


class Drain:
    """One drain (or one cycle) of one store. Used once."""

    def __init__(
        self,
        store: Store,
        registry: EventHandlerRegistry,
        config: DlqReplayConfig,
        surroundings: Surroundings,
    ) -> None:
        self._store = store
        self._registry = registry
        self._config = config
        self._around = surroundings
        self._metrics = surroundings.metrics
        self._stop = surroundings.stop
        self._turns = Turns(config, surroundings.sleep, surroundings.stop)
        self._max_time = config.max_transaction_time.total_seconds()
        # A chunk is let go only when the next is there.
        most = max(_CHUNK, registry.batch.max_batch_size if registry.has_batches else 0)
        self._largest_chunk = max(1, min(most, config.memory_limit // (2 * _INLINE)))
        self._chunk = self._largest_chunk
        self._tally = Tally()
        self._stopped: Literal["failures", "shutdown"] | None = None
        self._started_at = surroundings.clock()
        self._began = monotonic()
        self._place = 0  # in the plan
        self._end = 0
        self._recovery = Recovery()
        self._called: OutsideCall | None = None  # its outcome is still to be committed
        self._called_alone = False  # in a group of its own
        self._claimed: set[int] = set()  # by other drains
        self._ack_seconds = _FIRST_ACK_SECONDS
        self._frees_claims = True  # of dead drains, in the first group
        self._plan: Plan | None = None

    def run(
        self,
        look: Look = Look(),  # noqa: B008 -- immutable
        *,
        now: bool = False,
        limit: int | None = None,
        until: float | None = None,
    ) -> ReplayReport:
        """Attempt every letter that is due (`now`: or would be later) as far as `look` sees it, at
        most `limit` of them, until monotonic second `until`.

        Errors: StorageError with the report so far, ConfigError, InvalidStateError.
        """
        self._rules = self._config.rules(self._started_at, waive_delay=now)
        settings = DrainSettings(
            self._config.busy_timeout.total_seconds(),
            json.dumps(self._config.to_mapping()),
            self._started_at,
            self._config.history_limit,
        )
        try:
            with ExitStack() as stack:
                draining = self._store.draining(settings)
                self._turns.patiently(lambda: stack.enter_context(draining))
                self._work(look, limit, until)
        except ShutdownRequested:
            self._stopped = "shutdown"
        except (Busy, CommitRefused, StorageFault) as fault:
            transient = getattr(fault, "transient", isinstance(fault, Busy))
            raise StorageError(str(fault), report=self.report(), transient=transient) from fault
        except StorageError as error:
            error.report = self.report()
            raise
        report = self.report()
        if report.unreadable:
            logger.error("%d letters could not be read and were parked", report.unreadable)
        did_something = report.attempted or report.parked or report.skipped or report.stopped
        quiet = look.suspects and not did_something
        logger.log(logging.DEBUG if quiet else logging.INFO, "%s", report)
        self._metrics.drained(stopped=self._stopped == "failures")
        return report

    def report(self) -> ReplayReport:
        plan = self._plan
        next_due = None if plan is None else plan.next_due
        return ReplayReport(
            **self._tally.counts,
            remaining=0 if plan is None else len(plan.letters) - self._place,
            stopped=self._stopped,
            errors=self._tally.commonest(),
            waiting=0 if plan is None else plan.waiting,
            next_due=None if next_due is None else to_datetime(next_due),
            started_at=to_datetime(self._started_at),
            duration=timedelta(seconds=monotonic() - self._began),
        )

    # The drain

    def _work(self, look: Look, limit: int | None, until: float | None) -> None:
        if self._registry.needs_connection:
            self._store.reader()
        plan = self._turns.patiently(
            lambda: make_plan(self._store, self._config, self._rules, look)
        )
        self._plan = plan
        letters = plan.letters
        if look.ids is not None:
            self._tally.add({"skipped": len(set(look.ids)) - letters.examined}, [])
        if plan.waiting is not None and look.ids is None:
            self._metrics.looked(
                at=self._started_at,
                depth=letters.examined,
                due=len(letters),
                oldest_due=letters.oldest_due,
            )
        self._end = len(letters) if limit is None else min(limit, len(letters))
        self._park_unfit(letters)
        while self._called or (self._place < self._end and self._stopped is None):
            self._turns.give()
            if self._called is None and self._is_over(until):
                return
            self._work_on_group(letters)

    def _is_over(self, until: float | None) -> bool:
        if self._stop.requested:
            self._stopped = "shutdown"
        return self._stop.requested or (until is not None and monotonic() >= until)

    def _work_on_group(self, letters: Selection) -> None:
        start = self._place
        opened = self._open()
        began = monotonic()
        group = self._new_group()
        next_call = None
        try:
            if self._called is not None:
                self._called.record(group)
            if not self._called_alone and not self._stop.requested:
                self._attempt_letters(letters, group, began, verify=not opened.unchanged)
            self._commit(group)
            self._called, self._called_alone = None, False
            next_call = group.next_call
        except TransactionLost as lost:
            self._redo_without_culprit(start, group, lost)
        except CommitRefused as refused:
            self._redo_halved(start, group, refused)
        except StorageFault as fault:
            self._store.end(commit=False)
            if group.interrupt is None:
                self._redo_failing(start, group, fault)
        except Forked:
            raise
        except BaseException as error:
            self._store.end(commit=False)
            if group.interrupt is not None:
                raise group.interrupt from error
            raise
        finally:
            self._turns.held(monotonic() - began)
        if group.interrupt is not None:
            raise group.interrupt
        if next_call is not None:
            self._call_outside(next_call)

    def _attempt_letters(
        self, letters: Selection, group: Group, began: float, *, verify: bool
    ) -> None:
        recovery = self._recovery
        limits = Limits(
            ends_at=began + self._max_time,
            ack_seconds=self._ack_seconds,
            most=1 if group.is_probe else recovery.most(otherwise=len(letters)),
            batch_size=self._registry.batch.max_batch_size,
            batch_bytes=self._config.memory_limit // 2,
            singly=recovery.singly,
        )
        while self._place < self._end and not group.full and len(group) < limits.most:
            ids = letters.ids(self._place, min(self._end, self._place + self._chunk))
            if ids[0] in recovery.condemned:
                self._fail_condemned(ids[0], group)
                continue
            ids = recovery.without_condemned(ids) if recovery.condemned else ids
            wanted = self._still_wanted(ids)
            rows = self._store.fetch(wanted, inline=_INLINE, verify=verify) if wanted else []
            if verify:
                rows = letters.unchanged(rows, self._place, self._place + len(ids))
            taken = attempt(rows, group, self._store, self._registry, self._stop, limits)
            recovery.singly_until(self._place + len(ids))
            if group.outside is not None:
                call = gather(rows[taken:], group.outside, self._registry, self._store, limits)
                group.next_call = call
                taken += len(call)
            self._pass(ids, rows, taken, group)
            verify, group.stale = verify or group.stale, False
            if not rows and monotonic() >= limits.ends_at:
                group.full = True

    def _still_wanted(self, ids: list[int]) -> list[int]:
        settled, claimed = self._recovery.settled, self._claimed
        if not settled and not claimed:
            return ids
        return [i for i in ids if i not in settled and i not in claimed]

    def _pass(self, ids: list[int], rows: list[Row], taken: int, group: Group) -> None:
        """Go on in the plan behind the rows that were taken; the letters of `ids` before that
        place without a row were skipped."""
        places = len(ids) if taken == len(rows) else ids.index(rows[taken][0])
        settled = self._recovery.settled
        known = sum(i in settled for i in ids[:places]) if settled else 0
        group.skipped += places - known - taken
        self._place += places
        # Where handlers change other letters, few of those fetched will be used.
        fitting = self._chunk // 2 if group.stale else self._chunk * 2
        self._chunk = min(max(1, fitting), self._largest_chunk)

    def _fail_condemned(self, letter_id: int, group: Group) -> None:
        """The letter's call took a group away, or kept it from being committed: it fails in its
        place of the order, without another call."""
        rows = self._store.fetch([letter_id], inline=0, verify=False)
        if rows:
            group.failed_with(rows[0], self._recovery.condemned[letter_id])
        else:
            group.skipped += 1
        self._place += 1

    def _call_outside(self, call: OutsideCall) -> None:
        self._called = call
        call.call(self._store)
        if call.is_failed_batch:
            end = self._place
            self._place = self._place_of(call.ids[0])
            self._recovery.separate(call.ids, end)
            # Those between them that are gone were counted as skipped.
            assert self._plan is not None
            between = set(self._plan.letters.ids(self._place, end)).difference(call.ids)
            self._recovery.settled.update(between)

    def _place_of(self, letter_id: int) -> int:
        """The place of a letter that was passed in the last chunk."""
        assert self._plan is not None
        first = max(0, self._place - self._largest_chunk)
        return first + self._plan.letters.ids(first, self._place).index(letter_id)

    def _new_group(self) -> Group:
        return Group(self._config, self._around.clock, self._around.failures_in_row)

    def _commit(self, group: Group) -> None:
        began = monotonic()
        group.settlement.resumed = bool(group.acked)
        self._store.settle(group.settlement)
        if group.next_call is not None:
            group.next_call.claim(self._store)
        self._turns.patiently(lambda: self._store.end(commit=True), heed_shutdown=False)
        if len(group) > _CHUNK:
            self._ack_seconds = (monotonic() - began) / len(group)
        self._recovery.committed(self._place)
        self._around.failures_in_row = group.failures_in_row
        self._stopped = group.stopped
        self._count(group)

    def _count(self, group: Group) -> None:
        counts = {
            "succeeded": len(group.acked),
            "failed": group.failed,
            "snoozed": group.snoozed,
            "parked": len(group.settlement.parked),
            "skipped": group.skipped,
            "unreadable": group.unreadable,
            "exhausted": group.exhausted,
        }
        for tally in (self._tally, self._around.total):
            tally.add(counts, group.errors)
        self._metrics.record(
            successes=len(group.acked),
            failures=group.failed,
            permanent_failures=len(group.settlement.parked),
            snoozed=group.snoozed,
            skipped=group.skipped,
            attempts=group.attempts,
            handler_seconds=group.seconds,
        )
        group.log()
        if self._around.on_progress is not None:
            self._around.on_progress(self.report())

    # Opening a group

    def _open(self) -> Opened:
        """A group that is ours; deaths of others in a handler are charged first."""
        while True:
            opened = self._turns.patiently(self._store.begin, heed_shutdown=self._called is None)
            try:
                dead = self._died(opened)
                if dead is None:
                    self._claimed = self._store.claimed()
                    return opened
                self._settle_deaths(dead)
            except BaseException:
                self._store.end(commit=False)
                raise

    def _died(self, opened: Opened) -> Abandoned | None:
        """What processes had in hand when they died, to be settled in this group."""
        if opened.died_in:
            letters = list(opened.died_in)
            return Abandoned([], letters) if opened.in_batch else Abandoned(letters, [])
        if not self._frees_claims:
            return None
        abandoned = self._store.abandoned()
        self._frees_claims = False
        return abandoned if abandoned.single or abandoned.in_batch else None

    def _settle_deaths(self, dead: Abandoned) -> None:
        """A letter is charged with the death in its own handler; those of a batch, which nobody
        can tell apart, are kept out of batches."""
        group = self._new_group()
        group.settlement.alone += dead.in_batch
        for row in self._store.fetch(dead.single, inline=0, verify=False) if dead.single else []:
            if type(row[1]) is int:
                group.charge_death(row, _DIED)
                self._recovery.settled.add(row[0])
                self._metrics.charged_death()
        self._commit(group)

    # Letters that are parked unattempted

    def _park_unfit(self, letters: Selection) -> None:
        place = 0
        while place < letters.unfit_count:
            self._turns.give()
            if self._is_over(None):
                return
            self._open()
            opened = monotonic()
            group = self._new_group()
            try:
                while chunk := letters.unfit(place, place + _CHUNK):
                    unfit.park(chunk, group, self._store, self._rules)
                    place += len(chunk)
                    if monotonic() - opened >= self._max_time:
                        break
                self._commit(group)
            except BaseException:
                self._store.end(commit=False)
                raise
            self._turns.held(monotonic() - opened)

    # Groups that were lost

    def _redo_without_culprit(self, start: int, group: Group, lost: TransactionLost) -> None:
        """The transaction went away with a letter's call: that letter fails, the others are done
        again, unless their effects were committed all the same."""
        self._store.end(commit=False)
        self._metrics.lost_group()
        known = lost.by_letter_in_hand and group.interrupt is None
        if known and group.in_batch:
            # One of these: to be told by calling them one by one.
            self._recovery.separate(group.in_batch, self._place + self._largest_chunk)
            known = False
        if lost.committed:
            self._settle_committed(group, lost if known else None)
            return
        self._place = start
        if known:
            self._recovery.condemn(group, lost)

    def _settle_committed(self, group: Group, lost: TransactionLost | None) -> None:
        """The group's effects are in the file, its outcomes are not: write those now."""
        self._open()
        if lost is not None and group.last_called is not None:
            if group.acked[-1:] == [group.last_called[0]]:
                group.acked.pop()  # found out after its call
            group.failed_with(group.last_called, culprit_text(group, lost))
        try:
            self._commit(group)
        except BaseException:
            self._store.end(commit=False)
            raise
        self._called, self._called_alone = None, False
        self._recovery.settled.update(group.settlement.ids())

    def _redo_halved(self, start: int, group: Group, refused: CommitRefused) -> None:
        self._store.end(commit=False)
        self._metrics.lost_group()
        if self._called is None:
            self._recovery.halve_refused(group, refused, self._place)
        elif self._called_alone and not self._called.refuse(str(refused)):
            raise refused
        self._called_alone = self._called is not None
        self._place = start

    def _redo_failing(self, start: int, group: Group, fault: StorageFault) -> None:
        self._metrics.lost_group()
        if self._called is None:
            self._recovery.halve_failing(group, fault, start)
        elif self._called_alone:
            raise fault
        self._called_alone = self._called is not None
        self._place = start
