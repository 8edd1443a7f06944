"""Each kernel beside a plain Python loop that does the same."""

import functools
import random
import re
import time
from array import array
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from azoth_dlq.event_type import shown_event_type
from azoth_dlq.kernels import backoff, eligibility, order, templates
from benchmarks import subjects
from benchmarks.conftest import Figure

LETTERS = 100_000
NOW = datetime(2026, 11, 24, 3, 46, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
RULES = eligibility.Rules(
    now=(NOW - EPOCH) // MICROSECOND,
    max_retries=5,
    min_age=5_000_000,
    kind=backoff.EXPONENTIAL,
    initial=10_000_000,
    maximum=3_600_000_000,
)
TEXTS = ["deadlock", "timeout", "HTTP 503"]

FLOOR = 2  # times as fast as plain Python, with --quick
# Nanoseconds a row that are aimed at.
OVER_ROWS = 90
OVER_BUFFERS = 4
A_DELAY = 2
A_TIMESTAMP = 25
A_LETTER_GROUPED = 1000
pytestmark = pytest.mark.benchmark(group=subjects.KERNELS)

Row = tuple[int, int, str, str | None, None, str]
Beside = Callable[..., None]


@pytest.fixture
def beside(benchmark: Any, figure: Figure, request: pytest.FixtureRequest) -> Beside:
    """Measures a kernel and a plain loop over LETTERS letters."""

    def measure(
        name: str,
        kernel: Callable[[], object],
        plain: Callable[[], object],
        goal: float | None = None,
    ) -> None:
        def plain_once() -> float:
            start = time.perf_counter()
            plain()
            return time.perf_counter() - start

        is_quick = request.config.getoption("--quick")
        plain_time = min(plain_once() for _ in range(1 if is_quick else 3))
        benchmark.pedantic(kernel, rounds=15, warmup_rounds=1)
        times_as_fast = plain_time / benchmark.stats["min"]
        figure(
            f"{name}, ns",
            benchmark.stats["min"] / LETTERS * 1e9,
            at_most=goal,
            plain_Python_ns=plain_time / LETTERS * 1e9,
            times_as_fast=times_as_fast,
        )
        if is_quick:
            assert times_as_fast >= FLOOR

    return measure


@functools.cache
def make_rows(*, in_order: bool) -> list[Row]:
    chance = random.Random(1)
    rows: list[Row] = []
    for place in range(LETTERS):
        age = (LETTERS - place) // 3 + 60 if in_order else chance.randrange(60, 10**6)
        failed_at = NOW - timedelta(seconds=age)
        retried = chance.random() < 0.1
        last_retry_at = failed_at.isoformat(timespec="microseconds") if retried else None
        error = f"connection refused by 10.0.0.{place % 255}: {chance.choice(TEXTS)} downstream"
        failed_text = failed_at.strftime("%Y-%m-%d %H:%M:%S")
        rows.append((place + 1, int(retried), failed_text, last_retry_at, None, error))
    return rows


def plain_instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def plain_delay(attempt: int) -> int:
    return min(RULES.initial << attempt, RULES.maximum)


def plain_select(rows: list[Row], rank: Callable[[Row], int], sign: int = 1) -> list[int]:
    due = []
    for row in rows:
        failed_at = plain_instant(row[2])
        base = plain_instant(row[3]) if row[3] else failed_at
        wait = max(RULES.min_age, plain_delay(row[1]))
        if row[1] < RULES.max_retries and NOW - base >= wait * MICROSECOND:
            due.append((rank(row), sign * failed_at.timestamp(), row[0]))
    due.sort()
    return [letter_id for _, _, letter_id in due]


def plain_rank(row: Row) -> int:
    folded = row[5].lower()
    for place, text in enumerate(TEXTS):
        if text.lower() in folded:
            return place
    return len(TEXTS)


RANKS: dict[str, tuple[Any, Callable[[Row], int], bool]] = {
    "fifo": (None, lambda _: 0, False),
    "lifo": (None, lambda _: 0, True),
    "retry_count": ("retry_count", lambda row: row[1], False),
    "error_types": (order.ErrorTypes(TEXTS), plain_rank, False),
}


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("ordered", ["in order", "shuffled"])
def test_select(beside: Beside, ordered: str, rank: str) -> None:
    rows = make_rows(in_order=ordered == "in order")
    kernel_rank, plain_key, descending = RANKS[rank]
    sign = -1 if descending else 1
    selection = eligibility.select(rows, RULES, rank=kernel_rank, descending=descending)
    assert selection.ids() == plain_select(rows, plain_key, sign)
    beside(
        f"select: {rank.replace('_', ' ')}, rows {ordered}",
        lambda: eligibility.select(rows, RULES, rank=kernel_rank, descending=descending),
        lambda: plain_select(rows, plain_key, sign),
        None if rank == "error_types" else OVER_ROWS,
    )


def test_due(beside: Beside) -> None:
    chance = random.Random(1)
    retry_count = array("q", (chance.randrange(7) for _ in range(LETTERS)))
    failed_at = array("q", (RULES.now - chance.randrange(10**9) for _ in range(LETTERS)))
    out = array("q", bytes(8 * LETTERS))

    def plain() -> list[int]:
        return [
            place
            for place, (count, failed) in enumerate(zip(retry_count, failed_at, strict=True))
            if count < RULES.max_retries
            and RULES.now - failed >= max(RULES.min_age, plain_delay(count))
        ]

    def kernel() -> int:
        return eligibility.due(RULES, retry_count=retry_count, failed_at=failed_at, out=out)[0]

    assert out[: kernel()].tolist() == plain()
    beside("due: over buffers", kernel, plain, OVER_BUFFERS)


def test_delays(beside: Beside) -> None:
    attempts = array("q", (place % 100 for place in range(LETTERS)))
    out = array("q", bytes(8 * LETTERS))

    def plain() -> list[int]:
        return [plain_delay(attempt) for attempt in attempts]

    def kernel() -> None:
        backoff.delays(RULES.kind, RULES.initial, RULES.maximum, attempts, out)

    kernel()
    assert out.tolist() == plain()
    beside("delays: backoff over a buffer", kernel, plain, A_DELAY)


def test_argsort(beside: Beside) -> None:
    chance = random.Random(1)
    instants = array("q", (chance.getrandbits(50) for _ in range(LETTERS)))
    ids = array("q", range(LETTERS))
    out = array("q", bytes(8 * LETTERS))

    def plain() -> list[int]:
        return sorted(ids, key=lambda place: (instants[place], place))

    order.argsort(instants, ids, out=out)
    assert out.tolist() == plain()
    beside("argsort", lambda: order.argsort(instants, ids, out=out), plain)


def test_parse_timestamp(beside: Beside) -> None:
    texts = [row[2] for row in make_rows(in_order=True)]
    beside(
        "parse_timestamp: a call from Python for each",
        lambda: [eligibility.parse_timestamp(text) for text in texts],
        lambda: [(plain_instant(text) - EPOCH) // MICROSECOND for text in texts],
    )


def test_parse_within_select(benchmark: Any, figure: Figure) -> None:
    """What a selection takes longer for rows that have one more timestamp."""
    rows = make_rows(in_order=True)
    once: list[Row] = [(*row[:3], None, *row[4:]) for row in rows]
    twice: list[Row] = [(*row[:3], row[2], *row[4:]) for row in rows]

    def seconds(rows: list[Row]) -> float:
        start = time.perf_counter()
        eligibility.select(rows, RULES)
        return time.perf_counter() - start

    def both() -> tuple[float, float]:
        return seconds(twice), seconds(once)

    assert eligibility.select(twice, RULES).ids() == eligibility.select(once, RULES).ids()
    measured = [both() for _ in range(15)]
    benchmark.pedantic(eligibility.select, (twice, RULES), rounds=5)
    with_parse, without = (min(times) for times in zip(*measured, strict=True))
    figure(
        "timestamp parse, within select, ns",
        (with_parse - without) / LETTERS * 1e9,
        at_most=A_TIMESTAMP,
        select_ns=without / LETTERS * 1e9,
    )


def test_ranks(beside: Beside) -> None:
    rows = make_rows(in_order=True)
    messages = [row[5] for row in rows]
    types = order.ErrorTypes(TEXTS)
    assert types.ranks(messages) == [plain_rank(row) for row in rows]
    beside(
        "ranks of error texts",
        lambda: types.ranks(messages),
        lambda: [plain_rank(row) for row in rows],
    )


# The commonest rules alone.
MASKS = re.compile(
    r"'[^']*'|\"[^\"]*\"|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|0x[0-9a-f]+|\d+(?:\.\d+)?(?:ms|s)?"
)


def test_tally(beside: Beside) -> None:
    texts = [
        f"connection to 10.0.0.{place % 255}:5432 timed out after {place} ms ({TEXTS[place % 3]})"
        for place in range(LETTERS)
    ]
    rows = [
        (place, text.encode(), "2026-11-24 03:45:00", place % 4, b"deposit:%d" % place)
        for place, text in enumerate(texts)
    ]

    def plain() -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        seen: dict[str, tuple[datetime, datetime]] = {}
        by_count: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        by_type: dict[str, dict[bytes, int]] = defaultdict(lambda: defaultdict(int))
        for _, text, failed_at, retry_count, event in rows:
            key = MASKS.sub("<*>", text.decode())
            counts[key] += 1
            moment = plain_instant(failed_at)
            first, last = seen.get(key, (moment, moment))
            seen[key] = min(first, moment), max(last, moment)
            by_count[key][retry_count] += 1
            by_type[key][event.partition(b":")[0]] += 1
        return counts

    groups, letters, other = templates.tally(rows, shown_event_type)
    assert (letters, other) == (LETTERS, 0)
    assert sorted(group.count for group in groups) == sorted(plain().values())
    beside(
        "tally: letters grouped by their errors",
        lambda: templates.tally(rows, shown_event_type),
        plain,
        A_LETTER_GROUPED,
    )
