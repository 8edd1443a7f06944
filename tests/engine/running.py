"""A run on a clock that moves by what is slept, and that is shut down after so many sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from azoth_dlq import DlqReplayConfig, DlqReplayer, ReplayReport
from azoth_dlq.store.base import Suspects
from tests.conftest import Scene

PATIENCE = 10.0  # seconds


class Sleeper:
    """The `sleep` of a replayer: moves the clock, does what is planned for the sleep of a number
    (from 1 on), and ends the run within the last."""

    def __init__(self, scene: Scene, sleeps: int) -> None:
        self.scene = scene
        self.sleeps = sleeps
        self.asked: list[float] = []
        self.during: dict[int, Callable[[], object]] = {}
        self.replayer: DlqReplayer | None = None

    def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.scene.clock.move(seconds=seconds)
        self.during.get(len(self.asked), lambda: None)()
        if len(self.asked) >= self.sleeps and self.replayer is not None:
            self.replayer.shutdown()

    def replay(self, **settings: Any) -> DlqReplayer:
        settings.setdefault("stop_on_consecutive_failures", None)
        self.replayer = DlqReplayer(
            self.scene.queue,
            self.scene.registry,
            DlqReplayConfig(**settings),
            clock=self.scene.clock,
            sleep=self,
        )
        return self.replayer


def run(
    scene: Scene,
    sleeps: int,
    during: Mapping[int, Callable[[], object]] | None = None,
    **settings: Any,
) -> tuple[ReplayReport, list[float]]:
    """Run until that many sleeps were asked for; the report, and the seconds of each."""
    sleeper = Sleeper(scene, sleeps)
    sleeper.during = dict(during or {})
    return sleeper.replay(**settings).run(), sleeper.asked


def count_looks(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What is appended to when a look is taken: whether at all letters."""
    looks: list[bool] = []
    candidates = scene.queue.store.candidates

    def look(*, suspects: Suspects | None = None, **arguments: Any) -> Any:
        looks.append(suspects is None)
        return candidates(suspects=suspects, **arguments)

    monkeypatch.setattr(scene.queue.store, "candidates", look)
    return looks


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


def sleeping_replayer(scene: Scene, **settings: Any) -> DlqReplayer:
    """With the default sleep."""
    return DlqReplayer(scene.queue, scene.registry, DlqReplayConfig(**settings), clock=scene.clock)
