"""How the cost of a letter grows with the file, and how much memory a drain needs."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue
from benchmarks import drains, subjects
from benchmarks.conftest import Contender, Figure
from benchmarks.outage import make_outage

MILLION = 1_000_000
MEGABYTE = 1024 * 1024
# The second is the one that the largest is set beside: in smaller files, what a drain costs once
# is most of it.
SIZES = 10_000, 25_000, 50_000, 100_000
QUICK_SIZES = 2500, 5000, 10_000, 20_000
LARGE_SIZES = 10_000, 50_000, 200_000, MILLION
IN_MEMORY = pytest.mark.benchmark(group=subjects.MEMORY)
# Prints the largest resident size in KB: of the interpreter, and once a file is drained. On Linux
# getrusage() tells that of the process which started this one.
DRAIN_AND_TELL = """
import os, resource, sqlite3, sys
def largest():
    if not os.path.exists("/proc/self/status"):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
before = largest()
from azoth_dlq import DeadLetterQueue, DlqReplayer, EventHandlerRegistry
registry = EventHandlerRegistry()
registry.register("deposit", lambda conn, event_id, payload: None)
with DeadLetterQueue.open(sys.argv[1]) as dlq:
    dlq.connection.execute("PRAGMA synchronous = NORMAL")
    report = DlqReplayer(dlq, registry).drain()
print(report.succeeded, before, largest())
"""


@pytest.fixture
def copies(tmp_path: Path) -> Callable[[Path, dict[str, Contender]], dict[str, float]]:
    """Runs each contender once on a copy of a file; the seconds of each."""

    def run(file: Path, contenders: dict[str, Contender]) -> dict[str, float]:
        seconds = {}
        for name, contender in contenders.items():
            path = tmp_path / "copy.db"
            shutil.copyfile(file, path)
            seconds[name] = contender(path).seconds
            for left in tmp_path.glob("copy*"):
                left.unlink()
        return seconds

    return run


def outage(folder: Path, letters: int, *, in_order: bool) -> Path:
    path = folder / f"{letters} {in_order}.db"
    make_outage(path, in_order=in_order, letters=letters)
    return path


@pytest.mark.large
@pytest.mark.benchmark(group=subjects.LIMIT)
@pytest.mark.parametrize(
    ("letters", "in_order", "at_defaults", "at_a_second"),
    [(MILLION, False, 0.6, 0.9), (10 * MILLION, True, 0.8, 0.8)],
    ids=["a million at random", "ten million in order"],
)
def test_against_the_limit(  # noqa: PLR0913, PLR0917 -- fixtures, and a row of a table
    benchmark: Any,
    figure: Figure,
    limit: Callable[..., Contender],
    copies: Callable[[Path, dict[str, Contender]], dict[str, float]],
    tmp_path: Path,
    letters: int,
    in_order: bool,  # noqa: FBT001 -- named by the decorator
    at_defaults: float,
    at_a_second: float,
) -> None:
    file = outage(tmp_path, letters, in_order=in_order)
    contenders = {
        "C loop": limit(letters=letters),
        "defaults": drains.ours(drains.do_nothing),
        "groups of a second": drains.ours(drains.do_nothing, max_transaction_time=1),
    }
    seconds = benchmark.pedantic(copies, args=(file, contenders), rounds=1)
    us = {name: s / letters * 1e6 for name, s in seconds.items()}
    name = f"{letters:,} letters, ids {'in order' if in_order else 'at random'}"
    for setting, at_least in (("defaults", at_defaults), ("groups of a second", at_a_second)):
        figure(
            f"{name}, {setting}: C loop / drain",
            us["C loop"] / us[setting],
            at_least=at_least,
            drain_us=us[setting],
            C_loop_us=us["C loop"],
        )


@pytest.fixture
def sizes(request: pytest.FixtureRequest) -> tuple[int, ...]:
    if request.config.getoption("--large"):
        return LARGE_SIZES
    return QUICK_SIZES if request.config.getoption("--quick") else SIZES


@pytest.mark.benchmark(group=subjects.GROWTH)
def test_growth(  # noqa: PLR0913, PLR0917 -- fixtures
    benchmark: Any,
    figure: Figure,
    limit: Callable[..., Contender],
    copies: Callable[[Path, dict[str, Contender]], dict[str, float]],
    sizes: tuple[int, ...],
    tmp_path: Path,
) -> None:
    def measure() -> dict[int, dict[str, float]]:
        cost = {}
        for letters in sizes:
            file = outage(tmp_path, letters, in_order=True)
            contenders = {
                "drain": drains.ours(drains.do_nothing),
                "C loop": limit(letters=letters),
            }
            rounds = [copies(file, contenders) for _ in range(3)]
            cost[letters] = {n: min(r[n] for r in rounds) / letters * 1e6 for n in contenders}
            file.unlink()
        return cost

    cost = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info["growth"] = [{"letters": n, "us": us} for n, us in cost.items()]
    few, many = cost[sizes[1]], cost[sizes[-1]]
    figure(
        f"growth of the cost of a letter, {sizes[1]:,} to {sizes[-1]:,}: drain / C loop",
        (many["drain"] / few["drain"]) / (many["C loop"] / few["C loop"]),
        at_most=1.15,
        floor=3,
        **{f"{name} at {n:,}_us": us for n, names in cost.items() for name, us in names.items()},
    )


# Memory


def memory_of_drain(path: Path) -> float:
    """Megabytes beyond the interpreter's."""
    done = subprocess.run(
        [sys.executable, "-c", DRAIN_AND_TELL, str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    succeeded, before, after = map(int, done.stdout.split())
    with closing(sqlite3.connect(path)) as connection:
        ((left,),) = connection.execute("SELECT count(*) FROM dead_letter_queue")
    assert (left, succeeded > 0) == (0, True)
    kilobytes = (after - before) / (1024 if sys.platform == "darwin" else 1)
    return kilobytes * 1024 / MEGABYTE


def add_large_letters(path: Path, letters: int, size: int) -> None:
    with DeadLetterQueue.open(path) as dlq:
        dlq.connection.execute("PRAGMA synchronous = OFF")
        for n in range(letters):
            dlq.add(n, b"deposit:" + bytes(size), "timeout")
        dlq.connection.execute("UPDATE dead_letter_queue SET failed_at = '2026-01-01 00:00:00'")


@IN_MEMORY
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module")
@pytest.mark.parametrize(
    ("letters", "at_most"),
    [
        (100_000, 64),
        pytest.param(MILLION, 64, marks=pytest.mark.large),
        pytest.param(10 * MILLION, 400, marks=pytest.mark.large),
    ],
)
def test_memory(
    benchmark: Any, figure: Figure, tmp_path: Path, letters: int, at_most: float
) -> None:
    # At random, ten million would take hours of writing each page many times.
    file = outage(tmp_path, letters, in_order=letters > MILLION)
    used = benchmark.pedantic(memory_of_drain, args=(file,), rounds=1)
    figure(f"MB to drain {letters:,} letters of 128 bytes", used, at_most=at_most, floor=at_most)


@IN_MEMORY
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module")
@pytest.mark.parametrize("letters", [50, pytest.param(2000, marks=pytest.mark.large)])
def test_memory_of_large_letters(
    benchmark: Any, figure: Figure, tmp_path: Path, letters: int
) -> None:
    path = tmp_path / "large.db"
    add_large_letters(path, letters, 5_000_000)
    used = benchmark.pedantic(memory_of_drain, args=(path,), rounds=1)
    figure(f"MB to drain {letters:,} letters of 5 MB", used, at_most=64, floor=64)
