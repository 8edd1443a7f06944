"""What pytest-benchmark does not tell about the machine and the programs on it."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("azoth-dlq", "simplebroker", "huey", "persist-queue", "litequeue", "pulse-queue")
MOUNTS = Path("/proc/self/mountinfo")


def surroundings(files: Path) -> dict[str, object]:
    """`files` is where the benchmarks put theirs. What cannot be found out is left out."""
    told: dict[str, object] = {
        "cpus_usable": _usable_cpus(),
        "memory_bytes": _memory(),
        "distribution": _distribution(),
        "file_system": _file_system(files),
        "cc": _compiler(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: _version(name) for name in PACKAGES},
    }
    return {name: value for name, value in told.items() if value is not None}


def load() -> float | None:
    """How many processes wanted to run in the last minute, on average."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _usable_cpus() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory() -> int | None:
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _distribution() -> str | None:
    with suppress(OSError):  # only Linux has such a file
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    return None


def _file_system(files: Path) -> str | None:
    """The type of the innermost mount that holds them, on Linux."""
    innermost, found = 0, None
    with suppress(OSError):
        for line in MOUNTS.read_text("utf-8", "replace").splitlines():
            ours, _, theirs = line.partition(" - ")
            point = Path(ours.split()[4].replace("\\040", " "))
            # Of two at the same place, the later one hides the other.
            if len(point.parts) >= innermost and files.resolve().is_relative_to(point):
                innermost, found = len(point.parts), theirs.split()[0]
    return found


def _compiler() -> str | None:
    command = ["cc", "--version"]
    with suppress(OSError, subprocess.CalledProcessError, IndexError):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()[0]
    return None


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None
