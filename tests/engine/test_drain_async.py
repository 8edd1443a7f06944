"""Drains and runs that an event loop awaits: it goes on, and async handlers run on it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    InvalidStateError,
    ReplayReport,
)
from tests.conftest import Scene
from tests.engine.at_once import KINDS, PATIENCE, Gate, at_once
from tests.engine.outside import claims, retry_counts
from tests.engine.running import until

Start = Callable[[DlqReplayer], Awaitable[ReplayReport]]


async def drain(replayer: DlqReplayer) -> ReplayReport:
    return await replayer.drain_async(now=True)


async def run(replayer: DlqReplayer) -> ReplayReport:
    return await replayer.run_async()


either = pytest.mark.parametrize("start", [drain, run])


def letters(scene: Scene, count: int, kind: str = "outside") -> list[int]:
    return [scene.letter(kind) for _ in range(count)]


def test_async_handlers_run_on_the_loop_that_awaits_the_drain(scene: Scene) -> None:
    handler = at_once(scene, "task")
    plain = at_once(scene, "thread", name="plain")
    made = [*letters(scene, 20), *letters(scene, 5, "plain"), *letters(scene, 5, "ok")]
    report = asyncio.run(scene.replay(concurrency=4).drain_async())
    assert (report.succeeded, scene.left(), len(made)) == (30, [], 30)
    here = threading.get_ident()
    assert set(handler.threads) == {here}
    assert here not in plain.threads
    assert scene.effects() == made[-5:]


def test_what_belongs_to_the_loop_can_be_used_by_its_handlers(scene: Scene) -> None:
    """A client that was made there: here a queue whose other end waits on the same loop."""
    letters(scene, 10)

    async def main() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        got: list[int] = []

        async def consume() -> None:
            while True:
                got.append(await queue.get())

        async def handler(_conn: Any, event_id: int, _payload: bytes) -> None:
            await queue.put(event_id)

        scene.registry.register("outside", handler, transactional=False)
        consumer = asyncio.create_task(consume())
        await scene.replay(concurrency=3).drain_async()
        await until(lambda: len(got) == 10)
        consumer.cancel()
        return got

    assert sorted(asyncio.run(main())) == list(range(1, 11))


@either
def test_cancelling_it_is_a_shutdown(scene: Scene, start: Start) -> None:
    gate = Gate()
    handler = at_once(scene, "task", gate=gate)
    made = letters(scene, 40)
    replayer = scene.replay(concurrency=4)

    async def main() -> None:
        task = asyncio.ensure_future(start(replayer))
        await until(lambda: handler.waiting == 4 and len(claims(scene)) == 12)
        task.cancel()
        await until(lambda: len(claims(scene)) == 4)
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert handler.cancelled == []
    assert sorted(handler.ended) == made[:4]
    assert (scene.left(), claims(scene)) == (made[4:], [])
    assert set(retry_counts(scene).values()) == {0}


@either
@pytest.mark.parametrize("kind", KINDS)
def test_cancelled_again_it_waits_for_no_handler(scene: Scene, start: Start, kind: str) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate)
    made = letters(scene, 10)
    replayer = scene.replay(concurrency=2)

    async def main() -> None:
        task = asyncio.ensure_future(start(replayer))
        await until(lambda: handler.waiting == 2)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.1)
        with pytest.raises(asyncio.CancelledError):
            await task

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 5
    assert scene.left() == made
    assert set(retry_counts(scene).values()) == {0}
    assert claims(scene) == ([] if kind == "task" else made[:2])
    gate.open()


def test_a_drain_that_was_cancelled_ends_no_later_one(scene: Scene) -> None:
    gate = Gate()
    handler = at_once(scene, "task", gate=gate)
    letters(scene, 10)
    replayer = scene.replay(concurrency=2)

    async def within(seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await replayer.drain_async()

    async def main() -> ReplayReport:
        asyncio.get_running_loop().call_later(0.4, gate.open)
        with pytest.raises(TimeoutError):
            await within(0.2)
        assert sorted(handler.ended) == [1, 2]
        return await replayer.drain_async()

    assert asyncio.run(main()).succeeded == 8
    assert scene.left() == []
    replayer.shutdown()
    letters(scene, 1)
    assert asyncio.run(replayer.drain_async()).stopped == "shutdown"


@either
def test_a_task_that_is_cancelled_by_others_is_given_back(scene: Scene, start: Start) -> None:
    gate = Gate()
    handler = at_once(scene, "task", gate=gate)
    made = letters(scene, 5)
    replayer = scene.replay(concurrency=2)

    async def main() -> None:
        task = asyncio.ensure_future(start(replayer))
        await until(lambda: handler.waiting == 2)
        [first] = [t for t in asyncio.all_tasks() if t.get_name() == f"azoth-dlq letter {made[0]}"]
        first.cancel()
        await until(lambda: handler.waiting == 1)
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert scene.left() == [made[0], *made[2:]]
    assert set(retry_counts(scene).values()) == {0}
    assert claims(scene) == []


def test_the_end_of_the_loop_gives_back_what_runs_on_it(scene: Scene) -> None:
    """`asyncio.run` cancels what its main task has left."""
    handler = at_once(scene, "task", gate=Gate())
    made = letters(scene, 5)
    replayer = scene.replay(concurrency=2)

    async def main() -> None:
        asyncio.ensure_future(replayer.drain_async())  # noqa: RUF006 -- it is left alone
        await until(lambda: handler.waiting == 2)

    asyncio.run(main())
    assert sorted(handler.cancelled) == made[:2]
    assert scene.left() == made
    assert set(retry_counts(scene).values()) == {0}
    assert claims(scene) == []


def test_a_loop_that_is_closed_under_it_ends_the_drain(scene: Scene) -> None:
    handler = at_once(scene, "task", gate=Gate())
    made = letters(scene, 5)
    replayer = scene.replay(concurrency=2)
    loop = asyncio.new_event_loop()
    task = loop.create_task(replayer.drain_async())
    loop.run_until_complete(until(lambda: handler.waiting == 2))
    threads = [thread for thread in threading.enumerate() if thread.name == "azoth-dlq"]
    loop.close()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert scene.left() == made
    assert claims(scene) == []
    del task


def test_nothing_it_returns_or_raises_is_lost(scene: Scene) -> None:
    scene.registry.register("leaves", lambda *_: (_ for _ in ()).throw(SystemExit(3)))
    scene.letter("leaves")

    async def main() -> None:
        with pytest.raises(SystemExit):
            await scene.replay().drain_async()
        raise ValueError("after it")

    with pytest.raises(ValueError, match="after it"):
        asyncio.run(main())
    with DeadLetterQueue.open(":memory:") as queue, pytest.raises(InvalidStateError):
        asyncio.run(DlqReplayer(queue, EventHandlerRegistry()).drain_async())


# How long the loop is kept waiting


class Ticker:
    """How late a task of the loop is woken, in seconds: not counting what this process did not
    work meanwhile, since the machine had other things to do."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def tick(self) -> None:
        while True:
            began, worked = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.001)
            late = time.perf_counter() - began - 0.001
            self.late.append(min(late, time.process_time() - worked))


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("large") / "letters.db"
    with DeadLetterQueue.open(path) as queue:
        queue.connection.execute("PRAGMA synchronous = OFF")
        queue.add_many([(n, b"waits:payload", f"error {n % 7}") for n in range(200_000)])
        # In an order of its own, so that the plan has to be sorted.
        queue.connection.execute(
            "UPDATE dead_letter_queue SET "
            "failed_at = datetime('2026-01-01', (id * 7919 % 200003) || ' seconds')"
        )
    return path


@pytest.mark.parametrize("kind", ["transactional", "task"])
@pytest.mark.parametrize("start", [drain, run])
def test_the_loop_is_never_kept_waiting_for_10_ms(large_file: Any, kind: str, start: Start) -> None:
    registry = EventHandlerRegistry()
    calls: list[int] = []
    if kind == "task":

        @registry.handler("waits", transactional=False)
        async def wait(_conn: Any, event_id: int, _payload: bytes) -> None:
            await asyncio.sleep(0.002)
            calls.append(event_id)
    else:

        @registry.handler("waits")
        def work(_conn: Any, event_id: int, _payload: bytes) -> None:
            calls.append(event_id)
            if len(calls) % 20_000 == 0:
                raise ValueError("now and then")  # the letters stay for the next try

    async def one_try(queue: DeadLetterQueue) -> float:
        config = DlqReplayConfig(
            concurrency=50, min_age=0, backoff=BackoffStrategy.fixed(0), max_retries=1000
        )
        replayer = DlqReplayer(queue, registry, config)
        ticker = Ticker()
        ticking = asyncio.create_task(ticker.tick())
        task = asyncio.ensure_future(start(replayer))
        while not calls and not task.done():  # a busy machine takes its time to begin
            await asyncio.sleep(0.01)
        await asyncio.wait({task}, timeout=0.7)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        ticking.cancel()
        assert len(ticker.late) > 50
        return max(ticker.late)

    longest: list[float] = []
    with DeadLetterQueue.open(large_file) as queue:
        while len(longest) < 5 and min(longest, default=1.0) >= 0.010:
            calls.clear()
            longest.append(asyncio.run(one_try(queue)))
    assert calls
    assert min(longest) < 0.010, longest
