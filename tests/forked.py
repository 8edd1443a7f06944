"""Processes that are forked off one that has imported what they import, see `fork_server`: where a
test starts many of them, their imports would be most of its time."""

from __future__ import annotations

import atexit
import functools
import json
import os
import pkgutil
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import IO, Any

import azoth_dlq
from tests import fork_server
from tests.conftest import heeding_interrupts
from tests.fork_server import LONGEST_ORDER, Order

ROOT = Path(__file__).parents[1]
# What the interpreter and its libraries heed when they start, and never again.
_HEEDED_AT_START = (
    "PYTHON",
    "LC_",
    "LANG",
    "LD_",
    "COVERAGE_",
    "ASAN_",
    "UBSAN_",
    "TSAN_",
    "TMPDIR",
    "SQLITE_TMPDIR",
)
_NO_USER_HAS = ("PYTHONPATH", "PYTHONUNBUFFERED", "AZOTH_DLQ_DB")
# What a command, a drain or a program imports beside the package.
_BESIDE = [
    "asyncio",
    "concurrent.futures.thread",
    "json",
    "logging",
    "tempfile",
    "urllib.request",
    "tests.crash.handlers",
]


def users_environment() -> dict[str, str]:
    """Without what whoever runs the tests may have set, and no user has."""
    return {name: value for name, value in os.environ.items() if name not in _NO_USER_HAS}


class Forked:
    """What tests need of `subprocess.Popen`."""

    def __init__(self) -> None:
        self.pid = 0  # until it has begun
        self.returncode: int | None = None
        self._has_begun = Event()
        self._is_over = Event()

    def begun(self, pid: int) -> None:
        self.pid = pid
        self._has_begun.set()

    def over(self, status: int | None) -> None:
        """None where the server has ended before it."""
        self.returncode = status
        self._has_begun.set()
        self._is_over.set()

    def wait_until_begun(self) -> None:
        assert self._has_begun.wait(60), "the server does not answer"
        assert self.pid, "the server has ended"

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._is_over.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        assert self.returncode is not None, "the server that it was forked off has ended"
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # its end is just being told
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(9)


class ForkServer:
    """One process to fork others off, for as long as this one lasts."""

    def __init__(self, modules: list[str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = users_environment()
        self._heeded = _heeded(environment)
        with theirs, heeding_interrupts():
            self._process = subprocess.Popen(
                [sys.executable, fork_server.__file__, str(theirs.fileno()), *modules],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._ordering = Lock()
        self._ordered: deque[Forked] = deque()  # those of which nothing has been heard
        Thread(target=self._listen, daemon=True).start()
        atexit.register(self._close)

    def can_start(self, order: Order) -> bool:
        """Whether a process that is forked is like one that is started anew."""
        return _heeded(order.environment) == self._heeded and len(_message(order)) < LONGEST_ORDER

    def start(self, order: Order, stdout: IO[Any], stderr: IO[Any]) -> Forked:
        with self._ordering:
            descriptors = [stdout.fileno(), stderr.fileno()]
            forked = Forked()
            self._ordered.append(forked)
            socket.send_fds(self._control, [_message(order)], descriptors)
        forked.wait_until_begun()
        return forked

    def _listen(self) -> None:
        running: dict[int, Forked] = {}
        with suppress(ConnectionResetError):  # it ended with orders that it had not read
            while message := self._control.recv(LONGEST_ORDER):
                answer: dict[str, Any] = json.loads(message)
                pid = answer["pid"]
                if "status" in answer:
                    running.pop(pid).over(answer["status"])
                else:
                    running[pid] = self._ordered.popleft()
                    running[pid].begun(pid)
        for forked in (*running.values(), *self._ordered):
            forked.over(None)

    def _close(self) -> None:
        self._control.shutdown(socket.SHUT_RDWR)
        self._process.wait()
        self._control.close()


@functools.cache
def fork_server_of_tests() -> ForkServer | None:
    """None where processes are all started anew: only Linux tells of the end of a process by a
    descriptor, and a measure of coverage begins with its process."""
    is_told = sys.platform == "linux" and hasattr(os, "pidfd_open")  # not in every build
    if not is_told or any(name.startswith("COVERAGE_") for name in os.environ):
        return None
    ours = [
        module.name
        for module in pkgutil.walk_packages(azoth_dlq.__path__, "azoth_dlq.")
        if not module.name.endswith("__main__")
    ]
    return ForkServer([*_BESIDE, *ours])


def start(order: Order, stdout: IO[Any], stderr: IO[Any]) -> Forked | subprocess.Popen[bytes]:
    """Forked, or started anew where that is not the same."""
    server = fork_server_of_tests()
    if server is not None and server.can_start(order):
        return server.start(order, stdout, stderr)
    with heeding_interrupts():
        return subprocess.Popen(
            [sys.executable, "-m", order.module, *order.arguments],
            cwd=order.folder,
            env=order.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )


def _message(order: Order) -> bytes:
    return json.dumps(order._asdict()).encode()


def _heeded(environment: Mapping[str, str]) -> dict[str, str]:
    return {n: value for n, value in environment.items() if n.startswith(_HEEDED_AT_START)}
