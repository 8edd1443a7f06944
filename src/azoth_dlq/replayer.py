"""The replayer: attempts the letters that are due, by the handlers of a registry."""

from __future__ import annotations

from collections.abc import Callable

from azoth_dlq import clock as wall_clock
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine.drain import Drain, Surroundings
from azoth_dlq.engine.stop import Stop
from azoth_dlq.metrics import DlqMetrics
from azoth_dlq.queue import DeadLetterQueue
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.types import ReplayReport

Progress = Callable[[ReplayReport], None]


class DlqReplayer:
    """Replays the dead letters of a queue.

    `clock() -> int` gives microseconds since 1970 (UTC), `sleep(seconds)` waits; the default sleep
    is ended at once by `shutdown()`.
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
        transaction or a drain is open on the connection), ConfigError (the connection is of a kind
        that cannot drain).
        """
        return self._drain(now=now, limit=None, on_progress=on_progress)

    def run_replay_cycle(self) -> ReplayReport:
        """Attempt up to `batch_size` due letters. Errors as of `drain`."""
        return self._drain(now=False, limit=self._config.batch_size, on_progress=None)

    def shutdown(self) -> None:
        """End a drain after the letter in hand, and a sleep at once. From any thread, and from
        signal handlers."""
        self._stop.request()

    def permanent_failure_count(self) -> int:
        """How many permanent failures there are."""
        return self._dlq.permanent_failure_count()

    def clear_permanent_failures(self) -> int:
        """Delete every permanent failure; how many there were."""
        return self._dlq.clear_permanent_failures()

    def _drain(self, *, now: bool, limit: int | None, on_progress: Progress | None) -> ReplayReport:
        self._metrics.checked(self._clock() // 1_000_000)
        surroundings = Surroundings(
            self._clock, self._sleep, self._stop, self._metrics, on_progress
        )
        drain = Drain(self._dlq.store, self._registry, self._config, surroundings)
        return drain.run(now=now, limit=limit)
