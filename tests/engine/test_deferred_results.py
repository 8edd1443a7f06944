"""A handler whose result is still to be run has done nothing: its letter fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from azoth_dlq import EventHandlerRegistry
from tests.conftest import Scene


async def work(*_: object) -> None:
    """Nobody awaits it."""


def generate(*_: object) -> Iterator[int]:
    yield 1


class Awaitable:
    def __await__(self) -> Iterator[None]:
        yield


class Batches:
    def handle(self, *arguments: Any) -> object:
        return work(*arguments)

    def handle_batch(self, _conn: object, _events: object) -> object:
        return work()


def forgets_to_await(*arguments: Any) -> object:
    return work(*arguments)


def forgets_to_iterate(*arguments: Any) -> object:
    return generate(*arguments)


HANDLERS: dict[str, Any] = {
    "coroutine": forgets_to_await,
    "generator": forgets_to_iterate,
    "awaitable": lambda *_: Awaitable(),
    "batches": Batches(),
}


@pytest.mark.parametrize("transactional", [True, False])
@pytest.mark.parametrize("kind", HANDLERS)
def test_its_letters_fail_and_stay(any_scene: Scene, kind: str, *, transactional: bool) -> None:
    any_scene.registry.register("deferred", HANDLERS[kind], transactional=transactional)
    letters = [any_scene.letter("deferred"), any_scene.letter("deferred")]
    good = any_scene.letter()
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (1, 2)
    assert (any_scene.left(), any_scene.effects()) == (letters, [good])
    found = any_scene.queue.get(letters[0])
    assert found is not None
    assert "still to be run; register a plain function" in (found.last_error or "")


@pytest.mark.parametrize("kind", HANDLERS)
def test_process_raises(kind: str) -> None:
    registry = EventHandlerRegistry()
    registry.register("deferred", HANDLERS[kind])
    calls: list[Callable[[], None]] = [
        lambda: registry.process(None, 1, b"deferred:x"),
        lambda: registry.process_batched(None, [(1, b"deferred:x")]),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="still to be run"):
            call()


@pytest.mark.parametrize("result", [1, "done", (), object()])
def test_any_other_result_is_nobodys_business(scene: Scene, result: object) -> None:
    scene.registry.register("returns", lambda *_: result)
    scene.letter("returns")
    assert scene.drain().succeeded == 1
