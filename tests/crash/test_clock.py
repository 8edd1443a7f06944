"""The wall clock of real processes jumps by hours and by fifty years, or stands still.

What they ask for the time is answered by a shim; the monotonic clock stays true.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.attacks import Attack
from tests.cli.conftest import Workplace
from tests.cli.test_progress import drain_on_terminal
from tests.crash.clocked import Account
from tests.crash.clocks import WallClock
from tests.crash.processes import ROOT, DlqFile, Program

JUMP = "jump of the clock"
PATIENCE = 15.0
CHECK_INTERVAL = 0.2
FIFTY_YEARS = 50 * 365 * 24  # hours
HOURS = (-FIFTY_YEARS, -24, -1, 1, 24, FIFTY_YEARS)
MOST_SECONDS = 60.0  # of what takes one or two
AT_ONCE: dict[str, Any] = {
    "min_age": 0,
    "backoff": "fixed=0",
    "stop_on_consecutive_failures": "never",
}
BEFORE_1970 = datetime(1969, 12, 31, 23, 59, 59, 900_000, tzinfo=UTC)
IN_2076 = datetime(2076, 11, 24, tzinfo=UTC)


@pytest.fixture
def wall(tmp_path: Path, shim: Path) -> WallClock:
    return WallClock(tmp_path / "clock", shim)


@pytest.fixture
def clocked(tmp_path: Path, wall: WallClock) -> Iterator[DlqFile]:
    """Its programs go by that clock."""
    file = DlqFile.make(tmp_path / "projection.db", "wal")
    file.environment = wall.environment
    yield file
    for program in file.programs:
        program.kill()


def _start(file: DlqFile, *, runs: bool, **settings: Any) -> Program:
    order = {"runs": runs, "settings": {**AT_ONCE, **settings}}
    program = file.run("clocked", json.dumps(order))
    program.wait_for("replaying")
    return program


def _account(program: Program) -> Account:
    (words,) = program.last_words()
    account = Account(**words)
    # Lengths are those of the clock that nobody turns, and add up.
    assert 0 <= account.report["duration"] <= account.seconds < MOST_SECONDS
    phases = account.metrics["phase_seconds"]
    assert all(seconds >= 0 for seconds in phases.values())
    assert sum(phases.values()) <= account.seconds
    for calls in account.metrics["handler_seconds"].values():
        assert 0 <= calls["sum"] <= account.seconds
    assert account.metrics["lag"] >= 0
    return account


def _run(file: DlqFile, **settings: Any) -> Program:
    return _start(file, runs=True, check_interval=CHECK_INTERVAL, **settings)


def _end(program: Program) -> Account:
    """Of a run, which must have rested after each look."""
    program.interrupt(signal.SIGTERM)
    account = _account(program)
    assert account.report["stopped"] == "shutdown"
    assert account.looks <= account.seconds / CHECK_INTERVAL + 3
    return account


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _add_now(file: DlqFile, wall: WallClock, event: str = "turns:") -> int:
    """As another program whose clock it is, too."""
    [letter] = file.add(event)
    statement = "UPDATE dead_letter_queue SET failed_at = ? WHERE id = ?"
    file.query(statement, f"{wall.now():%Y-%m-%d %H:%M:%S}", letter)
    return letter


# While it drains


def _courses() -> dict[str, Iterator[int]]:
    """Where clocks go, in hours from the true time, letter by letter."""
    return {
        "forth": itertools.count(1),
        "back": itertools.count(-1, -1),
        "to and fro": itertools.cycle([FIFTY_YEARS, -1, 24, -FIFTY_YEARS, -24, 1]),
    }


@pytest.mark.parametrize("course", list(_courses()))
def test_groups_and_pauses_are_as_long_as_ever_where_each_call_turns_the_clock(
    clocked: DlqFile, attack: Attack, course: str
) -> None:
    hours = _courses()[course]
    size = attack.size(600, long=10_000)
    good = clocked.add(*(f"turns:{next(hours)}" for _ in range(size - 2)))
    bad = clocked.add(*(f"fails:{next(hours)}" for _ in range(2)))
    attack.struck(JUMP, size)
    account = _account(_start(clocked, runs=False, max_transaction_time=0.1))
    report = account.report
    assert (report["succeeded"], report["failed"]) == (len(good), len(bad))
    assert (clocked.effects(), clocked.left()) == (good, bad)
    # By a clock that goes forth each group would end after a letter, by one that goes back never.
    assert 3 <= account.commits <= 2 * account.seconds / 0.1
    assert 0.01 < account.metrics["phase_seconds"]["yield"] < account.seconds / 2
    for (duration,) in clocked.query("SELECT duration FROM azoth_dlq_history"):
        assert 0 <= duration < MOST_SECONDS * 1_000_000


def test_calls_outside_are_done_once_where_each_turns_the_clock(
    clocked: DlqFile, attack: Attack
) -> None:
    hours = _courses()["to and fro"]
    size = attack.size(30, long=3000)
    clocked.add(*(f"outside:{next(hours)}" for _ in range(size)))
    attack.struck(JUMP, size)
    account = _account(_start(clocked, runs=False))
    assert account.report["succeeded"] == size
    assert clocked.left() == []
    assert clocked.query("SELECT count(*) FROM azoth_dlq_claims") == [(0,)]


# While a run rests


@pytest.mark.parametrize("start", [None, BEFORE_1970], ids=["now", "1969"])
def test_a_run_whose_clock_jumps_replays_what_comes_and_neither_stalls_nor_spins(
    clocked: DlqFile, wall: WallClock, attack: Attack, start: datetime | None
) -> None:
    start = start or wall.now()
    program = _run(clocked)
    letters = []
    for _ in range(attack.size(6, long=100)):
        time.sleep(random.uniform(0, 0.3))
        wall.set(start + timedelta(hours=random.choice(HOURS)))
        attack.struck(JUMP)
        letters.append(_add_now(clocked, wall))
        _until(lambda: not clocked.left())
    account = _end(program)
    assert account.report["succeeded"] == len(letters)
    clocked.assert_whole(letters)


@pytest.mark.parametrize(
    ("hours", "start"), [(1, BEFORE_1970), (24, None), (FIFTY_YEARS, BEFORE_1970)]
)
def test_letters_ahead_of_the_clock_wait_until_it_is_there_again(
    clocked: DlqFile, wall: WallClock, attack: Attack, hours: int, start: datetime | None
) -> None:
    wall.set(start or wall.now())
    attempted = _add_now(clocked, wall, "fails:")
    program = _run(clocked, backoff="fixed=30m")
    wall.turn(hours=hours)
    _until(clocked.charges)
    ahead = _add_now(clocked, wall)
    for back_or_forth in (-hours, hours):
        wall.turn(hours=back_or_forth)
        time.sleep(3 * CHECK_INTERVAL)
        assert (clocked.charges(), clocked.left()) == ({attempted: 1}, [attempted, ahead])
    wall.turn(hours=0.6)
    _until(lambda: clocked.charges() == {attempted: 2} and clocked.left() == [attempted])
    attack.struck(JUMP, 4)
    _end(program)


def test_a_wait_that_a_jump_has_ended_is_noticed_within_check_interval(
    clocked: DlqFile, wall: WallClock, attack: Attack
) -> None:
    letter = _add_now(clocked, wall)
    program = _run(clocked, min_age=7200)
    for _ in range(2):
        time.sleep(2 * CHECK_INTERVAL)
        assert clocked.left() == [letter]
        wall.turn(hours=1)
        attack.struck(JUMP)
    began = time.monotonic()
    _until(lambda: not clocked.left())
    assert time.monotonic() - began < CHECK_INTERVAL + 5
    _end(program)


# A clock that stands still


def test_under_a_clock_that_stands_a_drain_ends_and_a_run_rests(
    clocked: DlqFile, wall: WallClock
) -> None:
    wall.stop(wall.now())
    good = clocked.add(*["turns:"] * 50)
    bad = clocked.add("fails:", "snoozes:600")
    assert _account(_start(clocked, runs=False, backoff="fixed=1")).report["attempted"] == 0
    wall.turn(seconds=2)
    account = _account(_start(clocked, runs=False, backoff="fixed=1"))
    assert (account.report["attempted"], account.report["snoozed"]) == (52, 1)
    program = _run(clocked, backoff="fixed=1")
    time.sleep(5 * CHECK_INTERVAL)
    assert (clocked.effects(), clocked.charges()) == (good, {bad[0]: 1})
    wall.turn(seconds=2)
    _until(lambda: clocked.charges() == {bad[0]: 2})
    _end(program)


# The command line


@pytest.fixture
def timeless(tmp_path: Path, wall: WallClock) -> Workplace:
    """One whose processes go by that clock."""
    workplace = Workplace(tmp_path)
    workplace.environment |= wall.environment
    return workplace


def _told(workplace: Workplace, *arguments: str) -> dict[str, Any]:
    """What a command says as a document; it says it to people, too."""
    people, programs = workplace.run(*arguments), workplace.run(*arguments, "--json")
    for done in (people, programs):
        assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(programs.stdout)
    return told


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S.%f}Z"


@pytest.mark.parametrize(
    ("start", "hours"),
    [(BEFORE_1970, 1), (IN_2076, -FIFTY_YEARS)],
    ids=str,
)
def test_every_figure_of_the_commands_is_sane_where_the_clock_has_jumped(
    timeless: Workplace, wall: WallClock, attack: Attack, start: datetime, hours: int
) -> None:
    wall.stop(start)
    timeless.make("ok", "fails", failed_at=_text(start))
    settings = ("--min-age", "0", "--backoff", "fixed=0", "--max-retries", "2")
    report = timeless.report(*settings)
    assert (report["started_at"], report["succeeded"], report["failed"]) == (_text(start), 1, 1)
    wall.turn(hours=hours)
    attack.struck(JUMP)
    passed = max(hours, 0) * 3600.0
    status = _told(timeless, "status", "projection.db")
    assert (status["at"], status["oldest_age"]) == (_text(wall.now()), passed)
    assert (status["due"], status["not_due"], status["ahead"]) == (
        (1, 0, 0) if hours > 0 else (0, 1, 1)
    )
    [letter] = _told(timeless, "list", "projection.db")["letters"]
    assert (letter["age"], letter["last_retry_at"]) == (passed, _text(start))
    [attempt] = _told(timeless, "show", "projection.db", "2")["history"]
    assert attempt["at"] == _text(start)
    assert 0 <= attempt["duration"] < MOST_SECONDS
    report = timeless.report(*settings)
    due = None if hours > 0 else _text(start)
    assert (report["attempted"], report["next_due"]) == (int(hours > 0), due)
    if hours < 0:
        timeless.report(*settings, "--now")
    [parked] = _told(timeless, "list", "projection.db", "--parked")["letters"]
    assert (parked["marked_permanent_at"], parked["last_retry_at"]) == (
        f"{wall.now():%Y-%m-%d %H:%M:%S}",
        _text(wall.now()),
    )
    assert timeless.run("requeue", "projection.db", "1", "--yes").returncode == 0
    assert _told(timeless, "status", "projection.db")["dead_letters"] == 1


def test_the_view_tells_how_long_it_will_take_by_true_lengths(
    timeless: Workplace, attack: Attack
) -> None:
    timeless.make(*["turns:"] * 400, f"turns:{FIFTY_YEARS}", *["turns:"] * 800)
    timeless.environment["PYTHONPATH"] = str(ROOT)
    attack.struck(JUMP)
    settings = ("--max-transaction-time", "0.2", "--yield-time", "0")
    _, shown = drain_on_terminal(timeless, *settings, handlers="tests.crash.clocked:registry")
    told = re.findall(r"empty in (\d+ \w+(?: \d+ \w+)?)", re.sub(r"\x1b\[[\d;]*m", "", shown))
    assert told, shown
    assert all(re.fullmatch(r"\d+ s", text) for text in told), told


def test_trials_all_do_the_same_work_where_a_handler_turns_the_clock_back(
    timeless: Workplace, attack: Attack
) -> None:
    timeless.make("turns:", f"turns:{-FIFTY_YEARS}")
    timeless.environment["PYTHONPATH"] = str(ROOT)
    arguments = ("tune", "projection.db", "--handlers", "tests.crash.clocked:registry")
    done = timeless.run(*arguments, "--budget", "10", "--json")
    assert done.returncode == 0, done.stderr
    attack.struck(JUMP)
    # Each call takes two milliseconds.
    assert json.loads(done.stdout)["us_a_letter_by_phase"]["handlers"] >= 2000


def test_the_demo_runs_at_any_time(timeless: Workplace, wall: WallClock) -> None:
    wall.set(BEFORE_1970)
    done = timeless.run("demo")
    assert done.returncode == 0, done.stderr
