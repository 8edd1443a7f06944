"""A run in a worker thread, on a connection of its own, awaited by an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import threading
import time
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
from tests.engine.conftest import Calls
from tests.engine.running import PATIENCE, sleeping_replayer, until

# The thread and its connection


def test_handlers_are_called_in_another_thread_on_another_connection(
    scene: Scene, calls: Calls
) -> None:
    letters = [scene.letter() for _ in range(3)]
    replayer = sleeping_replayer(scene)
    told: list[tuple[int, int]] = []

    def progress(report: ReplayReport) -> None:
        told.append((threading.get_ident(), report.succeeded))

    async def main() -> ReplayReport:
        task = asyncio.create_task(replayer.run_async(on_progress=progress))
        await until(lambda: told)
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
    replayer = sleeping_replayer(scene)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        await until(lambda: calls.connections)
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
    replayer = sleeping_replayer(scene)

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
    replayer = sleeping_replayer(scene)

    async def main() -> None:
        tenant.set("acme")
        await replayer.run_async()

    asyncio.run(main())
    assert seen == ["acme"]
    assert calls.threads == set()


def test_it_needs_none_of_the_event_loops_own_threads(scene: Scene, calls: Calls) -> None:
    """Those are few, and a run takes its thread for as long as it lasts."""
    scene.letter()
    replayer = sleeping_replayer(scene)
    release = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, release.wait, PATIENCE)
        task = asyncio.create_task(replayer.run_async())
        try:
            await until(lambda: calls.threads)
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
    replayer = sleeping_replayer(scene)
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
        await until(lambda: calls.connections)
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
    replayer = sleeping_replayer(scene)
    wrong: list[Any] = ["letters.db", lambda: "letters.db"]
    for connect in wrong:
        with pytest.raises(ConfigError, match=r"^connect(\(\))?=.*must be"):
            asyncio.run(replayer.run_async(connect=connect))
    assert calls.threads == set()


def test_a_connection_of_another_thread_is_refused_and_left_open(
    scene: Scene, calls: Calls
) -> None:
    scene.letter()
    replayer = sleeping_replayer(scene)
    with pytest.raises(InvalidStateError, match="belongs to the thread that made it"):
        asyncio.run(replayer.run_async(connect=lambda: scene.conn))
    assert scene.queue.count() == 1
    assert calls.threads == set()


def test_it_does_nothing_where_it_is_not_enabled(scene: Scene, calls: Calls) -> None:
    scene.letter()
    report = asyncio.run(sleeping_replayer(scene, enabled=False).run_async())
    assert (report.attempted, report.stopped) == (0, None)
    assert calls.threads == set()


# Errors


def test_an_error_in_the_thread_goes_up_to_the_awaiter(scene: Scene, calls: Calls) -> None:
    scene.letter()
    replayer = sleeping_replayer(scene)

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
    replayer = sleeping_replayer(scene)
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


# Two at once


def test_two_runs_on_one_file_do_each_letter_once(scene: Scene, calls: Calls) -> None:
    letters = [scene.letter() for _ in range(300)]
    settings: dict[str, Any] = {"max_transaction_time": 0.005, "yield_time": 0.001}
    replayers = [sleeping_replayer(scene, **settings) for _ in range(2)]

    async def main() -> list[ReplayReport]:
        tasks = [asyncio.create_task(replayer.run_async()) for replayer in replayers]
        await until(lambda: scene.queue.count() == 0)
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
            await until(lambda: all(told.values()))
            replayer.shutdown()
            return await asyncio.gather(*tasks)

        reports = asyncio.run(main())
    assert [report.succeeded for report in reports] == [1, 2]
    assert told == {files[0]: [1], files[1]: [2]}
