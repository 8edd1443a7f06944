"""What importing costs a program that has `sqlite3` already."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

import pytest

from benchmarks import subjects
from benchmarks.conftest import Figure, ratios

pytestmark = pytest.mark.benchmark(group=subjects.IMPORT)

PROGRAM = """
import sqlite3, time
start = time.perf_counter()
{}
print(time.perf_counter() - start)
"""
PACKAGE = "import azoth_dlq"
QUEUE = "from azoth_dlq import DeadLetterQueue"
NAMES = "from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer, EventHandlerRegistry"
# Of Python's own what the names above cannot do without.
PYTHON = "import dataclasses, logging, typing"


def test_import(benchmark: Any, figure: Figure) -> None:
    seconds: dict[str, list[float]] = {what: [] for what in (PACKAGE, QUEUE, NAMES, PYTHON)}

    def once() -> None:
        for what, measured in seconds.items():
            command = [sys.executable, "-c", PROGRAM.format(what)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            measured.append(float(done.stdout))

    benchmark.pedantic(once, rounds=9, warmup_rounds=1)
    ms = {what: statistics.median(measured) * 1000 for what, measured in seconds.items()}
    figure("import azoth_dlq, ms", ms[PACKAGE], at_most=15)
    for what, most in ((QUEUE, 1.25), (NAMES, 2.75)):
        ratio = ratios(seconds[what], seconds[PYTHON])
        figure(f"{what} / {PYTHON}", ratio, at_most=most, ms=ms[what], python_ms=ms[PYTHON])
