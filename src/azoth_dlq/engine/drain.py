"""A drain: plans once, works through the plan in groups, and reports."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from time import monotonic, sleep
from typing import Literal, NamedTuple, TypeVar

from azoth_dlq.clock import to_datetime
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine._loop import attempt
from azoth_dlq.engine.errors_met import ErrorsMet
from azoth_dlq.engine.group import Group
from azoth_dlq.engine.plan import make_plan, why_unfit
from azoth_dlq.engine.recovery import Recovery, culprit_text
from azoth_dlq.engine.stop import Stop
from azoth_dlq.errors import StorageError
from azoth_dlq.kernels.eligibility import Selection, Verdict, select
from azoth_dlq.metrics import DlqMetrics
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.store.base import (
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
T = TypeVar("T")
_CHUNK = 500  # letters fetched by one statement
_INLINE = 16 * 1024  # longer event bytes are fetched when their turn comes
_HELD_SECONDS = 1.0  # after so much of held lock, others get their turn
_FIRST_ACK_SECONDS = 2e-6
_DIED = "the process died while the handler of this letter ran (killed, crashed, or out of memory)"


class _ShutdownRequested(Exception):
    """shutdown() was called while the drain waited."""


class Surroundings(NamedTuple):
    """What a drain reads and tells: `clock()` in microseconds, `sleep(seconds)`, the request to
    stop, counters, and who gets the report so far after each commit."""

    clock: Callable[[], int]
    sleep: Callable[[float], None]
    stop: Stop
    metrics: DlqMetrics
    on_progress: Callable[[ReplayReport], None] | None = None


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
        self._clock, self._sleep, self._stop, self._metrics, self._on_progress = surroundings
        self._max_time = config.max_transaction_time.total_seconds()
        # A chunk is let go only when the next is there.
        self._largest_chunk = max(1, min(_CHUNK, config.memory_limit // (2 * _INLINE)))
        self._chunk = self._largest_chunk
        self._counts: Counter[str] = Counter()
        self._errors = ErrorsMet()
        self._stopped: Literal["failures", "shutdown"] | None = None
        self._started_at = self._clock()
        self._began = monotonic()
        self._place = 0  # in the plan
        self._end = 0
        self._recovery = Recovery()
        self._failures_in_row = 0
        self._held = 0.0
        self._ack_seconds = _FIRST_ACK_SECONDS
        self._plan: Selection | None = None

    def run(self, *, now: bool = False, limit: int | None = None) -> ReplayReport:
        """Attempt every letter that is due (`now`: or would be later), at most `limit` of them.

        Errors: StorageError with the report so far, ConfigError, InvalidStateError.
        """
        self._rules = self._config.rules(self._started_at, waive_delay=now)
        settings = DrainSettings(
            self._config.busy_timeout.total_seconds(), json.dumps(self._config.to_mapping())
        )
        try:
            with ExitStack() as stack:
                self._patiently(lambda: stack.enter_context(self._store.draining(settings)))
                self._work(limit)
        except _ShutdownRequested:
            self._stopped = "shutdown"
        except (Busy, CommitRefused, StorageFault) as fault:
            raise StorageError(str(fault), report=self.report()) from fault
        except StorageError as error:
            error.report = self.report()
            raise
        report = self.report()
        if report.unreadable:
            logger.error("%d letters could not be read and were parked", report.unreadable)
        logger.info("%s", report)
        return report

    def report(self) -> ReplayReport:
        plan = self._plan
        next_due = None if plan is None else plan.next_due
        return ReplayReport(
            **self._counts,
            remaining=0 if plan is None else len(plan) - self._place,
            stopped=self._stopped,
            errors=self._errors.commonest(),
            waiting=0 if plan is None else plan.waiting,
            next_due=None if next_due is None else to_datetime(next_due),
            started_at=to_datetime(self._started_at),
            duration=timedelta(seconds=monotonic() - self._began),
        )

    # The drain

    def _work(self, limit: int | None) -> None:
        plan = self._patiently(lambda: make_plan(self._store, self._config, self._rules))
        self._plan = plan
        self._end = len(plan) if limit is None else min(limit, len(plan))
        self._park_unfit(plan)
        while self._place < self._end and self._stopped is None:
            self._give_turn()
            if self._stop.requested:
                self._stopped = "shutdown"
                return
            self._work_on_group(plan)

    def _work_on_group(self, plan: Selection) -> None:
        start = self._place
        opened = self._open()
        began = monotonic()
        group = self._new_group()
        try:
            self._attempt_letters(plan, group, began, verify=not opened.unchanged)
            self._commit(group)
        except TransactionLost as lost:
            self._redo_without_culprit(start, group, lost)
        except CommitRefused as refused:
            self._redo_halved(start, group, refused)
        except StorageFault as fault:
            self._store.end(commit=False)
            if group.interrupt is None:
                self._recovery.halve_failing(group, fault, start)
                self._place = start
        except Forked:
            raise
        except BaseException as error:
            self._store.end(commit=False)
            if group.interrupt is not None:
                raise group.interrupt from error
            raise
        finally:
            self._held += monotonic() - began
        if group.interrupt is not None:
            raise group.interrupt

    def _attempt_letters(
        self, plan: Selection, group: Group, began: float, *, verify: bool
    ) -> None:
        ends_at = began + self._max_time
        recovery = self._recovery
        most = recovery.most(otherwise=self._end)
        while not group.full and self._place < self._end:
            ids = plan.ids(self._place, min(self._place + self._chunk, self._end))
            if ids[0] in recovery.condemned:
                self._fail_condemned(ids[0], group, most)
                continue
            ids = recovery.without_condemned(ids) if recovery.condemned else ids
            wanted = [i for i in ids if i not in recovery.settled] if recovery.settled else ids
            rows = self._store.fetch(wanted, inline=_INLINE, verify=verify) if wanted else []
            if verify:
                rows = plan.unchanged(rows, self._place, self._place + len(ids))
            taken = attempt(
                rows,
                group,
                self._store,
                self._registry,
                self._stop,
                ends_at=ends_at,
                ack_seconds=self._ack_seconds,
                most=most,
                most_failures_in_row=self._config.stop_on_consecutive_failures,
            )
            places = len(ids) if taken == len(rows) else ids.index(rows[taken - 1][0]) + 1
            settled = sum(i in recovery.settled for i in ids[:places]) if recovery.settled else 0
            group.skipped += places - settled - taken
            self._place += places
            # Where handlers change other letters, few of those fetched will be used.
            fitting = self._chunk // 2 if group.stale else self._chunk * 2
            self._chunk = min(max(1, fitting), self._largest_chunk)
            verify, group.stale = verify or group.stale, False
            if not rows and monotonic() >= ends_at:
                group.full = True

    def _fail_condemned(self, letter_id: int, group: Group, most: int) -> None:
        """The letter's call took a group away, or kept it from being committed: it fails in its
        place of the order, without another call."""
        rows = self._store.fetch([letter_id], inline=0, verify=False)
        if rows:
            group.failed_with(rows[0], self._recovery.condemned[letter_id])
            self._stop_by_failures(group)
        else:
            group.skipped += 1
        group.full = group.full or len(group) >= most
        self._place += 1

    def _stop_by_failures(self, group: Group) -> None:
        most = self._config.stop_on_consecutive_failures
        if most is not None and group.failures_in_row >= most:
            group.stopped = "failures"
            group.full = True

    def _new_group(self) -> Group:
        return Group(self._config, self._clock, self._failures_in_row)

    def _commit(self, group: Group) -> None:
        began = monotonic()
        self._store.settle(group.settlement)
        self._patiently(lambda: self._store.end(commit=True), heed_shutdown=False)
        if len(group) > _CHUNK:
            self._ack_seconds = (monotonic() - began) / len(group)
        self._recovery.committed(self._place)
        self._failures_in_row = group.failures_in_row
        self._stopped = group.stopped
        self._tally(group)

    def _tally(self, group: Group) -> None:
        committed = {
            "succeeded": len(group.acked),
            "failed": group.failed,
            "snoozed": group.snoozed,
            "parked": len(group.settlement.parked),
            "skipped": group.skipped,
            "unreadable": group.unreadable,
            "exhausted": group.exhausted,
        }
        self._counts.update(committed)
        self._metrics.record(
            successes=len(group.acked),
            failures=group.failed,
            permanent_failures=len(group.settlement.parked),
            snoozed=group.snoozed,
            skipped=group.skipped,
        )
        self._errors.add(group.errors)
        group.log()
        if self._on_progress is not None:
            self._on_progress(self.report())

    # Opening a group, and turns for others

    def _open(self) -> Opened:
        """A group that is ours; deaths of others in a handler are charged first."""
        while True:
            opened = self._patiently(self._store.begin)
            if not opened.died_in:
                return opened
            self._charge_death(opened)

    def _charge_death(self, opened: Opened) -> None:
        group = self._new_group()
        try:
            if opened.in_batch:
                group.settlement.alone += opened.died_in
            else:
                for row in self._store.fetch(opened.died_in, inline=0, verify=False):
                    if type(row[1]) is int:
                        group.charge_death(row, _DIED)
                        self._recovery.settled.add(row[0])
            self._commit(group)
        except BaseException:
            self._store.end(commit=False)
            raise

    def _give_turn(self) -> None:
        """SQLite queues nobody: leave the file free for a while after each second of held lock."""
        if self._held >= _HELD_SECONDS:
            self._held = 0.0
            self._sleep(self._config.yield_time.total_seconds())

    def _patiently(self, action: Callable[[], T], *, heed_shutdown: bool = True) -> T:
        """Do `action` when the file is free, within `busy_timeout`."""
        began = monotonic()
        while True:
            try:
                return action()
            except Busy as busy:
                if heed_shutdown and self._stop.requested:
                    raise _ShutdownRequested from busy
                if monotonic() - began >= self._config.busy_timeout.total_seconds():
                    raise StorageError(str(busy), report=self.report()) from busy
                sleep(0.005)

    # Letters that are parked unattempted

    def _park_unfit(self, plan: Selection) -> None:
        place = 0
        while place < plan.unfit_count:
            self._give_turn()
            if self._stop.requested:
                self._stopped = "shutdown"
                return
            self._open()
            opened = monotonic()
            group = self._new_group()
            try:
                while chunk := plan.unfit(place, place + _CHUNK):
                    self._park_chunk(chunk, group)
                    place += len(chunk)
                    if monotonic() - opened >= self._max_time:
                        break
                self._commit(group)
            except BaseException:
                self._store.end(commit=False)
                raise
            self._held += monotonic() - opened

    def _park_chunk(self, chunk: list[tuple[int, Verdict]], group: Group) -> None:
        """Look again under the lock: another program may have mended a row."""
        rows = self._store.fetch([letter_id for letter_id, _ in chunk], inline=0, verify=True)
        by_id = {row[0]: row for row in rows}
        for letter_id, verdict in select(rows, self._rules).unfit():
            reason = why_unfit(verdict, by_id[letter_id], self._config.max_retries)
            unreadable = verdict is not Verdict.EXHAUSTED
            group.park_unattempted(letter_id, reason, unreadable=unreadable)

    # Groups that were lost

    def _redo_without_culprit(self, start: int, group: Group, lost: TransactionLost) -> None:
        """The transaction went away with a letter's call: that letter fails, the others are done
        again, unless their effects were committed all the same."""
        self._store.end(commit=False)
        known = lost.by_letter_in_hand and group.interrupt is None
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
            self._stop_by_failures(group)
        try:
            self._commit(group)
        except BaseException:
            self._store.end(commit=False)
            raise
        self._recovery.settled.update(group.settlement.ids())

    def _redo_halved(self, start: int, group: Group, refused: CommitRefused) -> None:
        self._store.end(commit=False)
        self._recovery.halve_refused(group, refused, self._place)
        self._place = start
