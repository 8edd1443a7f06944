"""Keys of the live view: they pause and end a drain, and leave the terminal as it was."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing
from functools import partial

import pytest

from tests.cli.conftest import Workplace

pytest.importorskip("termios", reason="Windows has no pseudo-terminals")

from tests.cli.terminals import Terminal
from tests.cli.views import DRAIN, HANDLERS, NEVER, RUN


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


def test_a_paused_drain_ends_at_once(thousand: Workplace, screen: Terminal) -> None:
    screen.start(thousand, *DRAIN, *NEVER)
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


def test_it_can_be_stopped_and_continued_as_any_job(thousand: Workplace, screen: Terminal) -> None:
    screen.start(thousand, *DRAIN, *NEVER, "--rate", "100/s", as_job=True)
    screen.shows("draining   projection.db")
    assert not screen.echoes
    for key in "pq":
        before = len(screen.raw)
        screen.type("\x1a")
        screen.until(partial(shown_since, screen, before, "(stopped)"))
        assert screen.echoes
        assert screen.is_cursor_seen
        left = thousand.count("dead_letter_queue")
        time.sleep(0.3)
        assert thousand.count("dead_letter_queue") == left
        screen.resume_job()
        screen.until(lambda: not screen.echoes)
        if key == "p":
            screen.until(partial(has_fewer_than, thousand, left))
            screen.shows("draining   projection.db")
        screen.type(key)
        screen.shows("paused" if key == "p" else "Ended by a signal")
    assert screen.end() == 0
    assert screen.echoes


def shown_since(screen: Terminal, start: int, text: str) -> bool:
    return text in screen.raw[start:]


def has_fewer_than(workplace: Workplace, letters: int) -> bool:
    return workplace.count("dead_letter_queue") < letters


def test_in_the_background_it_draws_and_reads_nothing(
    thousand: Workplace, screen: Terminal
) -> None:
    screen.start(thousand, *DRAIN, *NEVER, "--rate", "100/s", as_job=True)
    screen.shows("draining   projection.db")
    screen.type("\x1a")
    screen.shows("(stopped)")
    screen.resume_job(behind=True)
    left = thousand.count("dead_letter_queue")
    screen.until(lambda: thousand.count("dead_letter_queue") < left)
    before = len(screen.raw)
    screen.read(1.5)
    assert screen.raw[before:].strip("\x1b[?25h") == ""
    assert screen.echoes
    screen.resume_job()
    screen.until(lambda: "draining" in screen.raw[before:])
    screen.type("q")
    assert screen.end() == 0


def test_a_paused_run_is_seen_to_be(thousand: Workplace, screen: Terminal) -> None:
    screen.start(thousand, *RUN, *NEVER, "--concurrency", "4")
    screen.shows("draining   projection.db")
    screen.type("p")
    screen.shows("paused")
    left = thousand.count("dead_letter_queue")
    time.sleep(0.3)
    assert thousand.count("dead_letter_queue") == left
    screen.type("p")
    screen.until(lambda: thousand.count("dead_letter_queue") < left)
    screen.type("q")
    assert screen.end() == 0


def test_without_a_terminal_to_read_it_is_shown_all_the_same(
    thousand: Workplace, screen: Terminal
) -> None:
    screen.start(thousand, *DRAIN, *NEVER, stdin=subprocess.DEVNULL)
    screen.shows("draining   projection.db")
    assert screen.echoes
    screen.type("\x03")
    assert screen.end() == 0
