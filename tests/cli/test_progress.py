"""Progress of drains in plain lines on stderr: off a terminal, and where that is asked for."""

from __future__ import annotations

import json
import os
import re
import time

import pytest

from azoth_dlq.cli import progress
from azoth_dlq.cli.pace import Pace, speed_text
from tests.cli.conftest import Workplace

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")

UNHURRIED = """
import time
@registry.handler("unhurried")
def unhurried(conn, event_id, payload):
    time.sleep(0.05)
    if event_id == 13:
        raise ValueError("unlucky")
"""
FIGURES = re.compile(
    r"azoth-dlq: draining: done (?P<done>\d+)/(?P<planned>\d+), due now (?P<due>\d+), "
    r"succeeded (?P<succeeded>\d+), failed (?P<failed>\d+), rate (?P<rate>[\d.]+)/s, "
    r"empty in \d+ s, depth (?P<depth>\d+), next due \?, as of \d\d:\d\d:\d\d UTC; "
    r"most failed with \(1\) ValueError: unlucky"
)


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
    workplace: Workplace,
    *arguments: str,
    handlers: str = "handlers:registry",
    kind: str = "xterm",
) -> tuple[str, str]:
    """What a drain prints on stdout, and on a terminal of a kind that is its stderr."""
    terminal, stderr = pty.openpty()
    arguments = ("drain", "projection.db", "--handlers", handlers, *arguments)
    workplace.environment["TERM"] = kind
    with workplace.start(*arguments, stderr=stderr) as process:
        os.close(stderr)
        shown = read_all(terminal)
        assert process.stdout is not None
        stdout = process.stdout.read()
    assert process.returncode == 0
    return stdout, shown


def unhurried(workplace: Workplace, letters: int = 90) -> None:
    workplace.add_handler(UNHURRIED)
    workplace.make("unhurried", event_id=13)
    workplace.make(*["unhurried"] * (letters - 1))


def check_figures(stderr: str, report: str) -> None:
    (line,) = stderr.splitlines()
    shown = FIGURES.fullmatch(line)
    assert shown, line
    figures = {name: float(value) for name, value in shown.groupdict().items()}
    assert figures["planned"] == 90
    assert figures["done"] + figures["due"] == 90
    assert figures["done"] == figures["succeeded"] + figures["failed"]
    assert figures["failed"] == 1
    assert figures["depth"] == 90 - figures["succeeded"]
    assert 40 < figures["done"] < 70
    assert 10 < figures["rate"] < 21
    assert json.loads(report)["succeeded"] == 89


def test_off_a_terminal_lines_tell_how_far_a_drain_is(workplace: Workplace) -> None:
    unhurried(workplace)
    done = workplace.drain("--json")
    check_figures(done.stderr, done.stdout)


@pytest.mark.parametrize("how", ["--no-live", "-v", "TERM"])
def test_on_a_terminal_they_do_where_nothing_is_drawn(workplace: Workplace, how: str) -> None:
    unhurried(workplace)
    if how == "TERM":  # as of Emacs's shell
        stdout, shown = drain_on_terminal(workplace, "--json", kind="dumb")
    else:
        stdout, shown = drain_on_terminal(workplace, "--json", how)
    assert "\x1b" not in shown
    lines = [line for line in shown.splitlines() if " +00:00: " not in line]
    check_figures("\n".join(lines), stdout)


def test_what_takes_a_second_is_told_by_its_report_alone(workplace: Workplace) -> None:
    workplace.make("ok", "fails")
    assert workplace.drain().stderr == ""
    assert drain_on_terminal(workplace, "--now")[1].strip("\x1b[?25hJ\r") == ""


def test_a_call_that_goes_on_and_on_is_seen(workplace: Workplace) -> None:
    """The lines do not wait for a commit."""
    workplace.make("slow:5")
    with workplace.start_slow("drain") as process:
        _, stderr = process.communicate(timeout=30)
    assert "azoth-dlq: draining: due now 1, depth 1, as of " in stderr


def test_the_log_takes_the_place_of_the_view(workplace: Workplace) -> None:
    workplace.make("fails")
    _, shown = drain_on_terminal(workplace, "-v")
    assert "event 7 failed" in shown
    assert "\x1b" not in shown


def test_a_run_at_rest_repeats_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(progress, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(progress, "say_at_once", seen.append)

    class AtRest:
        is_busy, done = False, 1

        def note(self) -> None: ...

        def state(self) -> str:
            return "nothing is due"

        def line(self) -> str:
            return f"next due in {time.monotonic()}"

    figures = AtRest()
    with progress.PlainLines(figures):  # type: ignore[arg-type]  # as much of them as it takes
        time.sleep(0.2)
        assert len(seen) == 1
        figures.done = 2
        time.sleep(0.2)
    assert len(seen) == 2


# How fast it goes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("azoth_dlq.cli.pace.monotonic", lambda: now[0])
    return now


def test_the_speed_is_that_of_the_last_half_minute(clock: list[float]) -> None:
    pace = Pace()
    pace.note(0)
    assert pace.a_second is None
    for second in range(1, 101):
        clock[0] = second
        pace.note(second * 10 if second <= 50 else 500 + (second - 50) * 2)
    assert pace.a_second == pytest.approx(2)
    left = pace.time_for(60)
    assert left is not None
    assert left.total_seconds() == pytest.approx(30)


def test_after_a_pause_the_speed_is_told_anew(clock: list[float]) -> None:
    pace = Pace()
    pace.note(0)
    clock[0] = 10
    pace.note(1000)
    pace.begin_anew()
    assert pace.a_second is None
    clock[0] = 1000
    pace.note(1000)
    clock[0] = 1002
    pace.note(1010)
    assert pace.a_second == 5


def test_where_nothing_moves_nobody_knows_how_long_it_takes(clock: list[float]) -> None:
    pace = Pace()
    assert pace.time_for(1) is None
    pace.note(3)
    clock[0] = 5
    pace.note(3)
    assert (pace.a_second, pace.time_for(1)) == (0, None)


def test_speeds_are_short() -> None:
    assert [speed_text(n) for n in (0, 0.25, 9.95, 12.3, 12_345)] == [
        *("0/s", "0.2/s", "9.9/s", "12/s", "12,345/s")
    ]
