"""The progress bar: on a terminal, and only there."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from azoth_dlq import ReplayReport
from azoth_dlq.cli.progress import Progress
from tests.cli.conftest import Workplace

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")

UNHURRIED = """
import time
@registry.handler("unhurried")
def unhurried(conn, event_id, payload):
    time.sleep(0.02)
"""


def read_all(terminal: int) -> str:
    shown = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux tells so that the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    return shown.decode()


def drain_on_terminal(
    workplace: Workplace, *arguments: str, handlers: str = "handlers:registry"
) -> tuple[str, str]:
    """What a drain prints on stdout, and on a terminal that is its stderr."""
    terminal, stderr = pty.openpty()
    arguments = ("drain", "projection.db", "--handlers", handlers, *arguments)
    workplace.environment["TERM"] = "xterm"
    with workplace.start(*arguments, stderr=stderr) as process:
        os.close(stderr)
        shown = read_all(terminal)
        assert process.stdout is not None
        stdout = process.stdout.read()
    assert process.returncode == 0
    return stdout, shown


def test_a_terminal_shows_how_far_the_drain_is(workplace: Workplace) -> None:
    workplace.add_handler(UNHURRIED)
    workplace.make(*["unhurried"] * 48, "fails")
    workplace.add(failed_at="unreadable")
    workplace.add(failed_at="9999-01-01 00:00:00")
    stdout, shown = drain_on_terminal(workplace, "--json")
    assert json.loads(stdout)["succeeded"] == 48
    done = [int(number) for number in re.findall(r"(\d+)/50", shown)]
    assert done == sorted(done)
    assert done[-1] == 50
    assert len(set(done)) > 2
    assert "1 failed" in shown


def report(**counts: Any) -> ReplayReport:
    return ReplayReport(started_at=datetime(2026, 1, 1, tzinfo=UTC), **counts)


def shown_of(monkeypatch: pytest.MonkeyPatch, *reports: ReplayReport) -> list[tuple[int, int]]:
    """What the bar shows on a terminal, as letters that are done of those that are known."""
    terminal, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        with Progress() as progress:
            for one in reports:
                progress(one)
        monkeypatch.undo()
    found = re.findall(r"(\d+)/(\d+)", read_all(terminal))
    return [(int(done), int(known)) for done, known in found]


def test_a_letter_whose_call_is_under_way_takes_the_bar_not_beyond_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports = [report(remaining=2), report(succeeded=2), report(succeeded=3)]
    assert shown_of(monkeypatch, *reports) == [(0, 2), (2, 2), (3, 3)]


def test_the_bar_ends_at_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = [report(remaining=4), report(succeeded=1, remaining=2)]
    assert shown_of(monkeypatch, *reports) == [(0, 4), (1, 4), (1, 3)]


def test_nothing_to_drain_shows_no_bar(workplace: Workplace) -> None:
    workplace.make()
    _, shown = drain_on_terminal(workplace)
    assert shown == ""


def test_the_log_takes_the_place_of_the_bar(workplace: Workplace) -> None:
    workplace.make("fails")
    _, shown = drain_on_terminal(workplace, "-v")
    assert "event 7 failed" in shown
    assert "%" not in shown


def test_elsewhere_there_is_no_progress(workplace: Workplace) -> None:
    workplace.make("ok", "fails")
    assert workplace.drain().stderr == ""
