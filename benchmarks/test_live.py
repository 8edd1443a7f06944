"""What the live view takes of a drain's time."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    ReplayReport,
)
from azoth_dlq.cli import live
from azoth_dlq.cli.figures import Figures
from azoth_dlq.cli.progress import Progress
from benchmarks import subjects
from benchmarks.conftest import Figure

pytestmark = pytest.mark.benchmark(group=subjects.LIVE)

DRAWINGS = 20


def test_live(
    benchmark: Any, figure: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor's time of a drawing with ten errors, of the time between two."""
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    terminal, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm-256color")
    shares: list[float] = []
    progress = Progress()
    progress(
        ReplayReport(
            started_at=datetime.now(UTC),
            succeeded=123_456,
            failed=789,
            remaining=76_544,
            errors=tuple((f"ConnectionError: host {n} refuses", 79) for n in range(10)),
        )
    )
    with os.fdopen(theirs, "w") as stderr, DeadLetterQueue.open(tmp_path / "letters.db") as queue:
        monkeypatch.setattr("sys.stderr", stderr)
        config = DlqReplayConfig(rate_limit=50)
        figures = Figures(DlqReplayer(queue, EventHandlerRegistry(), config), progress)
        view = live.LiveView(figures, lambda: None, database="letters.db", keep=True)

        def draw() -> None:
            for _ in range(DRAWINGS):
                began = time.thread_time()
                figures.note()
                view.draw()
                shares.append((time.thread_time() - began) / live.SECONDS)
                os.read(terminal, 65536)

        benchmark.pedantic(draw, rounds=9, warmup_rounds=1)
        monkeypatch.undo()
    os.close(terminal)
    figure("time of a drawing / time between two", shares[DRAWINGS:], at_most=0.01)
