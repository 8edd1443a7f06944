"""What `import azoth_dlq` costs a program that has `sqlite3` already."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

from benchmarks.conftest import Figure

IMPORT = """
import sqlite3, time
start = time.perf_counter()
import azoth_dlq
print(time.perf_counter() - start)
"""


def test_import(benchmark: Any, figure: Figure) -> None:
    seconds: list[float] = []

    def once() -> None:
        done = subprocess.run(
            [sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True
        )
        seconds.append(float(done.stdout))

    benchmark.pedantic(once, rounds=9, warmup_rounds=1)
    figure("import azoth_dlq, ms", statistics.median(seconds) * 1000, at_most=15)
