"""Handlers that wait for other systems (`transactional=False`), many at once: threads and an event
loop, beside one call at a time, beside a pool of threads without a database, and beside what people
write with such a pool.

All in one run, in turn, each on a fresh file: WAL, synchronous=NORMAL, letters of 128 bytes. A call
that sleeps takes what it sleeps, whatever the machine: there a part of the letters tells what one
at a time takes a letter.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from azoth_dlq import (
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    ReplayPriority,
)
from benchmarks import drains
from benchmarks.conftest import Contender, Figure, Taken, ratios, rounds_of
from benchmarks.outage import make_outage
from benchmarks.subjects import AT_ONCE

DURABILITY: Final = "WAL, synchronous=NORMAL"
THREADS: Final = 16
TASKS: Final = 200
CALL_SECONDS: Final = 0.005
TASK_SECONDS: Final = 0.02
SELECT: Final = "SELECT id, event_id, event_bytes FROM dead_letter_queue ORDER BY id"
SPLIT: Final = (
    "UPDATE dead_letter_queue SET event_bytes = "
    "CAST('notify' || substr(event_bytes, length('deposit') + 1) AS BLOB) WHERE id % 2"
)
pytestmark = pytest.mark.benchmark(group=AT_ONCE)


class Sizes(NamedTuple):
    """Letters: of handlers that sleep, many at once and one at a time; of one that does nothing."""

    threads: int
    one_thread: int
    tasks: int
    one_task: int
    no_op: int


Turn = tuple[Contender, int]  # and the letters of its file
TakeTurns = Callable[..., dict[str, list[float]]]


@pytest.fixture
def sizes(request: pytest.FixtureRequest) -> Sizes:
    if request.config.getoption("--quick"):
        return Sizes(threads=800, one_thread=60, tasks=4000, one_task=20, no_op=4000)
    return Sizes(threads=5000, one_thread=500, tasks=20_000, one_task=100, no_op=20_000)


@pytest.fixture
def take_turns(benchmark: Any, tmp_path: Path, request: pytest.FixtureRequest) -> TakeTurns:
    """Runs contenders in turn, each on a fresh file of its number of letters, which fail in the
    order of their ids; the µs a letter of each, round by round."""

    def run(
        turns: Mapping[str, Turn], *, split: bool = False, rounds: int | None = None
    ) -> dict[str, list[float]]:
        us: dict[str, list[float]] = {name: [] for name in turns}
        files = {letters: tmp_path / f"{letters}.db" for _, letters in turns.values()}
        for letters, file in files.items():
            make_outage(file, in_order=True, letters=letters)
            if split:
                with closing(sqlite3.connect(file)) as connection, connection:
                    connection.execute(SPLIT)
        numbers = itertools.count()

        def once() -> None:
            for name, (contender, letters) in turns.items():
                path = tmp_path / f"copy{next(numbers)}.db"
                shutil.copyfile(files[letters], path)
                us[name].append(contender(path).seconds / letters * 1e6)
                for left in tmp_path.glob("copy*"):
                    left.unlink()

        benchmark.pedantic(once, rounds=rounds or rounds_of(request.config))
        return us

    return run


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """As in every figure here; checked, since all of them depend on it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = NORMAL")
        check_durability(connection)
        yield connection


def check_durability(connection: sqlite3.Connection) -> None:
    asked = connection.execute("PRAGMA journal_mode"), connection.execute("PRAGMA synchronous")
    assert [row for cursor in asked for row in cursor] == [("wal",), (1,)], DURABILITY


def payload_of(event_bytes: bytes) -> bytes:
    return event_bytes[event_bytes.index(b":") + 1 :]


def sleep(_conn: None, _event_id: int, _payload: bytes) -> None:
    time.sleep(CALL_SECONDS)


async def sleep_async(_conn: None, _event_id: int, _payload: bytes) -> None:
    await asyncio.sleep(TASK_SECONDS)


def do_nothing(_conn: None, _event_id: int, _payload: bytes) -> None:
    """What is left is the cost of a call at once with others."""


def outside(handler: Any, *, concurrency: int) -> Contender:
    """A drain whose handler is called outside any transaction; in the order of ids."""
    registry = EventHandlerRegistry()
    registry.register("deposit", handler, transactional=False)
    return drain_by(registry, concurrency)


def mixed(*, concurrency: int) -> Contender:
    """A drain of two kinds in turn: an UPDATE in the transaction, and a call outside."""
    registry = EventHandlerRegistry()
    registry.register("deposit", drains.update)
    registry.register("notify", sleep, transactional=False)
    return drain_by(registry, concurrency)


def drain_by(registry: EventHandlerRegistry, concurrency: int) -> Contender:
    config = DlqReplayConfig(concurrency=concurrency, priority=ReplayPriority.FIFO)

    def drain(path: Path) -> Taken:
        with DeadLetterQueue.open(path) as dlq:
            dlq.connection.execute("PRAGMA synchronous = NORMAL")
            check_durability(dlq.connection)
            there = dlq.count()
            seconds, report = drains.timed(DlqReplayer(dlq, registry, config))
            assert (report.succeeded, report.attempted, dlq.count()) == (there, there, 0)
        return Taken(seconds)

    return drain


def bare(handler: Any) -> Contender:
    """The same calls through a pool of threads; the letters stay where they are."""

    def call_all(path: Path) -> Taken:
        with connected(path) as connection:
            letters = connection.execute(SELECT).fetchall()
        event_ids = [event_id for _, event_id, _ in letters]
        payloads = [payload_of(event_bytes) for _, _, event_bytes in letters]
        start = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(handler, itertools.repeat(None), event_ids, payloads):
                pass
        return Taken(time.perf_counter() - start)

    return call_all


def by_hand(handler: Any) -> Contender:
    """What people write: all letters are submitted to a pool of threads, and each is deleted, with
    a COMMIT of its own, when its call is over. It tests nothing and claims nothing."""

    def loop(path: Path) -> Taken:
        with connected(path) as connection:
            start = time.perf_counter()
            with ThreadPoolExecutor(THREADS) as pool:
                futures = {
                    pool.submit(handler, None, event_id, payload_of(event_bytes)): letter_id
                    for letter_id, event_id, event_bytes in connection.execute(SELECT).fetchall()
                }
                for future in as_completed(futures):
                    future.result()
                    connection.execute(drains.DELETE, (futures[future],))
                    connection.commit()
            seconds = time.perf_counter() - start
            assert connection.execute(SELECT).fetchone() is None
        return Taken(seconds)

    return loop


def one_commit_each(path: Path) -> Taken:
    """A loop in one thread that calls the handler, deletes the letter and commits that."""
    with connected(path) as connection:
        start = time.perf_counter()
        for letter_id, event_id, event_bytes in connection.execute(SELECT).fetchall():
            do_nothing(None, event_id, payload_of(event_bytes))
            connection.execute(drains.DELETE, (letter_id,))
            connection.commit()
        return Taken(time.perf_counter() - start)


@pytest.fixture
def tell(figure: Figure) -> Figure:
    """A figure, with the durability that it was measured with."""

    def told(name: str, *arguments: Any, **details: float) -> None:
        figure(f"{name} ({DURABILITY})", *arguments, **details)

    return told


# Beside one call at a time


def test_threads(take_turns: TakeTurns, tell: Figure, sizes: Sizes) -> None:
    us = take_turns(
        {
            "at once": (outside(sleep, concurrency=THREADS), sizes.threads),
            "one": (outside(sleep, concurrency=1), sizes.one_thread),
        }
    )
    tell(
        f"{THREADS} threads, handler of 5 ms, {sizes.threads:,} letters: "
        f"one thread ({sizes.one_thread} letters) / drain, a letter",
        ratios(us["one"], us["at once"]),
        at_least=13,
        floor=8,
        **medians(drain_us=us["at once"], one_thread_us=us["one"]),
    )


def test_tasks(take_turns: TakeTurns, tell: Figure, sizes: Sizes) -> None:
    us = take_turns(
        {
            "at once": (outside(sleep_async, concurrency=TASKS), sizes.tasks),
            "one": (outside(sleep_async, concurrency=1), sizes.one_task),
        }
    )
    tell(
        f"{TASKS} tasks, async handler of 20 ms, {sizes.tasks:,} letters: "
        f"one task ({sizes.one_task} letters) / drain, a letter",
        ratios(us["one"], us["at once"]),
        at_least=120,
        floor=40,
        **medians(drain_us=us["at once"], one_task_us=us["one"]),
    )


def test_two_kinds_in_turn(take_turns: TakeTurns, tell: Figure, sizes: Sizes) -> None:
    us = take_turns(
        {
            "at once": (mixed(concurrency=THREADS), sizes.threads),
            "one": (mixed(concurrency=1), sizes.one_thread),
        },
        split=True,
    )
    tell(
        f"{THREADS} threads, an UPDATE and a handler of 5 ms in turn, {sizes.threads:,} letters: "
        f"one thread ({sizes.one_thread} letters) / drain, a letter",
        ratios(us["one"], us["at once"]),
        at_least=13,
        floor=8,
        **medians(drain_us=us["at once"], one_thread_us=us["one"]),
    )


# Beside a pool of threads


@pytest.mark.parametrize(
    ("handler", "called", "at_least", "floor"),
    [(sleep, "handler of 5 ms", 0.95, 0.85), (do_nothing, "no-op handler", 1.0, 0.6)],
    ids=["5 ms", "no-op"],
)
def test_by_hand(  # noqa: PLR0913, PLR0917 -- fixtures, and a row of a table
    take_turns: TakeTurns,
    tell: Figure,
    sizes: Sizes,
    handler: Any,
    called: str,
    at_least: float,
    floor: float,
) -> None:
    """The best of five of each: both take about as long, and other programs only add to that."""
    letters = sizes.threads if handler is sleep else sizes.no_op
    us = take_turns(
        {
            "drain": (outside(handler, concurrency=THREADS), letters),
            "by hand": (by_hand(handler), letters),
        },
        rounds=5,
    )
    best = {name: min(taken) for name, taken in us.items()}
    tell(
        f"{THREADS} threads, {called}, {letters:,} letters: pool by hand, COMMIT a letter / drain",
        best["by hand"] / best["drain"],
        at_least=at_least,
        floor=floor,
        drain_us=best["drain"],
        by_hand_us=best["by hand"],
    )


def test_claim_and_outcome(take_turns: TakeTurns, tell: Figure, sizes: Sizes) -> None:
    """What a drain takes more than its calls do through a bare pool. It is held to a loop that runs
    in one thread: both then are what SQLite and Python do for a letter, while how soon one thread
    takes over from another, which differs most between machines and their moods, is in the drain
    and in the bare pool alike. The difference stands above the line, where one near 0 does no harm.
    """
    letters = sizes.no_op
    us = take_turns(
        {
            "drain": (outside(do_nothing, concurrency=THREADS), letters),
            "pool": (bare(do_nothing), letters),
            "loop": (one_commit_each, letters),
        }
    )
    more = [drain - pool for drain, pool in zip(us["drain"], us["pool"], strict=True)]
    details = medians(drain_us=us["drain"], pool_us=us["pool"], loop_us=us["loop"])
    name = f"{THREADS} threads, no-op handler, {letters:,} letters: drain - bare pool"
    tell(
        f"{name} / loop, COMMIT a letter", ratios(more, us["loop"]), at_most=1.8, floor=3, **details
    )
    tell(f"{name}, µs a letter", more, at_most=40, **details)


def medians(**us: list[float]) -> dict[str, float]:
    return {name: statistics.median(taken) for name, taken in us.items()}
