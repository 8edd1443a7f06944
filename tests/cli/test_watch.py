"""`status --watch`: in place on a terminal, elsewhere a line or a document for each look."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time

import pytest

from azoth_dlq.cli import watch
from azoth_dlq.cli.signals import put_back
from azoth_dlq.errors import StorageError
from tests.cli.conftest import Workplace, error_line

pytest.importorskip("termios", reason="Windows has no pseudo-terminals, and no SIGTERM")

from tests.cli.terminals import terminal
from tests.cli.views import COLOUR, FORGED, check_text_alone, figures

WATCH = ("status", "projection.db", "--watch", "0.2")


@pytest.fixture
def letters(workplace: Workplace) -> Workplace:
    workplace.make(*["ok"] * 30, "fails", error_message="refused")
    workplace.add(failed_at="2999-01-01 00:00:00", error_message="later")
    return workplace


@pytest.mark.parametrize("end", ["q", "\x03", signal.SIGTERM], ids=["q", "Ctrl-C", "SIGTERM"])
def test_a_terminal_shows_what_is_in_the_file(
    letters: Workplace, end: str | signal.Signals
) -> None:
    with terminal() as screen:
        screen.start(letters, *WATCH)
        screen.shows("watching   projection.db", "depth 32", "due now 31", "refused", "q ends")
        screen.until(lambda: figures(screen.text)["empty in"] == "?")
        letters.park()
        letters.execute("DELETE FROM dead_letter_queue WHERE id <= 20")
        screen.shows("depth 12", "due now 11", "parked 1 (+1)", "shrinks by ")
        screen.until(lambda: re.search(r"shrinks by [\d.]+/s", screen.text))
        assert re.search(r"empty in \d+ s", screen.text)
        assert screen.text.count("watching") == 1
        if isinstance(end, str):
            screen.type(end)
        else:
            assert screen.process is not None
            screen.process.send_signal(end)
        assert screen.end() == 0
        assert "depth 12" in screen.text
        assert screen.echoes
        assert screen.is_cursor_seen


def first_lines(workplace: Workplace, *arguments: str, lines: int = 3) -> list[str]:
    """What a look each prints, until it is ended."""
    with workplace.start(*arguments) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert stderr == ""
    return seen


def test_elsewhere_each_look_is_a_line(letters: Workplace) -> None:
    lines = first_lines(letters, *WATCH)
    form = (
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+00:00: depth 32, due now 31, "
        r"next due in \d+ d( \d+ (h|min|s))?, "
        r"shrinks by \S+, empty in \?, parked 0 \(\+0\), stopped no, not due 1, in the future 1; "
        r"most failed with \(31\) refused\n"
    )
    assert all(re.fullmatch(form, line) for line in lines), lines


def test_with_json_each_look_is_a_document_in_a_line(letters: Workplace) -> None:
    documents = [json.loads(line) for line in first_lines(letters, *WATCH, "--json")]
    alone = json.loads(letters.run("status", "projection.db", "--json").stdout)
    assert all(document.keys() == alone.keys() for document in documents)
    assert {document["dead_letters"] for document in documents} == {32}
    assert len({document["at"] for document in documents}) == 3


def test_each_look_is_over_the_time_that_is_given(letters: Workplace) -> None:
    arguments = ("status", "projection.db", "--json", "--over", "36h")
    (line,) = first_lines(letters, *arguments, "--watch", "60", lines=1)
    watched, alone = json.loads(line), json.loads(letters.run(*arguments).stdout)
    assert watched["failures"]["bucket_seconds"] == alone["failures"]["bucket_seconds"] == 7200


@pytest.mark.parametrize("how", ["--no-live", "TERM"])
def test_lines_are_printed_where_nothing_can_be_drawn(letters: Workplace, how: str) -> None:
    more = (how,) if how != "TERM" else ()
    if how == "TERM":
        letters.environment["TERM"] = "dumb"
    with terminal(200, 24) as screen:
        screen.start(letters, *WATCH, *more)
        screen.until(lambda: screen.text.count("depth 32, due now 31") >= 2)
        screen.type("\x03")
        assert screen.end() == 0
        assert "\x1b" not in screen.raw


@pytest.mark.parametrize(("columns", "lines"), [(60, 10), (100, 24), (200, 50)])
def test_it_fits_terminals_of_any_size(letters: Workplace, columns: int, lines: int) -> None:
    letters.environment["NO_COLOR"] = "1"
    letters.add(error_message=FORGED)
    with terminal(columns, lines) as screen:
        screen.start(letters, "status", "projection.db", "--watch", "60")
        screen.shows("watching   projection.db", "depth 33")
        assert all(len(line) <= columns for line in screen.lines)
        assert len(screen.lines) < lines
        screen.resize(70, 6)
        screen.until(lambda: 0 < len(screen.lines) <= 5)
        screen.shows("watching   projection.db")
        assert screen.text.count("watching") == 1
        check_text_alone(screen.raw)
        assert not COLOUR.search(screen.raw)
        screen.type("q")
        assert screen.end() == 0


def test_a_file_that_goes_away_ends_it(letters: Workplace) -> None:
    with terminal() as screen:
        screen.start(letters, *WATCH)
        screen.shows("depth 32")
        letters.database.unlink()
        assert screen.end() == 1
        assert "there is no file" in screen.text
        assert screen.echoes


def test_what_waiting_mends_is_shown_and_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    looks = iter([None, StorageError("it is locked", transient=True), None, KeyboardInterrupt()])
    shown: list[object] = []

    def look() -> object:
        error = next(looks)
        if error is not None:
            raise error
        return "seen"

    class Shower(watch.Printed):
        def show(self, seen: object) -> None:
            shown.append(seen)

        def rest(self, seconds: float) -> bool:
            assert seconds == 5
            return False

    with put_back():
        watch.watch(look, Shower(str), 5)  # type: ignore[arg-type]  # as much of one as it takes
    assert shown == ["seen", "seen"]
    assert capsys.readouterr().err == "azoth-dlq: it is locked\n"


def test_it_looks_a_tenth_of_the_time_at_most() -> None:
    rests: list[float] = []

    def look() -> str:
        time.sleep(0.1)
        return "seen"

    class Shower(watch.Printed):
        def show(self, seen: object) -> None: ...

        def rest(self, seconds: float) -> bool:
            rests.append(seconds)
            return len(rests) == 3

    with put_back():
        watch.watch(look, Shower(str), 0.2)  # type: ignore[arg-type]  # as much of one as it takes
    assert len(rests) == 3
    assert min(rests) >= 0.9


@pytest.mark.parametrize("given", ["0", "0.05", "soon"])
def test_how_often_is_checked(letters: Workplace, given: str) -> None:
    done = letters.run("status", "projection.db", "--watch", given)
    assert "--watch" in error_line(done, 2)


def test_a_file_that_is_not_there_is_an_error(workplace: Workplace) -> None:
    assert "no file" in error_line(workplace.run(*WATCH), 1)


def test_a_reader_that_goes_away_ends_it(letters: Workplace) -> None:
    with letters.start(*WATCH, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        ended = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < ended:
            time.sleep(0.05)
        assert process.poll() is not None


def test_a_drain_beside_it_is_seen(letters: Workplace) -> None:
    with letters.start(*WATCH, "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["dead_letters"] == 32
        letters.drain()
        left = 32
        ends_at = time.monotonic() + 30
        while left > 2 and time.monotonic() < ends_at:
            left = json.loads(process.stdout.readline())["dead_letters"]
        assert left == 2
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize("option", ["--prometheus", "--exit-code"])
def test_what_is_of_one_look_is_refused(workplace: Workplace, option: str) -> None:
    workplace.make("ok")
    done = workplace.run(*WATCH, option)
    assert "--watch goes on; --prometheus and --exit-code are of one look" in error_line(done, 2)
