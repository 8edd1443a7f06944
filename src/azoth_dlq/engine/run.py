"""A run: drains, and sleeps until the next letter is due, until it is shut down."""

from __future__ import annotations

import logging
from datetime import timedelta
from time import monotonic

from azoth_dlq.clock import EPOCH, MICROSECOND, to_datetime
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.durations import plain_seconds
from azoth_dlq.engine.drain import Drain
from azoth_dlq.engine.failure import one_line
from azoth_dlq.engine.phases import Phases
from azoth_dlq.engine.plan import Look
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.engine.tally import Tally
from azoth_dlq.engine.turns import ShutdownRequested, Turns
from azoth_dlq.errors import StorageError
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.report import ReplayReport
from azoth_dlq.store.base import Busy, StorageFault, Store

logger = logging.getLogger("azoth_dlq")
_FULL_LOOK_SECONDS = 3600.0  # letters that others insert below the highest id are seen so often
_LEAST_REST_SECONDS = 1.0
_PURGE_SECONDS = 3600.0


class Run:
    """Drains of one store, one after the other. Used once.

    A look at all letters comes first, and once an hour. Those between see new letters, those that
    others have changed, and those whose time has come: what is not due costs them nothing.
    """

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
        self._total = Tally()
        self._progress = surroundings.on_progress
        self._around = surroundings.telling(self._tell, self._total)
        self._turns = Turns(config, surroundings, Phases())
        self._interval = config.check_interval.total_seconds()
        self._started_at = surroundings.clock()
        self._began = monotonic()
        self._looked_at_all: float | None = None
        self._retention = config.retention
        self._may_purge_at = self._began
        self._last: ReplayReport | None = None
        self._idle: ReplayReport | None = None  # of the last drain, where it found nothing to do

    def run(self) -> ReplayReport:
        """Drain and sleep until a shutdown is requested.

        Errors: StorageError where waiting mends nothing (a file that is damaged, read-only, or no
        database), InvalidStateError, ConfigError, and what a handler raises beyond Exception.
        """
        try:
            self._drain_and_rest()
        except Exception:
            raise
        except BaseException:
            if self._progress is not None:
                self._progress(self.report())
            raise
        report = self.report()
        logger.info("run ended: %s", report)
        return report

    def _drain_and_rest(self) -> None:
        stop = self._around.stop
        while True:
            stop.wait_while_paused()
            if stop.requested:
                return
            began = monotonic()
            rest = self._drain()
            if rest > 0 and not stop.requested:
                self._around.sleep(min(rest, self._interval))
            logger.debug("looked for %.3f s, rested for %.3f s", monotonic() - began, rest)

    def report(self) -> ReplayReport:
        """What all drains did; what is left is told by the last of them."""
        last = self._last
        return ReplayReport(
            **self._total.counts,
            errors=self._total.commonest(),
            remaining=0 if last is None else last.remaining,
            waiting=None if last is None else last.waiting,
            next_due=None if last is None else last.next_due,
            stopped="shutdown" if self._around.stop.requested else None,
            started_at=to_datetime(self._started_at),
            duration=timedelta(seconds=monotonic() - self._began),
        )

    def _tell(self, report: ReplayReport) -> None:
        self._last = report
        if self._progress is not None:
            self._progress(self.report())

    def _drain(self) -> float:
        """One drain; how many seconds to rest after it."""
        began = monotonic()
        looked = self._looked_at_all
        # The next look may be a whole interval away.
        is_full = looked is None or began + self._interval - looked > _FULL_LOOK_SECONDS
        if not is_full and self._idle is not None and self._is_as_it_was(self._idle):
            return self._rest_after(self._idle)
        self._idle = None
        drain = Drain(self._store, self._registry, self._config, self._around)
        try:
            report = drain.run(Look(suspects=not is_full), lasting=self._interval)
            self._last = report
            if self._catch_up() and _is_idle(report):
                self._idle = report
            self._purge()
        except ShutdownRequested:
            return 0
        except (Busy, StorageFault, StorageError) as error:
            self._survive(error)
            return self._interval
        if is_full:
            self._looked_at_all = began
        return self._rest_after(report)

    def _is_as_it_was(self, idle: ReplayReport) -> bool:
        """Whether the last drain found nothing to do, and another would find nothing, either."""
        now, due = self._around.clock(), _next_due(idle)
        if (due is not None and due <= now) or not self._around.depth.is_known:
            return False
        if not self._store.is_as_seen():
            return False
        self._around.metrics.looked(at=now, depth=None, due=0, oldest_due=None)
        return True

    def _catch_up(self) -> bool:
        """Have the store note what was seen, in turns with other writers; whether it is done. Not
        for ever: a trigger may change each letter that is noted."""
        done, until = False, monotonic() + max(self._interval, _LEAST_REST_SECONDS)
        while not done and not self._around.stop.requested and monotonic() < until:
            self._turns.give()
            done = self._turns.take(self._store.catch_up)
            self._turns.freed()
        return done

    def _purge(self) -> None:
        """Delete what is older than `retention`, from time to time, in turns with other writers."""
        if self._retention is None or monotonic() < self._may_purge_at:
            return
        from azoth_dlq.acting import Purge  # noqa: PLC0415 -- most runs keep everything

        purge = Purge(self._store, self._retention)

        def step() -> bool:
            try:
                return purge.step()
            except StorageError as error:
                if not error.transient:
                    raise
                raise Busy(str(error)) from error  # it is waited for, as a drain does

        is_over = False
        while not is_over and not self._around.stop.requested:
            before = purge.purged
            self._turns.give()
            is_over = not self._turns.take(step)
            self._turns.freed()
            letters, attempts = purge.purged
            counts = {
                "purged": letters - before.letters,
                "purged_attempts": attempts - before.attempts,
            }
            self._total.add(counts, [])
        self._may_purge_at = monotonic() + _PURGE_SECONDS
        if any(purge.purged):
            told = "purged %d permanent failures and %d records of attempts, older than %s s"
            logger.info(told, *purge.purged, plain_seconds(self._retention))

    def _survive(self, error: Busy | StorageFault | StorageError) -> None:
        """Where waiting may mend it. Errors: StorageError otherwise."""
        self._last = getattr(error, "report", None) or self._last
        if not error.transient:
            if isinstance(error, StorageError):
                error.report = self.report()
                raise error
            raise StorageError(str(error), report=self.report()) from error
        logger.error("%s; trying again in %.1f s", one_line(str(error)), self._interval)

    def _rest_after(self, report: ReplayReport) -> float:
        if report.stopped == "failures":
            return self._interval
        if report.remaining:
            return 0  # it is planned anew
        if not _is_idle(report):
            # What was attempted may be due again before the others.
            return _LEAST_REST_SECONDS
        due = _next_due(report)
        if due is None:
            return self._interval
        return max((due - self._around.clock()) / 1_000_000, _LEAST_REST_SECONDS)


def _is_idle(report: ReplayReport) -> bool:
    """Whether the drain found nothing to do."""
    did = report.attempted or report.parked or report.skipped
    return not (did or report.remaining or report.stopped)


def _next_due(report: ReplayReport) -> int | None:
    """In microseconds since 1970."""
    return None if report.next_due is None else (report.next_due - EPOCH) // MICROSECOND
