"""A store, a handler for each way in which a call can end, and drains over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azoth_dlq import (
    DlqReplayConfig,
    EventHandlerRegistry,
    NonRetryable,
    ReplayReport,
    RetryAfter,
    Snooze,
)
from azoth_dlq.engine.drain import Drain
from azoth_dlq.engine.stop import Stop
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.metrics import MetricsRecorder
from tests.conformance.backend import Backend
from tests.conftest import Clock

Effect = Callable[[Any], None]


class Work:
    """A store, a handler for each way in which a call can end, and drains over them."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.store = backend.store
        self.clock = Clock()
        self.calls: list[int] = []
        self.stop = Stop()
        self.registry = EventHandlerRegistry()
        for kind, effect in {
            "ok": self._nothing,
            "fails": self._raises(ValueError("bad")),
            "poison": self._raises(NonRetryable("never")),
            "later": self._raises(RetryAfter(3600, "not now")),
            "snoozes": self._raises(Snooze(60)),
            "loses": backend.lose_transaction,
            "commits": backend.commit_behind_the_guard,
            "spoils": backend.make_uncommittable,
            "full": self._raises(backend.database_fault()),
            "interrupts": self._raises(KeyboardInterrupt()),
            "shuts down": self._shut_down,
        }.items():
            self.handle(kind, effect)

    def handle(self, kind: str, effect: Effect) -> None:
        def call(connection: Any, event_id: int, _payload: bytes) -> None:
            self.calls.append(event_id)
            self.backend.write(connection, event_id)
            effect(connection)

        self.registry.register(kind, call)

    def letters(self, *kinds: str) -> list[int]:
        """Letters whose event ids count from 1."""
        return [
            self.backend.insert(event_id=n, event_bytes=f"{kind}:x".encode())
            for n, kind in enumerate(kinds, 1)
        ]

    def drain(
        self,
        *,
        now: bool = False,
        limit: int | None = None,
        on_progress: Callable[[ReplayReport], None] | None = None,
        **config: Any,
    ) -> ReplayReport:
        config.setdefault("stop_on_consecutive_failures", None)
        drain = Drain(
            self.store,
            self.registry,
            DlqReplayConfig(**config),
            Surroundings(
                self.clock,
                lambda _seconds: None,
                self.stop,
                MetricsRecorder(),
                on_progress=on_progress,
            ),
        )
        return drain.run(now=now, limit=limit)

    def reasons(self) -> dict[int, str]:
        """Of the permanent failures, by event id."""
        parked = self.store.read(parked=True)
        return {failure.event_id: failure.reason or "" for failure in parked}

    def left(self) -> list[int]:
        """Event ids of the dead letters."""
        return sorted(letter.event_id for letter in self.store.read())

    @staticmethod
    def _nothing(_connection: Any) -> None:
        """The effect alone is what an ordinary handler has."""

    @staticmethod
    def _raises(error: BaseException) -> Effect:
        def effect(_connection: Any) -> None:
            raise error

        return effect

    def _shut_down(self, _connection: Any) -> None:
        self.stop.request()
