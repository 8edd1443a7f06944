"""How a process of these tests and the test talk: lines on stdout one way, files the other; and
how the process ends without a word."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

PATIENCE_SECONDS = 60.0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def wait_for(path: Path) -> None:
    """Wait until the test makes the file. Errors: TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody made {path}")
        time.sleep(0.002)


def die(way: str) -> None:
    """Kill this process, if `way` is one to."""
    match way:
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(70)
        case "segfault":
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # a sanitizer would report it
            faulthandler._sigsegv()  # type: ignore[attr-defined]  # noqa: SLF001 -- made for tests
        case "abort":
            os.abort()


def limit_memory(more: int) -> None:
    """This process may have so many bytes more than it has."""
    import resource  # noqa: PLC0415 -- there is none on Windows

    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class Pauses:
    """Says that a point was reached, the first time it is, and waits there for the file `go`."""

    def __init__(self, folder: Path, points: Collection[str]) -> None:
        self._go = folder / "go"
        self._points = set(points)

    def __contains__(self, point: str) -> bool:
        return point in self._points

    def at(self, point: str) -> None:
        if point in self._points:
            self._points.discard(point)
            say(point)
            wait_for(self._go)
