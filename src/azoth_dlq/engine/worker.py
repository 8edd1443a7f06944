"""Work in a thread of its own, which an event loop awaits."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(
    work: Callable[[], T], *, end: Callable[[], None], hurry: Callable[[], None]
) -> T:
    """What `work()` returns or raises. Cancelled, it calls `end()`, which is to end the work, waits
    for that, and raises CancelledError; cancelled again meanwhile, it calls `hurry()`. Where its
    loop is closed, the end of the process ends the work."""
    outcome: Future[T] = Future()
    call = copy_context().run
    # Not a thread of the loop's own: those are few, and this one may be needed for ever. A daemon,
    # for the process waits for others before anybody could tell them to end.
    thread = Thread(target=lambda: call(_settle, outcome, work), name="azoth-dlq", daemon=True)

    def finish() -> None:
        end()
        hurry()
        thread.join()

    thread.start()
    atexit.register(finish)
    working = asyncio.wrap_future(outcome)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        if not working.done():
            end()
        await _end_of(working, hurry)
        raise
    finally:
        if outcome.done():
            thread.join()
            atexit.unregister(finish)


def _settle(outcome: Future[T], work: Callable[[], T]) -> None:
    try:
        result = work()
    except StopIteration as error:  # no future takes one
        raised = RuntimeError(f"what was called raised {type(error).__name__}")
        raised.__cause__ = error
        outcome.set_exception(raised)
    except BaseException as error:  # noqa: BLE001 -- raised where it is awaited
        outcome.set_exception(error)
    else:
        outcome.set_result(result)


async def _end_of(working: asyncio.Future[Any], hurry: Callable[[], None]) -> None:
    """Wait for work that goes on whatever is cancelled here; what it raises has been told."""
    while not working.done():
        try:
            await asyncio.wait({working})
        except asyncio.CancelledError:
            hurry()
    working.exception()
