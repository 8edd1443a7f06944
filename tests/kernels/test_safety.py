"""What callers never see: memory given back on every way out, threads, signals."""

import gc
import signal
import sys
import threading
import tracemalloc
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from typing import Any

import pytest

from azoth_dlq.event_type import shown_event_type
from azoth_dlq.kernels import backoff, eligibility, order, templates
from tests.kernels.buffers import int64, zeros

CALLS = 600
STAMP = "2026-11-24 03:45:00"
ROW = (1, 0, STAMP, None)
RULES = eligibility.Rules(
    now=eligibility.parse_timestamp("2026-11-24 03:46:00"),
    max_retries=3,
    min_age=0,
    kind=backoff.FIXED,
    initial=0,
    maximum=0,
)


def refused_select() -> None:
    rows: Iterator[Any] = chain(repeat(ROW, 2000), repeat((1, 9, STAMP, None), 2000), [()])
    with pytest.raises(ValueError, match="row 4000 has 0 columns"):
        eligibility.select(rows, RULES)


def refused_unchanged() -> None:
    selection = eligibility.select([ROW], RULES)
    with pytest.raises(ValueError, match="letter 1 is not at"):
        selection.unchanged([ROW] * 2, 0, 1)


def refused_tally() -> None:
    rows: Iterator[Any] = chain(repeat((1, "boom 1", STAMP, 0, b"ok:"), 200), [()])
    with pytest.raises(TypeError, match="row 200 must be a tuple"):
        templates.tally(rows, shown_event_type)


def refused_error_types() -> None:
    with pytest.raises(ValueError, match="error type 500"):
        order.ErrorTypes([*[f"text {place}" for place in range(500)], "%"])


def refused_buffers() -> None:
    with pytest.raises(TypeError, match="out must be"):
        order.argsort(zeros(1000), zeros(1000), out=array("d", [0.0]))


def finished_calls() -> None:
    selection = eligibility.select([ROW] * 500, RULES, rank="retry_count")
    assert len(selection.ids()) == len(selection.unchanged([ROW] * 500, 0, None)) == 500
    order.ErrorTypes(["timeout"] * 100).rank("é timeout")
    order.argsort(zeros(1000), zeros(1000), out=zeros(1000))
    words = [
        (n, f"only {chr(97 + n % 26)} {chr(65 + n // 26)}", STAMP, n, b"ok:") for n in range(99)
    ]
    groups, letters, other = templates.tally(words, shown_event_type, most=10)
    assert sum(group.count for group in groups) + other == letters
    assert templates.template("\ud800 5" + "x" * 9999)


@pytest.mark.parametrize(
    "call",
    [
        refused_select,
        refused_unchanged,
        refused_tally,
        refused_error_types,
        refused_buffers,
        finished_calls,
    ],
)
def test_memory_is_given_back(call: Callable[[], None]) -> None:
    def traced_after(calls: int) -> int:
        for _ in range(calls):
            call()
        gc.collect()  # exceptions caught hold their frames in cycles
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = traced_after(5)
        # One leaked buffer a call would be 16 kB at least, one leaked object 16 bytes. What is no
        # leak: free-threaded CPython takes pages of 4 kB to note what it frees later.
        assert traced_after(CALLS) - first < 16 * CALLS
    finally:
        tracemalloc.stop()


def test_references_are_neither_kept_nor_lost() -> None:
    rows = [(2**40 + place, 0, str(bytearray(STAMP, "ascii"), "ascii"), None) for place in range(9)]
    values = [value for row in rows for value in row[::2]]
    before = [sys.getrefcount(value) for value in values + rows]
    selection = eligibility.select(rows, RULES)
    assert len(selection.unchanged(rows, 0, None)) == 9
    with pytest.raises(TypeError):
        eligibility.select([*rows, None], RULES)  # type: ignore[list-item]  # the error under test
    errors = [(row[0], row[2], row[2], row[0], None) for row in rows]
    assert len(templates.tally(errors, shown_event_type)[0]) == 1
    del errors
    assert [sys.getrefcount(value) for value in values + rows] == before


def test_a_growing_selection_stays_below_32_bytes_a_letter() -> None:
    letters = 200_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        selection = eligibility.select(repeat(ROW, letters), RULES)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(selection) == letters
    assert held - before < 24 * letters + 10_000
    assert peak - before < 32 * letters


def test_threads_may_call_at_once() -> None:
    letters = 5000
    instants = int64((place * 7919) % letters for place in range(letters))
    ids = int64(range(letters))
    rows = [(place, 0, STAMP, None, None, f"timeout {place % 7}") for place in range(letters)]
    types = order.ErrorTypes([f"timeout {place}" for place in range(7)])
    errors = [(place, f"timeout {place}", STAMP, 0, b"ok:1") for place in range(letters)]
    start = threading.Barrier(4)

    def work(_: int) -> tuple[list[int], list[int], list[int], int, int]:
        start.wait()
        out, delays = zeros(letters), zeros(letters)
        for _ in range(5):
            order.argsort(instants, ids, out=out)
            backoff.delays(backoff.FIBONACCI, 1, 10**9, ids, delays)
            selection = eligibility.select(rows, RULES, rank=types)
            due = eligibility.due(RULES, retry_count=ids, failed_at=ids, out=zeros(letters))
            (group,) = templates.tally(errors, shown_event_type)[0]
        return list(out), list(delays), selection.ids(), due[0], group.event_types["ok"]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    expected_places = sorted(range(letters), key=lambda place: (instants[place], place))
    assert results[0][0] == expected_places
    assert results[0][2] == sorted(range(letters), key=lambda place: (place % 7, place))
    assert results.count(results[0]) == 4


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no interval timers")
def test_a_signal_ends_a_long_scan() -> None:
    class RangError(Exception):
        pass

    def ring(_: int, __: object) -> None:
        raise RangError

    held = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(RangError):
            eligibility.select(repeat((1, 9, STAMP, None)), RULES)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(RangError):
            templates.tally(repeat((1, "boom", STAMP, 0, None)), shown_event_type)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, held)
