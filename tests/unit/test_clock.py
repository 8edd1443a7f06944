"""Where the package reads which clock."""

from __future__ import annotations

import re
from pathlib import Path

import azoth_dlq

PACKAGE = Path(azoth_dlq.__file__).parent
READS_WALL_CLOCK = re.compile(
    r"\btime_ns\b|\btime\.time\(|\butcnow\(|datetime\.now\(|\btoday\("
    r"|^\s*import time\b|\bfrom time import\b.*\btime\b|\blibc\.time\b|\bclock_gettime\b",
    re.MULTILINE,
)
# The default clock; what is shown to people beside it; letters of an outage an hour ago.
SHOW_OR_MAKE = {"clock.py", "cli/report.py", "demo.py"}


def test_lengths_come_from_no_clock_that_can_be_set() -> None:
    sources = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd")]
    reading = {
        source.relative_to(PACKAGE).as_posix()
        for source in sources
        if READS_WALL_CLOCK.search(source.read_text(encoding="utf-8"))
    }
    assert reading == SHOW_OR_MAKE
