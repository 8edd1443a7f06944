"""The live view of drains and runs, on real terminals."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Workplace

pytest.importorskip("termios", reason="Windows has no pseudo-terminals")

from tests.cli.terminals import Terminal, terminal
from tests.cli.views import (
    COLOUR,
    DRAIN,
    FORGED,
    HANDLERS,
    NEVER,
    RUN,
    check_text_alone,
    figures,
    number,
)


def test_it_shows_how_far_a_drain_is(thousand: Workplace, screen: Terminal) -> None:
    screen.start(thousand, *DRAIN, *NEVER, "--concurrency", "4", "--rate", "150/s")
    screen.shows("draining   projection.db", "q ends   p pauses", "refused by db<num>", "empty in")
    screen.until(lambda: "rate 1" in screen.text)
    screen.type("p")
    screen.shows("paused   projection.db", "q ends   p resumes", "under way 0 of 4")
    time.sleep(0.5)
    screen.read(1)
    shown = figures(screen.text)
    done, planned = map(number, shown["done"].split("/"))
    left = thousand.count("dead_letter_queue")
    failed = thousand.execute("SELECT count(*) FROM dead_letter_queue WHERE retry_count > 0")[0][0]
    assert planned == 1000
    assert number(shown["due now"]) == 1000 - done
    assert (number(shown["depth"]), number(shown["failed"])) == (left, failed)
    assert number(shown["succeeded"]) == 1001 - left
    assert done == number(shown["succeeded"]) + failed
    assert (shown["limit"], shown["not due"]) == ("150/s", "1")
    # Failed ones come before the one that lies far ahead.
    assert re.fullmatch(r"in \d+ d( \d+ (h|min|s))? at latest", shown["next due"])
    group = re.compile(r"^ *(\d+)  refused by db<num>$", re.MULTILINE)
    (letters,) = group.findall(screen.text)
    assert int(letters) == failed
    assert (shown["rate"], shown["empty in"]) == ("?", "?")
    screen.type("p")
    screen.shows("draining   projection.db", "p pauses")
    screen.type("q")
    assert screen.end() == 0
    assert "Ended by a signal" in screen.text


def test_the_rate_and_the_time_to_empty_are_those_of_now(
    thousand: Workplace, screen: Terminal
) -> None:
    screen.start(thousand, *DRAIN, *NEVER, "--concurrency", "4", "--rate", "50/s")
    time.sleep(4)
    screen.read(1)
    shown = figures(screen.text)
    rate = float(shown["rate"].removesuffix("/s"))
    assert 35 <= rate <= 55
    left = re.fullmatch(r"(\d+) s", shown["empty in"])
    assert left
    assert int(left[1]) == pytest.approx(number(shown["due now"]) / rate, abs=2)
    screen.type("q")
    assert screen.end() == 0


@pytest.mark.parametrize("columns", [60, 100, 200])
def test_each_width_shows_every_figure(thousand: Workplace, columns: int) -> None:
    with terminal(columns, 30) as screen:
        screen.start(thousand, *DRAIN, *NEVER, "--concurrency", "4", "--rate", "150/s")
        screen.shows("q ends", "refused by db<num>", "not due 1")
        screen.until(lambda: len(figures(screen.text)) >= 12)
        assert all(len(line) <= columns for line in screen.lines)
        screen.type("q")
        screen.end()


def test_what_does_not_fit_is_left_out_the_least_important_first(thousand: Workplace) -> None:
    with terminal(60, 10) as screen:
        screen.start(thousand, *DRAIN, *NEVER, "--concurrency", "4", "--rate", "150/s")
        screen.shows("draining   projection.db", "due now", "succeeded", "failed", "depth")
        screen.until(lambda: len(screen.lines) >= 8)
        assert len(screen.lines) <= 9
        assert "refused" not in screen.text
        screen.resize(60, 4)
        screen.until(lambda: len(screen.lines) <= 3)
        screen.shows("draining   projection.db", "due now")
        screen.type("q")
        assert screen.end() == 0


def test_it_follows_the_terminals_size(thousand: Workplace, screen: Terminal) -> None:
    screen.start(thousand, *DRAIN, *NEVER, "--concurrency", "4", "--rate", "60/s")
    screen.shows("draining   projection.db", "q ends")
    for columns, lines in ((60, 30), (200, 12), (60, 10), (133, 40), (100, 24)):
        screen.resize(columns, lines)
        screen.read(1.2)
        shown = screen.text
        assert shown.count("draining   projection.db") == 1, shown
        assert shown.count("succeeded") == 1, shown
        assert shown.startswith("draining")
    screen.type("q")
    assert screen.end() == 0


@pytest.mark.parametrize("variable", ["NO_COLOR", None])
def test_colours_are_left_out_where_they_are_not_wanted(
    thousand: Workplace, screen: Terminal, variable: str | None
) -> None:
    if variable is not None:
        thousand.environment[variable] = "1"
    screen.start(thousand, *DRAIN, *NEVER)
    screen.shows("draining   projection.db", "failed with")
    screen.type("q")
    assert screen.end() == 0
    assert bool(COLOUR.search(screen.raw)) is (variable is None)


def test_the_report_takes_the_place_of_the_view(thousand: Workplace, screen: Terminal) -> None:
    screen.start(thousand, *DRAIN, *NEVER)
    screen.shows("draining   projection.db")
    screen.type("q")
    assert screen.end() == 0
    assert "Drained projection.db in" in screen.text
    assert "p pauses" not in screen.text
    assert "under way" not in screen.text


def test_where_the_report_goes_elsewhere_the_last_figures_stay(
    thousand: Workplace, screen: Terminal, tmp_path: Path
) -> None:
    with (tmp_path / "report").open("wb") as report:
        screen.start(thousand, *DRAIN, *NEVER, "--json", stdout=report)
        screen.shows("draining   projection.db")
        screen.type("q")
        assert screen.end() == 0
    done = json.loads((tmp_path / "report").read_text())
    shown = figures(screen.text)
    assert number(shown["succeeded"]) == done["succeeded"]
    assert number(shown["failed"]) == done["failed"]
    assert number(shown["due now"]) == done["remaining"]
    assert screen.text.startswith("ending")
    assert screen.is_cursor_seen


def test_what_handlers_print_is_drawn_over(workplace: Workplace, screen: Terminal) -> None:
    workplace.add_handler(HANDLERS)
    workplace.make(*["prints"] * 60)
    screen.start(workplace, *DRAIN)
    screen.shows("draining   projection.db")
    screen.read(2)
    for _ in range(3):
        screen.read(0.6)
        last = screen.lines[-12:]
        assert any(line.startswith("draining   projection.db") for line in last), screen.text
        assert any("succeeded" in line for line in last)
    screen.type("q")
    assert screen.end() == 0


# Runs


def test_a_run_shows_its_log_above(workplace: Workplace, screen: Terminal) -> None:
    workplace.make("ok", "ok", "fails")
    screen.start(workplace, *RUN, "--check-interval", "1")
    screen.shows("nothing is due   projection.db", "succeeded 2", "failed 1", "q ends")
    workplace.add()
    screen.until(lambda: screen.text.count("attempted (") == 2)
    screen.shows("nothing is due   projection.db", "succeeded 3")
    lines = screen.lines
    above = [n for n, line in enumerate(lines) if "attempted (" in line]
    (view,) = [n for n, line in enumerate(lines) if line.startswith("nothing is due")]
    assert max(above) < view
    assert "next due" in figures(screen.text)
    screen.type("q")
    assert screen.end() == 0
    assert "Ran on projection.db" in screen.text
    assert "run ended: 4 attempted (3 succeeded, 1 failed)" in " ".join(screen.lines)


def test_a_run_that_is_stopped_by_failures_says_so(workplace: Workplace, screen: Terminal) -> None:
    workplace.make(*["fails"] * 5)
    screen.start(workplace, *RUN, "--stop-on-consecutive-failures", "2")
    screen.shows("stopped by failures in a row; one letter is tried every 60 s", "failed 2")
    screen.type("q")
    assert screen.end() == 0


def test_a_file_that_others_have_locked_is_seen(thousand: Workplace, screen: Terminal) -> None:
    screen.start(thousand, *DRAIN, *NEVER, "--rate", "100/s", "--busy-timeout", "20")
    screen.shows("draining   projection.db")
    with closing(sqlite3.connect(thousand.database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        screen.shows("waiting for the file, which another program has locked, for 2 s")
        connection.execute("COMMIT")
    screen.shows("draining   projection.db")
    screen.type("q")
    assert screen.end() == 0


# Texts that paint


def paint(workplace: Workplace) -> None:
    workplace.add_handler(
        f"import time\nFORGED = {FORGED!r}\n@registry.handler('paints')\n"
        "def paints(conn, event_id, payload):\n    time.sleep(0.02)\n    raise ValueError(FORGED)\n"
    )
    workplace.make(*["paints"] * 150, error_message=FORGED)


@pytest.mark.parametrize("columns", [60, 200])
def test_texts_reach_the_terminal_as_texts(workplace: Workplace, columns: int) -> None:
    paint(workplace)
    with terminal(columns, 24) as screen:
        screen.start(workplace, *DRAIN, *NEVER)
        screen.shows("draining   projection.db", r"boom\x1b[<num>J\x1b]<num>;owned")
        if columns == 200:
            screen.shows("[red]text")
        check_text_alone(screen.raw)
        (line,) = [line for line in screen.lines if "boom" in line]
        assert len(line) <= columns
        screen.type("q")
        assert screen.end() == 0
        check_text_alone(screen.raw)
