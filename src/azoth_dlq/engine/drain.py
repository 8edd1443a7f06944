"""A drain: plans once, works through the plan in groups, and reports."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Literal

from azoth_dlq.clock import to_datetime
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine._group import Group
from azoth_dlq.engine.groups import Groups
from azoth_dlq.engine.plan import LOOK_AT_ALL, Look, Plan, make_plan
from azoth_dlq.engine.records import carrying_the_letter
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.engine.tally import Tally
from azoth_dlq.engine.turns import ShutdownRequested
from azoth_dlq.engine.unfit import UnfitLetters
from azoth_dlq.errors import StorageError
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.report import ReplayReport
from azoth_dlq.store.base import Busy, CommitRefused, DrainSettings, StorageFault, Store

if TYPE_CHECKING:
    from azoth_dlq.engine.telling import Telling

logger = logging.getLogger("azoth_dlq")


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
        self._groups = Groups(
            store, registry, config, surroundings, committed=self._count, tell=self._tell
        )
        self._telling: Telling | None = None
        if surroundings.hooks is not None:
            from azoth_dlq.engine.telling import Telling  # noqa: PLC0415 -- few programs ask

            self._telling = Telling(surroundings.hooks, store, self.report)
        self._tally = Tally()
        self._stopped: Literal["failures", "shutdown"] | None = None
        self._started_at = surroundings.clock()
        self._began = monotonic()
        self._plan: Plan | None = None
        self._attempted = 0

    def run(
        self,
        look: Look = LOOK_AT_ALL,
        *,
        now: bool = False,
        limit: int | None = None,
        lasting: float | None = None,
    ) -> ReplayReport:
        """Attempt every letter that is due (`now`: or would be later) as far as `look` sees it, at
        most `limit` of them. `lasting`: no group is begun when the plan is older than so many
        seconds, but for those until a letter is attempted.

        Errors: StorageError with the report so far, ConfigError, InvalidStateError.
        """
        self._rules = self._config.rules(self._started_at, waive_delay=now)
        settings = self._settings()
        try:
            with (
                carrying_the_letter(),
                self._groups.turns.patiently(lambda: self._store.draining(settings)),
            ):
                try:
                    self._work_to_any_end(look, limit, lasting)
                finally:
                    self._groups.close()
                self._groups.phases.begin("checkpoint")
        except ShutdownRequested:
            self._stopped = "shutdown"
        except (Busy, CommitRefused, StorageFault) as fault:
            raise StorageError(
                str(fault), report=self.report(), transient=fault.transient
            ) from fault
        except StorageError as error:
            error.report = self.report()
            raise
        finally:
            self._groups.phases.begin()
            self._metrics.spent(self._groups.phases.seconds)
            self._log_unreadable()
        report = self.report()
        did_something = report.attempted or report.parked or report.stopped
        quiet = look.suspects and not did_something
        logger.log(logging.DEBUG if quiet else logging.INFO, "%s", report)
        self._metrics.drained(stopped=self._stopped == "failures")
        return report

    def report(self) -> ReplayReport:
        plan = self._plan
        next_due = None if plan is None else plan.next_due
        return ReplayReport(
            **self._tally.counts,
            remaining=0 if plan is None else self._groups.course.remaining,
            stopped=self._stopped,
            errors=self._tally.commonest(),
            waiting=0 if plan is None else plan.waiting,
            next_due=None if next_due is None else to_datetime(next_due),
            started_at=to_datetime(self._started_at),
            duration=timedelta(seconds=monotonic() - self._began),
        )

    # The drain

    def _settings(self) -> DrainSettings:
        config = self._config
        return DrainSettings(
            config.busy_timeout.total_seconds(),
            json.dumps(config.to_mapping()),
            self._started_at,
            config.history_limit,
            config.cache_size,
            config.mmap_size,
        )

    def _work_to_any_end(self, look: Look, limit: int | None, lasting: float | None) -> None:
        try:
            self._work(look, limit, lasting)
        except Exception:
            self._groups.end_amid()
            self._tell_hooks()
            raise
        except BaseException:
            self._groups.end_interrupted()
            if self._plan is not None:
                self._tell()
            raise

    def _work(self, look: Look, limit: int | None, lasting: float | None) -> None:
        if any(one.needs_connection for one in self._registry.registrations):
            self._store.reader()
        self._pause()
        self._groups.phases.begin("plan")
        plan = self._groups.turns.patiently(
            lambda: make_plan(self._store, self._config, self._rules, look, self._around.depth)
        )
        self._groups.phases.begin()
        letters = plan.letters
        self._groups.plan(letters, limit, asked_for=look.asked_for)
        self._plan = plan
        if look.ids is not None:
            missing = len(set(look.ids)) - letters.examined
            self._tally.add({"skipped": missing}, [])
            self._metrics.record(skipped=missing, groups=0)
        else:
            self._metrics.looked(
                at=self._started_at,
                depth=plan.depth,
                due=len(letters),
                oldest_due=letters.oldest_due,
            )
        planned = monotonic()
        if plan.is_stop_over:
            self._end_stop_by_failures()
        with suppress(CommitRefused):  # the others are attempted all the same
            self._park_unfit(UnfitLetters(self._groups, self._rules))
        self._attempt(None if lasting is None else planned + lasting)
        kept = self._groups.recovery.kept.error()
        if kept is not None:
            raise kept

    def _attempt(self, until: float | None) -> None:
        is_over = False
        while self._groups.is_amid_call or not (self._groups.is_done or self._stopped or is_over):
            self._rest()
            if not self._groups.is_amid_call and self._is_shut_down():
                return
            self._groups.wait(ending=is_over or self._stopped is not None)
            before = self._attempted
            self._groups.work(settle_only=is_over or self._stopped is not None)
            if self._groups.calls.has_lost_too_many and self._stopped is None:
                self._stop_for_lost_threads()
            # What a lost group or a failed batch has taught is not known to the next drain.
            has_moved = self._attempted > before and not self._groups.recovery.singly
            is_late = until is not None and monotonic() >= until
            is_over = (is_over and self._groups.calls.are_beside) or (has_moved and is_late)
        if self._groups.calls.has_given_back and self._stopped is None:
            self._is_shut_down()

    def _stop_for_lost_threads(self) -> None:
        self._stopped = "failures"
        logger.error(
            "the drain stops: too many handlers go on after their timeout, in threads that were "
            "left behind, or one blocks the event loop; give their clients a timeout of their own"
        )

        if self._telling is not None:
            self._telling.stopped()
        self._tell_hooks()

    def _rest(self) -> None:
        """Between groups: do what keeps nobody out, and leave the file to others in their turn."""
        self._groups.phases.begin("checkpoint")
        self._store.checkpoint()
        self._groups.phases.begin()
        self._groups.turns.give()
        if not self._groups.is_amid_call:
            self._pause()

    def _pause(self) -> None:
        self._groups.phases.begin("yield")
        self._stop.wait_while_paused()
        self._groups.phases.begin()

    def _is_shut_down(self) -> bool:
        if self._stop.requested:
            self._stopped = "shutdown"
        return self._stop.requested

    def _end_stop_by_failures(self) -> None:
        with self._groups.without_calls() as (opened, group):
            # A letter that was added meanwhile may meet what the stop was for.
            group.settlement.resumed = opened.unchanged

    # Letters that are parked unattempted

    def _park_unfit(self, letters: UnfitLetters) -> None:
        seconds = self._config.max_transaction_time.total_seconds()
        while not letters.is_over:
            self._rest()
            if self._is_shut_down():
                return
            letters.park(self._store, seconds)

    def _log_unreadable(self) -> None:
        if count := self.report().unreadable:
            logger.error("letters that could not be read, and were parked: %d", count)

    def _count(self, group: Group) -> None:
        """What a committed group did."""
        self._stopped = self._stopped or group.stopped
        self._attempted += len(group)
        counts = {
            "succeeded": len(group.acked),
            "failed": group.failed,
            "snoozed": group.snoozed,
            "parked": len(group.settlement.parked),
            "skipped": group.skipped,
            "unreadable": group.unreadable,
            "exhausted": group.exhausted,
            "lost": group.lost,
        }
        for tally in (self._tally, self._around.total):
            tally.add(counts, group.errors, of=group.identity)
        self._metrics.record(
            successes=len(group.acked),
            failures=group.failed,
            permanent_failures=len(group.settlement.parked),
            snoozed=group.snoozed,
            skipped=group.skipped,
            charged_deaths=group.deaths,
            lost_calls=group.lost,
            attempts=group.attempts,
            handler_seconds=group.seconds,
            of=group.identity,
        )
        if self._telling is not None:
            self._telling.note(group)
        group.log()

    def _tell(self) -> None:
        self._tell_hooks()
        if self._around.on_progress is not None:
            self._around.on_progress(self.report())

    def _tell_hooks(self) -> None:
        if self._telling is not None:
            self._telling.tell()
