"""Cancelling a run that an event loop awaits: a shutdown, which is waited for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from azoth_dlq import ReplayReport
from tests.conftest import Scene
from tests.engine.conftest import Calls
from tests.engine.running import PATIENCE, sleeping_replayer, until


async def _cancelled(task: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(asyncio.CancelledError):
            await task


def test_cancelling_finishes_and_commits_the_letter_in_hand(scene: Scene, calls: Calls) -> None:
    in_hand, left = scene.letter("slow"), scene.letter("slow")
    replayer = sleeping_replayer(scene)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        await until(calls.began.is_set)
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
    replayer = sleeping_replayer(scene)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        await until(calls.began.is_set)
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
    replayer = sleeping_replayer(scene, check_interval=3600)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        await until(lambda: calls.threads)
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
    replayer = sleeping_replayer(scene, check_interval=3600)

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
    replayer = sleeping_replayer(scene)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await replayer.run_async()

    asyncio.run(main())
    assert len(scene.effects()) == len(calls.threads) == 1


def test_the_end_of_the_event_loop_is_a_shutdown(scene: Scene, calls: Calls) -> None:
    """asyncio.run cancels what is left, and its letter is finished before the loop is closed."""
    in_hand, left = scene.letter("slow"), scene.letter("slow")
    replayer = sleeping_replayer(scene)

    async def main() -> asyncio.Task[ReplayReport]:
        task = asyncio.create_task(replayer.run_async())
        await until(calls.began.is_set)
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
    replayer = sleeping_replayer(scene)

    async def main() -> None:
        task = asyncio.create_task(replayer.run_async())
        await until(calls.began.is_set)
        task.cancel()
        await _cancelled(task)

    asyncio.run(main())
    assert [record for record in caplog.records if record.name == "asyncio"] == []
