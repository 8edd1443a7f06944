"""What importing costs a program that has `sqlite3` already."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
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


def test_import(benchmark: Any, figure: Figure, tmp_path: Path) -> None:
    """With the bytecode at hand, as pip leaves it: the first round writes it."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    ms: dict[str, list[float]] = {what: [] for what in (PACKAGE, QUEUE, NAMES, PYTHON)}

    def once() -> None:
        for what, measured in ms.items():
            command = [sys.executable, "-c", PROGRAM.format(what)]
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env=environment
            )
            measured.append(float(done.stdout) * 1000)

    benchmark.pedantic(once, rounds=9, warmup_rounds=1)
    figure("import azoth_dlq, ms", ms[PACKAGE][1:], at_most=15)
    for what, most in ((QUEUE, 1.25), (NAMES, 2.75)):
        ratio = ratios(ms[what][1:], ms[PYTHON][1:])
        of_both = {"own_ms": median(ms[what][1:]), "python_ms": median(ms[PYTHON][1:])}
        figure(f"{what} / {PYTHON}", ratio, at_most=most, **of_both)
