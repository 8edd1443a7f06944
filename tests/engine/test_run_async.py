"""A run in a worker thread, on a connection of its own, awaited by an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    ConfigError,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    InvalidStateError,
    ReplayReport,
    StorageError,
)
from tests.conftest import Scene

PATIENCE = 10.0


class Calls:
    """What the handlers of a worker thread leave behind."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.connections: set[sqlite3.Connection] = set()
        self.began = threading.Event()
        self.over = threading.Event()


@pytest.fixture
def calls(scene: Scene) -> Iterator[Calls]:
    """`slow` takes 0.3 s and leaves an effect; `ok` leaves one."""
    calls = Calls()

    def note(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        calls.threads.add(threading.get_ident())
        calls.connections.add(conn)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    def slow(conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
        calls.began.set()
        time.sleep(0.3)
        note(conn, event_id, payload)
        calls.over.set()

    scene.registry = EventHandlerRegistry()
    scene.registry.register("ok", note)
    scene.registry.register("slow", slow)
    before = threading.active_count()
    yield calls
    deadline = time.monotonic() + PATIENCE
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def _replayer(scene: Scene, **settings: Any) -> DlqReplayer:
    """With the default sleep."""
    return DlqReplayer(scene.queue, scene.registry, DlqReplayConfig(**settings), clock=scene.clock)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(asyncio.CancelledError):
            await task


# The thread and its connection


def test_handlers_are_called_in_another_thread_on_another_connection(
    scene: Scene, calls: Calls
) -> None:
    letters = [scene.letter() for _ in range(3)]
    replayer = _replayer(scene)
    told: list[tuple[int, int]] = []

    def progress(report: ReplayReport) -> None:
        told.append((threading.get_ident(), report.succeeded))

    async def main() -> ReplayReport:
        task = asyncio.create_task(replayer.run_async(on_progress=progress))
        await _until(lambda: told)
        replayer.shutdown()
        return await task

    report = asyncio.run(main())
    assert scene.effects() == letters
    assert (report.succeeded, report.stopped) == (3, "shutdown")
    [thread] = calls.threads
    assert thread != threading.get_ident()
    assert told == [(thread, 3)]
    [connection] = calls.connections
    assert connection is not scene.conn
    assert replayer.metrics.snapshot().successes == 3


def test_the_connection_is_closed_at_the_end(scene: Scene, calls: Calls) -> None:
    scene.letter()
    replayer = _replayer(scene)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        await _until(lambda: calls.connections)
        replayer.shutdown()
        await task

    asyncio.run(main())
    [connection] = calls.connections
    # Where it is open, its thread alone may use it: that is told first.
    with pytest.raises(sqlite3.ProgrammingError, match=r"thread|closed"):
        connection.execute("SELECT 1")
    assert scene.path is not None
    scene.queue.close()
    # The last connection to a file takes its log away.
    assert not scene.path.with_name(f"{scene.path.name}-wal").exists()


def test_the_event_loop_goes_on_while_a_handler_sleeps(scene: Scene, calls: Calls) -> None:
    scene.letter("slow")
    replayer = _replayer(scene)

    async def main() -> float:
        task = asyncio.create_task(replayer.run_async())
        longest = 0.0
        while not calls.over.is_set():
            began = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - began)
        replayer.shutdown()
        await task
        return longest

    assert asyncio.run(main()) < 0.25
    assert len(scene.effects()) == 1


def test_context_variables_are_those_of_the_caller(scene: Scene, calls: Calls) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen: list[str] = []

    def look(*_args: object) -> None:
        seen.append(tenant.get())
        replayer.shutdown()

    scene.registry.register("looks", look)
    scene.letter("looks")
    replayer = _replayer(scene)

    async def main() -> None:
        tenant.set("acme")
        await replayer.run_async()

    asyncio.run(main())
    assert seen == ["acme"]
    assert calls.threads == set()


def test_it_needs_none_of_the_event_loops_own_threads(scene: Scene, calls: Calls) -> None:
    """Those are few, and a run takes its thread for as long as it lasts."""
    scene.letter()
    replayer = _replayer(scene)
    release = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, release.wait, PATIENCE)
        task = asyncio.create_task(replayer.run_async())
        try:
            await _until(lambda: calls.threads)
        finally:
            release.set()
            replayer.shutdown()
        await asyncio.gather(task, busy)

    asyncio.run(main())
    assert len(scene.effects()) == 1


def test_a_connection_of_the_users_is_made_and_closed_in_the_thread(
    scene: Scene, calls: Calls
) -> None:
    scene.letter()
    replayer = _replayer(scene)
    made: list[tuple[int, sqlite3.Connection]] = []

    class Watched(sqlite3.Connection):
        closed_in = 0

        def close(self) -> None:
            self.closed_in = threading.get_ident()
            super().close()

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(str(scene.path), factory=Watched)
        made.append((threading.get_ident(), connection))
        return connection

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async(connect=connect))
        await _until(lambda: calls.connections)
        replayer.shutdown()
        await task

    asyncio.run(main())
    [(thread, connection)] = made
    assert calls.connections == {connection}
    assert calls.threads == {thread}
    assert isinstance(connection, Watched)
    assert connection.closed_in == thread != threading.get_ident()


def test_a_queue_without_a_file_needs_a_connection() -> None:
    with DeadLetterQueue.open(":memory:") as queue:
        replayer = DlqReplayer(queue, EventHandlerRegistry())
        with pytest.raises(InvalidStateError, match=r"no file .* give connect="):
            asyncio.run(replayer.run_async())


def test_what_connect_gives_is_checked(scene: Scene, calls: Calls) -> None:
    replayer = _replayer(scene)
    wrong: list[Any] = ["letters.db", lambda: "letters.db"]
    for connect in wrong:
        with pytest.raises(ConfigError, match=r"^connect(\(\))?=.*must be"):
            asyncio.run(replayer.run_async(connect=connect))
    assert calls.threads == set()


def test_a_connection_of_another_thread_is_refused_and_left_open(
    scene: Scene, calls: Calls
) -> None:
    scene.letter()
    replayer = _replayer(scene)
    with pytest.raises(InvalidStateError, match="belongs to the thread that made it"):
        asyncio.run(replayer.run_async(connect=lambda: scene.conn))
    assert scene.queue.count() == 1
    assert calls.threads == set()


def test_it_does_nothing_where_it_is_not_enabled(scene: Scene, calls: Calls) -> None:
    scene.letter()
    report = asyncio.run(_replayer(scene, enabled=False).run_async())
    assert (report.attempted, report.stopped) == (0, None)
    assert calls.threads == set()


# Errors


def test_an_error_in_the_thread_goes_up_to_the_awaiter(scene: Scene, calls: Calls) -> None:
    scene.letter()
    replayer = _replayer(scene)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{scene.path}?mode=ro", uri=True)

    with pytest.raises(StorageError, match="cannot be written") as caught:
        asyncio.run(replayer.run_async(connect=connect))
    assert caught.value.report is not None
    assert calls.threads == set()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_what_a_handler_raises_beyond_exception_goes_up_to_the_awaiter(
    scene: Scene, calls: Calls, kind: type[BaseException]
) -> None:
    def leave(*_args: object) -> None:
        raise kind

    scene.registry.register("leaves", leave)
    done = scene.letter()
    left = scene.letter("leaves")
    replayer = _replayer(scene)
    caught: list[type[BaseException]] = []

    async def main() -> None:
        try:
            await replayer.run_async()
        except BaseException as error:
            caught.append(type(error))
            raise

    with pytest.raises(kind):
        asyncio.run(main())
    assert caught == [kind]
    assert (scene.effects(), scene.left()) == ([done], [left])
    assert len(calls.threads) == 1
    # It was no shutdown.
    scene.queue.remove(left)
    later = scene.letter()
    assert replayer.replay(later).succeeded == 1


# Cancelling


def test_cancelling_finishes_and_commits_the_letter_in_hand(scene: Scene, calls: Calls) -> None:
    in_hand, left = scene.letter("slow"), scene.letter("slow")
    replayer = _replayer(scene)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        await _until(calls.began.is_set)
        task.cancel()
        await _cancelled(task)
        assert calls.over.is_set()

    asyncio.run(main())
    assert (scene.effects(), scene.left()) == ([in_hand], [left])
    assert replayer.drain().stopped == "shutdown"


def test_cancelling_twice_waits_for_the_letter_in_hand_all_the_same(
    scene: Scene, calls: Calls
) -> None:
    in_hand = scene.letter("slow")
    replayer = _replayer(scene)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        await _until(calls.began.is_set)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.02)
        assert not task.done()
        assert not calls.over.is_set()
        await _cancelled(task)
        assert calls.over.is_set()

    asyncio.run(main())
    assert scene.effects() == [in_hand]


def test_cancelling_ends_a_sleep_at_once(scene: Scene, calls: Calls) -> None:
    scene.letter()
    replayer = _replayer(scene, check_interval=3600)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        await _until(lambda: calls.threads)
        task.cancel()
        await _cancelled(task)

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_cancelling_before_the_thread_has_begun_leaves_nothing_behind(
    scene: Scene, calls: Calls, steps: int
) -> None:
    scene.letter()
    replayer = _replayer(scene, check_interval=3600)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await _cancelled(task)

    asyncio.run(main())
    assert len(scene.effects()) + len(scene.left()) == 1
    assert len(calls.threads) <= steps


def test_a_timeout_is_a_shutdown(scene: Scene, calls: Calls) -> None:
    scene.letter()
    replayer = _replayer(scene)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await replayer.run_async()

    asyncio.run(main())
    assert len(scene.effects()) == len(calls.threads) == 1


def test_the_end_of_the_event_loop_is_a_shutdown(scene: Scene, calls: Calls) -> None:
    """asyncio.run cancels what is left, and its letter is finished before the loop is closed."""
    in_hand, left = scene.letter("slow"), scene.letter("slow")
    replayer = _replayer(scene)

    async def main() -> asyncio.Task[ReplayReport]:
        task = asyncio.create_task(replayer.run_async())
        await _until(calls.began.is_set)
        return task

    task = asyncio.run(main())
    assert task.cancelled()
    assert calls.over.is_set()
    assert (scene.effects(), scene.left()) == ([in_hand], [left])


def test_an_error_that_comes_after_the_cancelling_is_not_told_twice(
    scene: Scene, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(*_args: object) -> None:
        calls.began.set()
        time.sleep(0.2)
        raise SystemExit

    scene.registry.register("leaves", leave)
    scene.letter("leaves")
    replayer = _replayer(scene)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        await _until(calls.began.is_set)
        task.cancel()
        await _cancelled(task)

    asyncio.run(main())
    assert [record for record in caplog.records if record.name == "asyncio"] == []


# Two at once


def test_two_runs_on_one_file_do_each_letter_once(scene: Scene, calls: Calls) -> None:
    letters = [scene.letter() for _ in range(300)]
    settings: dict[str, Any] = {"max_transaction_time": 0.005, "yield_time": 0.001}
    replayers = [_replayer(scene, **settings) for _ in range(2)]

    async def main() -> list[ReplayReport]:
        tasks = [asyncio.create_task(replayer.run_async()) for replayer in replayers]
        await _until(lambda: scene.queue.count() == 0)
        for replayer in replayers:
            replayer.shutdown()
        return await asyncio.gather(*tasks)

    reports = asyncio.run(main())
    assert scene.effects() == letters
    assert sum(report.succeeded for report in reports) == 300
    assert len(calls.threads) <= 2


def test_two_runs_of_one_replayer_tell_each_its_own_progress(tmp_path: Path) -> None:
    files = [tmp_path / "a.db", tmp_path / "b.db"]
    for count, file in enumerate(files, start=1):
        with DeadLetterQueue.open(file) as queue:
            queue.add_many([(n, b"ok:", "boom") for n in range(count)])
    registry = EventHandlerRegistry()
    registry.register("ok", lambda *_args: None)
    config = DlqReplayConfig(min_age=0, backoff=BackoffStrategy.fixed(0))
    told: dict[Path, list[int]] = {file: [] for file in files}
    with DeadLetterQueue.open(files[0]) as queue:
        replayer = DlqReplayer(queue, registry, config)

        async def run(file: Path) -> ReplayReport:
            return await replayer.run_async(
                connect=lambda: sqlite3.connect(file),
                on_progress=lambda report: told[file].append(report.succeeded),
            )

        async def main() -> list[ReplayReport]:
            tasks = [asyncio.create_task(run(file)) for file in files]
            await _until(lambda: all(told.values()))
            replayer.shutdown()
            return await asyncio.gather(*tasks)

        reports = asyncio.run(main())
    assert [report.succeeded for report in reports] == [1, 2]
    assert told == {files[0]: [1], files[1]: [2]}
