"""Work in a thread of its own, which an event loop awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], *, end: Callable[[], None]) -> T:
    """What `work()` returns or raises. Cancelled, it calls `end()`, which is to end the work, waits
    for that, and goes on up."""
    # Not a thread of the loop's own: those are few, and this one may be needed for ever.
    executor = ThreadPoolExecutor(1, thread_name_prefix="azoth-dlq")
    call = partial(copy_context().run, work)
    working = asyncio.get_running_loop().run_in_executor(executor, call)
    executor.shutdown(wait=False)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        if not working.done():
            end()
        await _end_of(working)
        raise


async def _end_of(working: asyncio.Future[Any]) -> None:
    """Wait for work that goes on whatever is cancelled here; what it raises has been told."""
    while not working.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({working})
    working.exception()
