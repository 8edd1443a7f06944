"""Forks programs off a process that has imported what they import, which most of their start is:
`python tests/fork_server.py SOCKET MODULE…`, where SOCKET is a descriptor.

An order is one message: JSON with the members of `Order`, and the descriptors that become stdout
and stderr. The answers are `{"pid": …}`, and `{"pid": …, "status": …}` when that process is over.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple, TextIO

LONGEST_ORDER = 64 * 1024


class Order(NamedTuple):
    """A module to be run as `python -m` does."""

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]


def _serve(control: socket.socket) -> Order | None:
    """Returns in each process that is forked, with its order, and when there are no more orders."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # it is the tests that one interrupts
    running: dict[int, int] = {}  # processes by what tells that they are over
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready in running:
                poll.unregister(ready)
                os.close(ready)
                pid = running.pop(ready)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                control.send(json.dumps({"pid": pid, "status": status}).encode())
                continue
            message, descriptors, *_ = socket.recv_fds(control, LONGEST_ORDER, 2)
            if not message:
                return None
            order = Order(**json.loads(message))
            pid = os.fork()
            if pid == 0:
                for inherited in (control.fileno(), *running):
                    os.close(inherited)
                control.detach()
                _become(order, descriptors)
                return order
            for descriptor in descriptors:
                os.close(descriptor)
            over = os.pidfd_open(pid)
            running[over] = pid
            poll.register(over, select.POLLIN)
            control.send(json.dumps({"pid": pid}).encode())


def _become(order: Order, descriptors: list[int]) -> None:
    for number, descriptor in zip((1, 2), descriptors, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # As the interpreter makes them of what they are now.
    sys.stdout = _text(1, sys.stdout)
    sys.stderr = _text(2, sys.stderr, buffering=1)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    time.tzset()
    sys.argv = [order.module, *order.arguments]
    sys.path[0] = order.folder
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _text(number: int, before: TextIO, buffering: int = -1) -> TextIO:
    return os.fdopen(number, "w", buffering, before.encoding, before.errors, closefd=False)


def main() -> None:
    sys.path[0] = str(Path.cwd())
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    order = _serve(socket.socket(fileno=int(sys.argv[1])))
    if order is not None:
        runpy.run_module(order.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
