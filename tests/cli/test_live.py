"""The live view of drains and runs, on real terminals."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Workplace

pytest.importorskip("termios", reason="Windows has no pseudo-terminals")

from tests.cli.terminals import Terminal, terminal

HANDLERS = """
import pathlib, time
@registry.handler("calls", transactional=False)
def calls(conn, event_id, payload):
    time.sleep(0.02)
    if event_id % 5 == 0:
        raise ConnectionError(f"refused by db{event_id % 2}")

@registry.handler("writes")
def writes(conn, event_id, payload):
    time.sleep(0.02)
    conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

@registry.handler("waits", transactional=False)
def waits(conn, event_id, payload):
    until = time.monotonic() + 30
    while not pathlib.Path("go").exists() and time.monotonic() < until:
        time.sleep(0.01)

@registry.handler("prints")
def prints(conn, event_id, payload):
    time.sleep(0.1)
    print(f"printed of {event_id}", flush=True)
"""
DRAIN = ("drain", "projection.db", "--handlers", "handlers:registry")
RUN = ("run", "projection.db", "--handlers", "handlers:registry")
NEVER = ("--stop-on-consecutive-failures", "never")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|4[0-7]|9[0-7]|[34]8;[\d;]+)(?:;\d+)*m")
# All that is written to draw: modes, where to, what is erased, how it looks.
DRAWING = re.compile(r"\x1b\[\?(?:25|7)[lh]|\x1b\[\d*[AJK]|\x1b\[H\x1b\[2J|\x1b\[[\d;]*m|\r")


@pytest.fixture
def screen() -> Iterator[Terminal]:
    with terminal() as opened:
        yield opened


@pytest.fixture
def letters(workplace: Workplace) -> Workplace:
    """A thousand letters that are called outside, one of five in vain; one that is not due."""
    workplace.add_handler(HANDLERS)
    workplace.make(*["calls"] * 1000)
    workplace.execute("UPDATE dead_letter_queue SET event_id = id")
    workplace.add(failed_at="2999-01-01 00:00:00")
    return workplace


def figures(text: str) -> dict[str, str]:
    """Each by its name."""
    names = (
        *("done", "due now", "succeeded", "failed", "rate", "empty in", "depth", "next due"),
        *("under way", "limit", "not due", "as of", "lost", "parked"),
    )
    found = {}
    for name in names:
        if shown := re.search(rf"(?:^|  ){name} (\S+(?: \S+)*)", text, re.MULTILINE):
            found[name] = shown[1]
    return found


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_it_shows_how_far_a_drain_is(letters: Workplace, screen: Terminal) -> None:
    screen.start(letters, *DRAIN, *NEVER, "--concurrency", "4", "--rate", "150/s")
    screen.shows("draining   projection.db", "q ends   p pauses", "refused by db1", "empty in")
    screen.until(lambda: "rate 1" in screen.text)
    screen.type("p")
    screen.shows("paused   projection.db", "q ends   p resumes", "under way 0 of 4")
    time.sleep(0.5)
    screen.read(1)
    shown = figures(screen.text)
    done, planned = map(number, shown["done"].split("/"))
    left = letters.count("dead_letter_queue")
    failed = letters.execute("SELECT count(*) FROM dead_letter_queue WHERE retry_count > 0")[0][0]
    assert planned == 1000
    assert number(shown["due now"]) == 1000 - done
    assert (number(shown["depth"]), number(shown["failed"])) == (left, failed)
    assert number(shown["succeeded"]) == 1001 - left
    assert done == number(shown["succeeded"]) + failed
    assert (shown["limit"], shown["not due"]) == ("150/s", "1")
    assert shown["next due"].endswith(" d at latest") or "at latest" in shown["next due"]
    (one, other) = re.findall(
        r"^ *(\d+)  ConnectionError: refused by db\d$", screen.text, re.MULTILINE
    )
    assert int(one) + int(other) == failed
    assert (shown["rate"], shown["empty in"]) == ("?", "?")
    screen.type("p")
    screen.shows("draining   projection.db", "p pauses")
    screen.type("q")
    assert screen.end() == 0
    assert "Ended by a signal" in screen.text


def test_the_rate_and_the_time_to_empty_are_those_of_now(
    letters: Workplace, screen: Terminal
) -> None:
    screen.start(letters, *DRAIN, *NEVER, "--concurrency", "4", "--rate", "50/s")
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


def test_a_pause_lets_others_have_the_file_and_loses_nothing(
    workplace: Workplace, screen: Terminal
) -> None:
    workplace.add_handler(HANDLERS)
    workplace.make(*["writes"] * 150)
    screen.start(workplace, *DRAIN)
    screen.shows("draining   projection.db", "p pauses")
    screen.type("p")
    screen.shows("paused")
    before = workplace.count("effects")
    with closing(sqlite3.connect(workplace.database, timeout=0)) as connection, connection:
        connection.execute("CREATE TABLE beside (x)")
    time.sleep(0.5)
    assert workplace.count("effects") == before < 150
    screen.type("P")
    assert screen.end() == 0
    assert workplace.count("effects") == 150
    assert workplace.count("dead_letter_queue") == 0


def ending(letters: int) -> str:
    return f"ending after the {letters} calls in hand; Ctrl-C again interrupts them"


@pytest.mark.parametrize("key", ["q", "\x03"], ids=["q", "Ctrl-C"])
def test_the_first_ends_a_drain_after_the_calls_in_hand(
    workplace: Workplace, screen: Terminal, key: str
) -> None:
    workplace.add_handler(HANDLERS)
    workplace.make(*["waits"] * 20)
    screen.start(workplace, *DRAIN, "--concurrency", "3")
    screen.shows("draining   projection.db", "under way 3 of 3")
    screen.type(key)
    screen.shows(ending(3), "q interrupts")
    assert "p pauses" not in screen.text
    (workplace.folder / "go").touch()
    assert screen.end() == 0
    assert "succeeded   3" in screen.text
    assert workplace.count("dead_letter_queue") == 17
    assert screen.echoes
    assert screen.is_cursor_seen


@pytest.mark.parametrize("key", ["q", "\x03"], ids=["q", "Ctrl-C"])
def test_the_second_cuts_calls_off_and_says_so(
    workplace: Workplace, screen: Terminal, key: str
) -> None:
    workplace.add_handler(HANDLERS)
    workplace.make("ok", *["waits"] * 2)
    screen.start(workplace, *DRAIN)
    screen.shows("draining   projection.db")
    screen.type(key)
    screen.shows("ending after the call in hand; Ctrl-C again interrupts it")
    screen.type(key)
    assert screen.end() == 130
    told = " ".join(screen.lines)
    assert "interrupted; what was done is committed, and letters whose calls were cut off" in told
    assert screen.echoes
    assert screen.is_cursor_seen
    assert workplace.execute("SELECT retry_count FROM dead_letter_queue") == [(0,), (0,)]


def test_a_paused_drain_ends_at_once(letters: Workplace, screen: Terminal) -> None:
    screen.start(letters, *DRAIN, *NEVER)
    screen.shows("draining   projection.db")
    screen.type("p")
    screen.shows("paused")
    began = time.monotonic()
    screen.type("q")
    assert screen.end() == 0
    assert time.monotonic() - began < 3
    assert "Ended by a signal" in screen.text


def test_the_terminal_is_as_it_was_whatever_ends_the_drain(
    workplace: Workplace, screen: Terminal
) -> None:
    workplace.add_handler(
        HANDLERS + '@registry.handler("ends")\ndef ends(*_):\n    raise SystemExit(3)\n'
    )
    workplace.make(*["writes"] * 80, "ends")
    screen.start(workplace, *DRAIN, "--priority", "fifo")
    screen.shows("draining   projection.db")
    assert not screen.echoes
    assert screen.end() == 1
    assert "a handler raised SystemExit" in screen.text
    assert screen.echoes
    assert screen.is_cursor_seen


def test_it_can_be_stopped_and_continued_as_any_job(letters: Workplace, screen: Terminal) -> None:
    screen.start(letters, *DRAIN, *NEVER, "--rate", "100/s", as_job=True)
    screen.shows("draining   projection.db")
    assert not screen.echoes
    for times, key in enumerate("pq", start=1):
        screen.type("\x1a")
        screen.until(lambda times=times: screen.raw.count("(stopped)") == times)
        assert screen.echoes
        assert screen.is_cursor_seen
        left = letters.count("dead_letter_queue")
        time.sleep(0.3)
        assert letters.count("dead_letter_queue") == left
        screen.resume_job()
        screen.until(lambda: not screen.echoes)
        if key == "p":
            screen.until(lambda left=left: letters.count("dead_letter_queue") < left)
            screen.shows("draining   projection.db")
        screen.type(key)
        screen.shows("paused" if key == "p" else "Ended by a signal")
    assert screen.end() == 0
    assert screen.echoes


def test_in_the_background_it_draws_and_reads_nothing(letters: Workplace, screen: Terminal) -> None:
    screen.start(letters, *DRAIN, *NEVER, "--rate", "100/s", as_job=True)
    screen.shows("draining   projection.db")
    screen.type("\x1a")
    screen.shows("(stopped)")
    screen.resume_job(behind=True)
    left = letters.count("dead_letter_queue")
    screen.until(lambda: letters.count("dead_letter_queue") < left)
    before = len(screen.raw)
    screen.read(1.5)
    assert screen.raw[before:].strip("\x1b[?25h") == ""
    assert screen.echoes
    screen.resume_job()
    screen.until(lambda: "draining" in screen.raw[before:])
    screen.type("q")
    assert screen.end() == 0


@pytest.mark.parametrize("columns", [60, 100, 200])
def test_each_width_shows_every_figure(letters: Workplace, columns: int) -> None:
    with terminal(columns, 30) as screen:
        screen.start(letters, *DRAIN, *NEVER, "--concurrency", "4", "--rate", "150/s")
        screen.shows("q ends", "refused by db0", "not due 1")
        screen.until(lambda: len(figures(screen.text)) >= 12)
        assert all(len(line) <= columns for line in screen.lines)
        screen.type("q")
        screen.end()


def test_what_does_not_fit_is_left_out_the_least_important_first(letters: Workplace) -> None:
    with terminal(60, 10) as screen:
        screen.start(letters, *DRAIN, *NEVER, "--concurrency", "4", "--rate", "150/s")
        screen.shows("draining   projection.db", "due now", "succeeded", "failed", "depth")
        screen.until(lambda: len(screen.lines) >= 8)
        assert len(screen.lines) <= 9
        assert "refused" not in screen.text
        screen.resize(60, 4)
        screen.until(lambda: len(screen.lines) <= 3)
        screen.shows("draining   projection.db", "due now")
        screen.type("q")
        assert screen.end() == 0


def test_it_follows_the_terminals_size(letters: Workplace, screen: Terminal) -> None:
    screen.start(letters, *DRAIN, *NEVER, "--concurrency", "4", "--rate", "60/s")
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
    letters: Workplace, screen: Terminal, variable: str | None
) -> None:
    if variable is not None:
        letters.environment[variable] = "1"
    screen.start(letters, *DRAIN, *NEVER)
    screen.shows("draining   projection.db", "failed with")
    screen.type("q")
    assert screen.end() == 0
    assert bool(COLOUR.search(screen.raw)) is (variable is None)


def test_the_report_takes_the_place_of_the_view(letters: Workplace, screen: Terminal) -> None:
    screen.start(letters, *DRAIN, *NEVER)
    screen.shows("draining   projection.db")
    screen.type("q")
    assert screen.end() == 0
    assert "Drained projection.db in" in screen.text
    assert "p pauses" not in screen.text
    assert "under way" not in screen.text


def test_where_the_report_goes_elsewhere_the_last_figures_stay(
    letters: Workplace, screen: Terminal, tmp_path: Path
) -> None:
    with (tmp_path / "report").open("wb") as report:
        screen.start(letters, *DRAIN, *NEVER, "--json", stdout=report)
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


def test_without_a_terminal_to_read_it_is_shown_all_the_same(
    letters: Workplace, screen: Terminal
) -> None:
    screen.start(letters, *DRAIN, *NEVER, stdin=subprocess.DEVNULL)
    screen.shows("draining   projection.db")
    assert screen.echoes
    screen.type("\x03")
    assert screen.end() == 0


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
    screen.shows("succeeded 3")
    lines = screen.lines
    above = [n for n, line in enumerate(lines) if "attempted (" in line]
    (view,) = [n for n, line in enumerate(lines) if line.startswith("nothing is due")]
    assert len(above) == 2
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


def test_a_file_that_others_have_locked_is_seen(letters: Workplace, screen: Terminal) -> None:
    screen.start(letters, *DRAIN, *NEVER, "--rate", "100/s", "--busy-timeout", "20")
    screen.shows("draining   projection.db")
    with closing(sqlite3.connect(letters.database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        screen.shows("waiting for the file, which another program has locked, for 2 s")
        connection.execute("COMMIT")
    screen.shows("draining   projection.db")
    screen.type("q")
    assert screen.end() == 0


def test_a_paused_run_is_seen_to_be(letters: Workplace, screen: Terminal) -> None:
    screen.start(letters, *RUN, *NEVER, "--concurrency", "4")
    screen.shows("draining   projection.db")
    screen.type("p")
    screen.shows("paused")
    left = letters.count("dead_letter_queue")
    time.sleep(0.3)
    assert letters.count("dead_letter_queue") == left
    screen.type("p")
    screen.until(lambda: letters.count("dead_letter_queue") < left)
    screen.type("q")
    assert screen.end() == 0


# Texts that paint

FORGED = (
    "boom\x1b[2J\x1b]0;owned\x07\x9b31m\b\x7f\u202e\u2066\u200b\ufeff [red]text[/red] :smile: "
    "[link=http://x]y[/link] \u6f22\u5b57\r\u2028\x85\n draining"
)


def check_text_alone(raw: str) -> None:
    rest = DRAWING.sub("", raw).replace("\n", "")
    painted = sorted({ascii(c) for c in rest if not c.isprintable()})
    assert not painted, painted


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
        screen.shows("draining   projection.db", r"ValueError: boom\x1b[2J\x1b]0;owned")
        if columns == 200:
            screen.shows("[red]text[/red] :smile: [link=http://x]y[/link] 漢字")
        check_text_alone(screen.raw)
        (line,) = [line for line in screen.lines if "ValueError" in line]
        assert len(line) <= columns
        screen.type("q")
        assert screen.end() == 0
        check_text_alone(screen.raw)
