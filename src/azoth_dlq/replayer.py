"""The replayer: attempts the letters that are due, by the handlers of a registry."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import finalize

from azoth_dlq import clock as wall_clock
from azoth_dlq.acting import find, wanted_of
from azoth_dlq.arguments import checked_id
from azoth_dlq.config import DlqReplayConfig, checked_rate
from azoth_dlq.engine.activity import Activity
from azoth_dlq.engine.drain import Drain
from azoth_dlq.engine.plan import LOOK_AT_ALL, Look
from azoth_dlq.engine.rate import Rate
from azoth_dlq.engine.run import Run
from azoth_dlq.engine.stop import Stop, StopOfOne
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.errors import InvalidStateError, not_allowed
from azoth_dlq.filters import LetterFilter
from azoth_dlq.metrics import DlqMetrics, MetricsRecorder
from azoth_dlq.queue import DeadLetterQueue
from azoth_dlq.registration import check_callable
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.report import ReplayReport

if TYPE_CHECKING:
    from azoth_dlq.hooks import Attempt, ParkedLetter

Progress = Callable[[ReplayReport], None]
logger = logging.getLogger("azoth_dlq")


class DlqReplayer:
    """Replays the dead letters of a queue.

    `clock() -> int` gives microseconds since 1970 (UTC), `sleep(seconds)` waits; the default sleep
    is ended at once by `shutdown()`.

    Hooks, each None or called between two groups, after the COMMIT of what it is told, never within
    a transaction: `on_parked` for each letter that was parked, `on_attempt` for each attempt,
    `on_stopped` with the drain's report so far when a stop by failures begins (not for a probe that
    fails). They are called in the thread that drains (of `drain_async` and `run_async` a worker
    thread), which waits for them; they may write through the queue's connection, and commit. An
    Exception of theirs is logged and changes nothing; what they leave uncommitted is rolled back.
    Each is told once; what an interrupt or the death of the process comes before is not told.

    Errors: ConfigError naming the argument.
    """

    def __init__(  # noqa: PLR0913 -- by name only, but the first three
        self,
        dlq: DeadLetterQueue,
        registry: EventHandlerRegistry,
        config: DlqReplayConfig | None = None,
        *,
        clock: Callable[[], int] = wall_clock.now,
        sleep: Callable[[float], None] | None = None,
        on_parked: Callable[[ParkedLetter], object] | None = None,
        on_stopped: Callable[[ReplayReport], object] | None = None,
        on_attempt: Callable[[Attempt], object] | None = None,
    ) -> None:
        _check("dlq", dlq, DeadLetterQueue, "a DeadLetterQueue")
        _check("registry", registry, EventHandlerRegistry, "an EventHandlerRegistry")
        _check("config", config, DlqReplayConfig | None, "a DlqReplayConfig or None")
        _check("clock", clock, Callable, "a callable that returns microseconds since 1970")
        _check("sleep", sleep, Callable | None, "a callable that takes seconds, or None")
        hooks = {"on_parked": on_parked, "on_stopped": on_stopped, "on_attempt": on_attempt}
        for name, hook in hooks.items():
            _check(name, hook, Callable | None, "a callable that takes one value, or None")
            if hook is not None:
                check_callable(hook, name, name.removeprefix("on_"))
        self._dlq = dlq
        self._registry = registry
        self._config = DlqReplayConfig() if config is None else config
        self._clock = clock
        self._stop = Stop()
        self._metrics = MetricsRecorder()
        self._rate = Rate(self._config.rate_limit)
        self._surroundings = Surroundings(
            clock, self._stop.wait if sleep is None else sleep, self._stop, self._metrics
        )
        self._surroundings.rate = self._rate
        if any(hooks.values()):
            from azoth_dlq.hooks import Hooks  # noqa: PLC0415 -- few programs ask

            self._surroundings.hooks = Hooks(on_parked, on_stopped, on_attempt)
        finalize(self, self._surroundings.close)

    @property
    def config(self) -> DlqReplayConfig:
        return self._config

    @property
    def rate_limit(self) -> float | None:
        """The most attempts a second, of all handlers together; None: unlimited. At first that of
        the settings; it may be set at any time, by any thread and by signal handlers, also while a
        drain or a run goes on. Errors: ConfigError."""
        return self._rate.a_second

    @rate_limit.setter
    def rate_limit(self, attempts_a_second: float | None) -> None:
        self._rate.a_second = checked_rate("rate_limit", attempts_a_second)

    @property
    def metrics(self) -> DlqMetrics:
        """Counts since this replayer was made."""
        return self._metrics

    @property
    def activity(self) -> Activity:
        """What goes on now, and goes on changing: `calls`, how many handlers are being called at
        once (None: one after the other), and `waited`, for how many seconds a locked file has been
        waited for (None: it is not)."""
        return self._surroundings.activity

    def drain(
        self,
        which: LetterFilter | None = None,
        *,
        now: bool = False,
        on_progress: Progress | None = None,
    ) -> ReplayReport:
        """Attempt every letter that is due, each once, in the order of the priority.

        `which`: of those alone that fit when it begins; the report tells of no other. `now`: also
        those whose backoff has not passed yet. `on_progress` gets the report so far
        after each commit. What a handler raises beyond `Exception` (KeyboardInterrupt, say) goes on
        up when what was done before is committed, and `on_progress` got the report once more.

        Errors: StorageError (the database; `.report` tells what was done), InvalidStateError (a
        transaction or a drain is open on the connection, or the queue is closed or of another
        thread), ConfigError (the connection is of a kind that cannot drain, the clock gives no
        int, or an argument is not allowed).
        """
        _check("now", now, bool, "True or False")
        return self._drain(self._look(self._dlq, which), now=now, on_progress=on_progress)

    def run_replay_cycle(self) -> ReplayReport:
        """Attempt up to `batch_size` due letters. Errors as of `drain`."""
        return self._drain(LOOK_AT_ALL, limit=self._config.batch_size)

    def replay(self, letter_id: int, *, on_progress: Progress | None = None) -> ReplayReport:
        """Attempt one letter, due or not; `skipped` is 1 where there is none of that id, or another
        drain has it in hand. One whose process died in its handler is charged with that first; one
        that has no attempts left is parked. `on_progress` and errors as of `drain`."""
        look = Look(ids=(checked_id(letter_id),), asked_for=True)
        return self._drain(look, now=True, on_progress=on_progress)

    def run(self, *, on_progress: Progress | None = None) -> ReplayReport:
        """Drain, and sleep until the next letter is due or `check_interval` has passed, until
        `shutdown()`; what was done in all. With `enabled=False` it returns at once.

        It survives a busy, full or failing disk: it is logged, and tried again after
        `check_interval`, as after a stop by failures. A file that is damaged, read-only or no
        database ends it, as does what a handler raises beyond `Exception`. `on_progress` gets the
        report so far after each commit. Letters inserted under an id below the highest are seen
        within an hour. Errors as of `drain`.
        """
        return self._run(self._dlq, on_progress)

    async def drain_async(
        self,
        which: LetterFilter | None = None,
        *,
        now: bool = False,
        connect: Callable[[], sqlite3.Connection] | None = None,
        on_progress: Progress | None = None,
    ) -> ReplayReport:
        """Do as `drain` does in a worker thread, on a connection of its own: opened from the path
        of the queue's file, or by `connect()` (called there, closed at the end).

        Async handlers are awaited in the event loop that this is called in; other handlers and
        `on_progress` are called in threads. Cancelled, it raises CancelledError once the calls that
        run have ended, and what else was claimed is given back; cancelled again, it waits for none
        of them. Later drains of this replayer are not affected.

        Errors as of `drain`; InvalidStateError where the queue has no file and there is no
        `connect`.
        """
        _check("now", now, bool, "True or False")

        def work(dlq: DeadLetterQueue, surroundings: Surroundings) -> ReplayReport:
            drain = Drain(dlq.store, self._registry, self._config, surroundings)
            return drain.run(self._look(dlq, which), now=now)

        return await self._in_thread(work, connect, on_progress, for_good=False)

    async def run_async(
        self,
        *,
        connect: Callable[[], sqlite3.Connection] | None = None,
        on_progress: Progress | None = None,
    ) -> ReplayReport:
        """Do as `run` does, in the way in which `drain_async` drains, and is cancelled; but to
        cancel it is a `shutdown()`, for good.

        Errors as of `run`; InvalidStateError where the queue has no file and there is no `connect`.
        """
        return await self._in_thread(self._run_with, connect, on_progress, for_good=True)

    def shutdown(self) -> None:
        """End a drain or run after the letters in hand, and a sleep at once, for good: each later
        drain of this replayer ends before its first letter. From any thread, and from signal
        handlers."""
        self._stop.request()

    def pause(self) -> None:
        """Have no other letter attempted until `resume()`: calls in hand end, their outcomes are
        committed, and nothing keeps the file locked meanwhile. A drain that begins waits before it
        plans, a run before it looks. From any thread, and from signal handlers; a shutdown ends it.
        """
        self._stop.pause()

    def resume(self) -> None:
        """Go on after `pause()`, if there was one."""
        self._stop.resume()

    @property
    def paused(self) -> bool:
        """Whether `pause()` was called since the last `resume()`, and no shutdown."""
        return self._stop.is_paused

    def permanent_failure_count(self) -> int:
        """How many permanent failures there are."""
        return self._dlq.permanent_failure_count()

    def clear_permanent_failures(self) -> int:
        """Delete every permanent failure; how many there were."""
        return self._dlq.clear_permanent_failures()

    def _look(self, dlq: DeadLetterQueue, which: LetterFilter | None) -> Look:
        _check("which", which, LetterFilter | None, "a LetterFilter or None")
        if which is None:
            return LOOK_AT_ALL
        wanted = wanted_of(which, parked=False)
        return Look(ids=find(dlq.store, wanted, self._read_clock(), self._config))

    def _drain(
        self,
        look: Look,
        *,
        now: bool = False,
        limit: int | None = None,
        on_progress: Progress | None = None,
    ) -> ReplayReport:
        drain = Drain(
            self._dlq.store, self._registry, self._config, self._with_progress(on_progress)
        )
        return drain.run(look, now=now, limit=limit)

    def _run(self, dlq: DeadLetterQueue, on_progress: Progress | None) -> ReplayReport:
        return self._run_with(dlq, self._with_progress(on_progress))

    def _run_with(self, dlq: DeadLetterQueue, surroundings: Surroundings) -> ReplayReport:
        run = Run(dlq.store, self._registry, self._config, surroundings)
        if not self._config.enabled:
            logger.info(
                "nothing is replayed: enabled is False; enabled=True (--enabled) changes it"
            )
            return run.report()
        return run.run()

    async def _in_thread(
        self,
        work: Callable[[DeadLetterQueue, Surroundings], ReplayReport],
        connect: Callable[[], sqlite3.Connection] | None,
        on_progress: Progress | None,
        *,
        for_good: bool,
    ) -> ReplayReport:
        """Do `work` on a connection of its own. `for_good`: to cancel it is a shutdown."""
        from asyncio import get_running_loop  # noqa: PLC0415 -- asyncio costs its import

        from azoth_dlq.engine.worker import in_thread  # noqa: PLC0415 -- as above

        _check("connect", connect, Callable | None, "a callable that returns a connection, or None")
        file = self._dlq.file
        if connect is None and file is None:
            raise InvalidStateError(
                "the queue has no file that could be opened in another thread; give connect="
            )
        loop, stop = get_running_loop(), StopOfOne(self._stop)

        def there() -> ReplayReport:
            surroundings = self._with_progress(on_progress)
            surroundings.loop, surroundings.stop = loop, stop
            if connect is None:
                with DeadLetterQueue.open(file or "") as dlq:
                    return work(dlq, surroundings)
            return self._work_on(connect(), work, surroundings)

        end = self.shutdown if for_good else stop.request
        return await in_thread(there, end=end, hurry=stop.hurry)

    def _work_on(
        self,
        connection: sqlite3.Connection,
        work: Callable[[DeadLetterQueue, Surroundings], ReplayReport],
        surroundings: Surroundings,
    ) -> ReplayReport:
        _check("connect()", connection, sqlite3.Connection, "a sqlite3.Connection")
        try:
            return work(DeadLetterQueue(connection), surroundings)
        finally:
            # One that was made in another thread cannot be closed here, nor used: that is told.
            with suppress(sqlite3.ProgrammingError):
                connection.close()

    def _with_progress(self, on_progress: Progress | None) -> Surroundings:
        _check("on_progress", on_progress, Callable | None, "a callable that takes a report")
        self._metrics.checked(self._read_clock() // 1_000_000)
        return self._surroundings.telling(on_progress)

    def _read_clock(self) -> int:
        instant = self._clock()
        _check("clock()", instant, int, "an int, microseconds since 1970 (UTC); time.time is not")
        return instant


def _check(name: str, value: object, expected: Any, allowed: str) -> None:
    if not isinstance(value, expected):
        raise not_allowed(name, value, allowed)
