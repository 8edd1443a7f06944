"""The replayer: attempts the letters that are due, by the handlers of a registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azoth_dlq import clock as wall_clock
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine.drain import Drain, Surroundings
from azoth_dlq.engine.stop import Stop
from azoth_dlq.errors import ConfigError
from azoth_dlq.metrics import DlqMetrics
from azoth_dlq.queue import DeadLetterQueue
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.types import ReplayReport

Progress = Callable[[ReplayReport], None]


class DlqReplayer:
    """Replays the dead letters of a queue.

    `clock() -> int` gives microseconds since 1970 (UTC), `sleep(seconds)` waits; the default sleep
    is ended at once by `shutdown()`. Errors: ConfigError naming the argument.
    """

    def __init__(
        self,
        dlq: DeadLetterQueue,
        registry: EventHandlerRegistry,
        config: DlqReplayConfig | None = None,
        *,
        clock: Callable[[], int] = wall_clock.now,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        _check("dlq", dlq, DeadLetterQueue, "a DeadLetterQueue")
        _check("registry", registry, EventHandlerRegistry, "an EventHandlerRegistry")
        _check("config", config, DlqReplayConfig | None, "a DlqReplayConfig or None")
        _check("clock", clock, Callable, "a callable that returns microseconds since 1970")
        _check("sleep", sleep, Callable | None, "a callable that takes seconds, or None")
        self._dlq = dlq
        self._registry = registry
        self._config = DlqReplayConfig() if config is None else config
        self._clock = clock
        self._stop = Stop()
        self._sleep = self._stop.wait if sleep is None else sleep
        self._metrics = DlqMetrics()

    @property
    def config(self) -> DlqReplayConfig:
        return self._config

    @property
    def metrics(self) -> DlqMetrics:
        """Counts since this replayer was made."""
        return self._metrics

    def drain(self, *, now: bool = False, on_progress: Progress | None = None) -> ReplayReport:
        """Attempt every letter that is due, each once, in the order of the priority.

        `now`: also those whose backoff has not passed yet. `on_progress` gets the report so far
        after each commit. What a handler raises beyond `Exception` (KeyboardInterrupt, say) goes on
        up when what was done before is committed.

        Errors: StorageError (the database; `.report` tells what was done), InvalidStateError (a
        transaction or a drain is open on the connection, or the queue is closed or of another
        thread), ConfigError (the connection is of a kind that cannot drain, the clock gives no
        int, or `on_progress` is not callable).
        """
        return self._drain(now=now, limit=None, on_progress=on_progress)

    def run_replay_cycle(self) -> ReplayReport:
        """Attempt up to `batch_size` due letters. Errors as of `drain`."""
        return self._drain(now=False, limit=self._config.batch_size, on_progress=None)

    def shutdown(self) -> None:
        """End a drain after the letter in hand, and a sleep at once, for good: each later drain
        of this replayer ends before its first letter. From any thread, and from signal handlers."""
        self._stop.request()

    def permanent_failure_count(self) -> int:
        """How many permanent failures there are."""
        return self._dlq.permanent_failure_count()

    def clear_permanent_failures(self) -> int:
        """Delete every permanent failure; how many there were."""
        return self._dlq.clear_permanent_failures()

    def _drain(self, *, now: bool, limit: int | None, on_progress: Progress | None) -> ReplayReport:
        _check("on_progress", on_progress, Callable | None, "a callable that takes a report")
        self._metrics.checked(self._read_clock() // 1_000_000)
        surroundings = Surroundings(
            self._clock, self._sleep, self._stop, self._metrics, on_progress
        )
        drain = Drain(self._dlq.store, self._registry, self._config, surroundings)
        return drain.run(now=now, limit=limit)

    def _read_clock(self) -> int:
        instant = self._clock()
        _check("clock()", instant, int, "an int, microseconds since 1970 (UTC); time.time is not")
        return instant


def _check(name: str, value: object, expected: Any, allowed: str) -> None:
    if not isinstance(value, expected):
        raise ConfigError.for_field(name, value, allowed)
