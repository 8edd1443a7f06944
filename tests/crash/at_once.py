"""A program that drains a file by handlers that ask a server (`http_server`), many at once, run as
a process: `python -m tests.crash.at_once FILE ORDER`.

An event is KIND:BEHAVIOUR, or `KIND:BEHAVIOUR SECONDS` with the timeout of the client. Its kind
says who asks (a thread, or a task of an event loop) and whether its handler is registered with a
timeout; its id is the idempotency key. ORDER is JSON with the members of `Order`; the last line
that is said is as of `program`, or the document of the command.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer, EventHandlerRegistry, cli
from tests.crash.http_server import HOST, PATIENCE_SECONDS
from tests.crash.program import words_of
from tests.crash.talk import Pauses, say

# In the environment: the port of the server, and the number under which it notes the process.
PORT, NUMBER = "AZOTH_DLQ_TESTS_PORT", "AZOTH_DLQ_TESTS_NUMBER"
TIMEOUT_SECONDS = 0.5  # of the handlers that are registered with one
registry = EventHandlerRegistry()


@dataclass
class Order:
    """Settings of the drain; whether it waits for no backoff; points to pause at (opened, drained);
    whether it is the command of that name."""

    settings: dict[str, Any] = field(default_factory=dict)
    now: bool = False
    pauses: list[str] = field(default_factory=list)
    is_command: bool = False


class UnavailableError(Exception):
    """The server said so."""


def _target(event_id: int, payload: bytes) -> tuple[str, float]:
    """What to ask for, and for how many seconds to wait."""
    behaviour, _, seconds = payload.decode().partition(" ")
    target = f"/{behaviour}/{event_id}?process={os.environ[NUMBER]}"
    return target, float(seconds or PATIENCE_SECONDS)


def _check(status: int) -> None:
    if status != http.HTTPStatus.OK:
        raise UnavailableError(f"the server answered {status}")


@registry.handler("thread", transactional=False)
@registry.handler("bounded_thread", transactional=False, timeout=TIMEOUT_SECONDS)
def ask(_conn: None, event_id: int, payload: bytes) -> None:
    target, seconds = _target(event_id, payload)
    connection = http.client.HTTPConnection(HOST, int(os.environ[PORT]), timeout=seconds)
    try:
        connection.request("GET", target)
        _check(connection.getresponse().status)
    finally:
        connection.close()


@registry.handler("task", transactional=False)
@registry.handler("bounded_task", transactional=False, timeout=TIMEOUT_SECONDS)
async def ask_in_loop(_conn: None, event_id: int, payload: bytes) -> None:
    target, seconds = _target(event_id, payload)
    try:
        async with asyncio.timeout(seconds):
            await _ask(target)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {seconds:g} s") from error


async def _ask(target: str) -> None:
    reader, writer = await asyncio.open_connection(HOST, int(os.environ[PORT]))
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        _check(int((await reader.readline()).split()[1]))
    finally:
        writer.close()


def drain(path: Path, order: Order, pauses: Pauses) -> None:
    with DeadLetterQueue.open(path) as queue:
        replayer = DlqReplayer(queue, registry, DlqReplayConfig.from_mapping(order.settings))
        pauses.at("opened")
        say(json.dumps(words_of(lambda: replayer.drain(now=order.now))))
        pauses.at("drained")


def _be_command(path: Path, order: Order) -> None:
    options = [
        text
        for name, value in order.settings.items()
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    handlers = f"{__spec__.name}:registry"
    sys.argv[1:] = ["drain", str(path), "--handlers", handlers, "--json", *options]
    cli.run_process()


def main() -> None:
    path, order = Path(sys.argv[1]), Order(**json.loads(sys.argv[2]))
    if order.is_command:
        _be_command(path, order)
    else:
        drain(path, order, Pauses(path.parent, order.pauses))


if __name__ == "__main__":
    main()
