"""Whole drains, planning included, against a C loop over the same SQLite library.

All in one run, in turn, on fresh copies of one file: WAL, synchronous=NORMAL, 100,000 letters of
128 bytes, the default settings. The ratios are what counts: machines are shared and noisy.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DlqReplayConfig, ReplayPriority
from benchmarks import drains, subjects
from benchmarks.conftest import Figure, ratios, us_a_letter
from benchmarks.subjects import BOUND_C_LOOP, C_LOOP

Race = Callable[..., dict[str, list[float]]]
BY_HAND = pytest.mark.benchmark(group=subjects.BY_HAND)
IN_ORDER = pytest.mark.parametrize("order", ["in order", "at random"])
pytestmark = pytest.mark.benchmark(group=subjects.LIMIT)


@pytest.fixture
def against_the_limit(race: Race, figure: Figure, limit: Any, letters: int) -> Callable[..., None]:
    """Measures a drain, and the C loop in one of its modes. How fast a machine is counts less
    beside the loop that is bound as a drain is: the floor is for that one."""

    def measure(  # noqa: PLR0913 -- by name
        name: str,
        ours: Any,
        mode: tuple[str, ...],
        order: str,
        *,
        at_least: float,
        floor: float,
    ) -> None:
        contenders = {
            "drain": ours,
            C_LOOP: limit(*mode, letters=letters),
            BOUND_C_LOOP: limit(*mode, letters=letters, config=DlqReplayConfig()),
        }
        seconds = race(contenders, in_order=order == "in order")
        for c_loop, asked in ((C_LOOP, {"at_least": at_least}), (BOUND_C_LOOP, {"floor": floor})):
            figure(
                f"{name}, ids {order}: {c_loop} / drain",
                ratios(seconds[c_loop], seconds["drain"]),
                drain_us=us_a_letter(seconds["drain"], letters),
                C_loop_us=us_a_letter(seconds[c_loop], letters),
                **asked,
            )

    return measure


@IN_ORDER
def test_no_op(against_the_limit: Callable[..., None], order: str) -> None:
    ours = drains.ours(drains.do_nothing)
    against_the_limit("no-op handler", ours, ("call",), order, at_least=0.9, floor=0.45)


def test_batch(against_the_limit: Callable[..., None]) -> None:
    ours = drains.ours(drains.NoOpBatches())
    against_the_limit("batch handler", ours, ("call",), "in order", at_least=0.95, floor=0.45)


@IN_ORDER
def test_update(against_the_limit: Callable[..., None], order: str) -> None:
    ours, at_least = drains.ours(drains.update), 0.7 if sys.version_info < (3, 12) else 0.6
    against_the_limit("an UPDATE", ours, ("write",), order, at_least=at_least, floor=0.3)


def test_every_letter_fails(
    against_the_limit: Callable[..., None], outages: Mapping[bool, Path], tmp_path: Path
) -> None:
    mode = "fail", traceback_of(outages[True], tmp_path)
    ours = drains.ours_failing()
    against_the_limit("a failure", ours, mode, "in order", at_least=0.35, floor=0.2)


def traceback_of(outage: Path, folder: Path) -> str:
    """What a drain leaves in the history for each letter that fails."""
    path = folder / "one.db"
    path.write_bytes(outage.read_bytes())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM dead_letter_queue WHERE id > 1")
    drains.ours_failing()(path)
    with closing(sqlite3.connect(path)) as connection:
        ((traceback,),) = connection.execute("SELECT traceback FROM azoth_dlq_history")
    return str(traceback)


# Beside the loops that people write


@BY_HAND
def test_fifo_by_hand(race: Race, figure: Figure, letters: int) -> None:
    seconds = race(
        {
            "drain": drains.ours(drains.do_nothing, priority=ReplayPriority.FIFO),
            "by hand": drains.by_hand(drains.SELECT_FIRST, drains.do_nothing),
        }
    )
    figure(
        "FIFO, in order: loop by hand that tests nothing / drain",
        ratios(seconds["by hand"], seconds["drain"]),
        at_least=1.0,
        floor=0.5,
        drain_us=us_a_letter(seconds["drain"], letters),
        by_hand_us=us_a_letter(seconds["by hand"], letters),
    )


@BY_HAND
@pytest.mark.parametrize(
    ("letters_a_commit", "at_least"), [(100, 10), (1, 15)], ids=["a batch", "a letter"]
)
def test_retry_count_by_hand(
    race: Race, figure: Figure, letters: int, letters_a_commit: int, at_least: float
) -> None:
    seconds = race(
        {
            "drain": drains.ours(drains.do_nothing),
            "by hand": drains.by_hand(
                drains.SELECT_DUE, drains.do_nothing, letters_a_commit=letters_a_commit
            ),
        },
        rounds=1,
    )
    each = "a batch" if letters_a_commit > 1 else "a letter"
    figure(
        f"by retry count: loop by hand that tests and orders, COMMIT {each} / drain",
        ratios(seconds["by hand"], seconds["drain"]),
        at_least=at_least,
        floor=2.0,
        drain_us=us_a_letter(seconds["drain"], letters),
        by_hand_us=us_a_letter(seconds["by hand"], letters),
    )


@pytest.mark.benchmark(group=subjects.PLANS)
def test_priorities(race: Race, figure: Figure, letters: int) -> None:
    priorities = {
        "FIFO": ReplayPriority.FIFO,
        "LIFO": ReplayPriority.LIFO,
        "by retry count": ReplayPriority.BY_RETRY_COUNT,
        "by error type": ReplayPriority.by_error_type(["deadlock", "http 503"]),
    }
    seconds = race(
        {
            name: drains.ours(drains.do_nothing, priority=priority)
            for name, priority in priorities.items()
        }
    )
    us = {name: us_a_letter(taken, letters) for name, taken in seconds.items()}
    figure(
        "four priorities: the fastest / the slowest",
        min(us.values()) / max(us.values()),
        at_least=0.6,
        floor=0.3,
        **{f"{name}_us": taken for name, taken in us.items()},
    )
