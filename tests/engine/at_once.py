"""Handlers that are called at once: plain functions in threads, async ones on an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from azoth_dlq import ReplayReport
from azoth_dlq._event import Event
from tests.conftest import Scene

PATIENCE = 20.0  # seconds
KINDS = ("thread", "task")


class Gate:
    """Calls wait at it until it is opened, for all or for an event."""

    def __init__(self) -> None:
        self._open_for: set[int] = set()
        self.is_open = False

    def open(self, *events: int) -> None:
        self._open_for.update(events)
        self.is_open = self.is_open or not events

    def lets(self, event_id: int) -> bool:
        return self.is_open or event_id in self._open_for


class AtOnce:
    """A handler of letters of the type `outside`: counts its calls, waits at its gate, where it has
    one, then acts."""

    def __init__(
        self, acts: Callable[[int], object] | None = None, *, gate: Gate | None = None
    ) -> None:
        self._acts = acts
        self.gate = gate
        self._lock = threading.Lock()
        self.began: list[int] = []
        self.ended: list[int] = []
        self.connections: list[Any] = []
        self.threads: list[int] = []
        self.cancelled: list[int] = []
        self.most = 0

    @property
    def waiting(self) -> int:
        return len(self.began) - len(self.ended)

    def handle(self, conn: Any, event_id: int, _payload: bytes) -> None:
        self._begin(conn, event_id)
        try:
            until = time.monotonic() + PATIENCE
            while self.gate is not None and not self.gate.lets(event_id):
                if time.monotonic() > until:
                    raise TimeoutError("the gate stayed closed")
                time.sleep(0.001)
            self._act(event_id)
        finally:
            self._end(event_id)

    async def handle_async(self, conn: Any, event_id: int, _payload: bytes) -> None:
        self._begin(conn, event_id)
        try:
            while self.gate is not None and not self.gate.lets(event_id):
                await asyncio.sleep(0.001)
            self._act(event_id)
        except asyncio.CancelledError:
            self.cancelled.append(event_id)
            raise
        finally:
            self._end(event_id)

    def _begin(self, conn: Any, event_id: int) -> None:
        with self._lock:
            self.began.append(event_id)
            self.connections.append(conn)
            self.threads.append(threading.get_ident())
            self.most = max(self.most, self.waiting)

    def _act(self, event_id: int) -> None:
        if self._acts is not None:
            self._acts(event_id)

    def _end(self, event_id: int) -> None:
        with self._lock:
            self.ended.append(event_id)


class InBatches(AtOnce):
    """The same in batches; what `acts_on_batch` raises fails them."""

    def __init__(
        self,
        acts_on_batch: Callable[[list[int]], object],
        acts: Callable[[int], object] | None = None,
    ) -> None:
        super().__init__(acts)
        self._acts_on_batch = acts_on_batch
        self.batches: list[list[int]] = []

    def handle_batch(self, _conn: Any, events: list[Event]) -> None:
        self.batches.append([event.event_id for event in events])
        self._acts_on_batch([event.event_id for event in events])

    async def handle_batch_async(self, conn: Any, events: list[Event]) -> None:
        await asyncio.sleep(0)
        self.handle_batch(conn, events)


def at_once(
    scene: Scene,
    kind: str,
    acts: Callable[[int], object] | None = None,
    *,
    gate: Gate | None = None,
    name: str = "outside",
    **registered: Any,
) -> AtOnce:
    """Register such a handler, for threads or as tasks."""
    handler = AtOnce(acts, gate=gate)
    call = handler.handle if kind == "thread" else handler.handle_async
    scene.registry.register(name, call, transactional=False, **registered)
    return handler


def in_batches(scene: Scene, kind: str, handler: InBatches) -> InBatches:
    class Async:
        handle = handler.handle_async
        handle_batch = handler.handle_batch_async

    registered: object = handler if kind == "thread" else Async()
    scene.registry.register("outside", registered, transactional=False)
    return handler


def until(condition: Callable[[], object]) -> None:
    ends_at = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends_at, "it never became so"
        time.sleep(0.002)


@contextmanager
def meanwhile(watch: Callable[[], object]) -> Iterator[None]:
    """Have `watch()` done in another thread, while this one drains."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            watch()
        except BaseException as error:  # noqa: BLE001 -- raised below
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if raised:
        raise raised[0]


def drain_meanwhile(scene: Scene, watch: Callable[[], object], **settings: Any) -> ReplayReport:
    with meanwhile(watch):
        return scene.drain(**settings)
