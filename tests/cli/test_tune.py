"""`azoth-dlq tune`: trials on copies, what they tell, and that the file itself is left alone."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
import tomllib
from contextlib import closing

import pytest

from azoth_dlq import DlqReplayConfig
from tests.cli.conftest import Workplace, error_line, until
from tests.cli.tuning import ENOUGH, findings, leftovers, tune

EXTERNAL = """
import pathlib
@registry.handler("mail", transactional=False)
def mail(conn, event_id, payload):
    with pathlib.Path("sent").open("a") as sent:
        sent.write("x")
"""
MOVING = "import os\nregistry.register('moves', lambda *_: os.chdir('/'))\n"
# Its child goes on where the trial was.
FORKING = "import os\nregistry.register('forks', lambda *_: os.fork() or None)\n"
CLOSING = "import sys\nregistry.register('closes', lambda *_: sys.stdout.close())\n"
# An error that comes up in its last moment is dropped by Python.
LINGERING = """
import pathlib, time
class Lingering:
    def __del__(self):
        pathlib.Path("began").touch()
        for _ in range(600):  # one sleep would not end where the signal comes just before it
            time.sleep(0.1)
@registry.handler("lingers")
def lingers(conn, event_id, payload):
    Lingering()
"""
ROUTED = """
from azoth_dlq import EventHandlerRegistry
registry = EventHandlerRegistry(route=lambda event: ("any", event))
registry.register("any", lambda conn, event_id, payload: None, transactional=False)
"""
UNROUTED = ROUTED.replace('route=lambda event: ("any", event)', "")


# What it tells


def test_it_tells_of_trials_in_turn(workplace: Workplace) -> None:
    workplace.make(*["ok"] * 50)
    told = findings(workplace, "--budget", ENOUGH)
    assert (told["due"], told["attempted"], told["failed"]) == (50, 50, 0)
    assert told["rounds"] >= 3
    names = {one["name"].partition(" = ")[0] for one in told["compared"]}
    assert {"max_transaction_time", "mmap_size", "synchronous"} <= names
    assert all(len(one["ratios"]) == told["rounds"] for one in told["compared"])
    assert all(one["us_a_letter"] > 0 for one in told["compared"])
    phases = told["us_a_letter_by_phase"]
    assert {"handlers", "fetch", "write", "commit", "plan", "checkpoint"} < set(phases)
    assert all(us > 0 for us in phases.values())
    assert all(one["risk"] for one in told["compared"] if one["pragmas"])
    assert not {"synchronous", "journal_mode"} & set(told["chosen"])


def test_it_tells_people_where_the_copies_lie_and_where_the_time_goes(workplace: Workplace) -> None:
    workplace.make(*["ok"] * 50)
    done = tune(workplace, "--budget", ENOUGH)
    assert done.returncode == 0
    told, _, rest = done.stderr.partition("\n")
    assert told.startswith("azoth-dlq: 2 copies of projection.db, 0.")
    assert f"lie in {workplace.folder / 'azoth-dlq-tune-'}" in told
    assert rest == ""
    assert "50 letters due" in done.stdout
    assert "handlers" in done.stdout
    assert "max_transaction_time = 1.0" in done.stdout
    assert "a loss of power may destroy the file" in done.stdout
    assert 'a program sets it by queue.connection.execute("PRAGMA synchronous = …")' in done.stdout


def test_slow_handlers_are_called_no_longer_than_the_budget(workplace: Workplace) -> None:
    workplace.add_handler("import time\nregistry.register('waits', lambda *_: time.sleep(0.02))\n")
    workplace.make(*["waits"] * 2000)
    began = time.monotonic()
    told = findings(workplace, "--budget", "15", "--max-transaction-time", "0.1")
    assert time.monotonic() - began < 22
    assert told["due"] == 2000
    assert told["attempted"] < 200
    assert told["us_a_letter_by_phase"]["handlers"] > 18_000


def test_a_bad_setting_is_found_out(workplace: Workplace) -> None:
    """A commit a letter is slower than any other."""
    workplace.make(*["ok"] * 300)
    given = ("--max-transaction-time", "0.000001", "--batch-size", "5", "--write", "found.toml")
    told = findings(workplace, "--budget", "14", *given)
    assert told["chosen"]["max_transaction_time"] > 0.01
    assert told["verified"]["is_better"]
    found = tomllib.loads((workplace.folder / "found.toml").read_text(encoding="utf-8"))
    config = DlqReplayConfig.from_mapping(found)
    assert config.max_transaction_time.total_seconds() == told["chosen"]["max_transaction_time"]
    assert config.batch_size == told["chosen_for_cycles"].get("batch_size", 5)
    assert workplace.drain("--config", "found.toml").returncode == 0
    assert workplace.count("effects") == 300


def test_what_is_not_better_is_not_written(workplace: Workplace) -> None:
    workplace.add_handler("import time\nregistry.register('waits', lambda *_: time.sleep(0.05))\n")
    workplace.make(*["waits"] * 5)
    done = tune(workplace, "--budget", "15", "--write", "found.toml", "--batch-size", "1000")
    assert done.returncode == 0
    assert "No setting without a risk is better than those given, within the noise." in done.stdout
    assert "found.toml was not written" in done.stderr
    assert not (workplace.folder / "found.toml").exists()


def test_settings_are_written_wherever_handlers_go_and_whoever_reads_the_table(
    workplace: Workplace,
) -> None:
    workplace.add_handler(MOVING)
    workplace.make(*["moves"] * 300)
    ours, theirs = os.pipe()
    os.close(ours)
    given = ("--max-transaction-time", "0.000001", "--budget", "14", "--write", "found.toml")
    done = tune(workplace, *given, stdout=theirs)
    os.close(theirs)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("azoth-dlq: settings written to found.toml")
    found = tomllib.loads((workplace.folder / "found.toml").read_text(encoding="utf-8"))
    # What is chosen is written, where it is not the default.
    assert found.get("max_transaction_time", 0.25) > 0.01


# What it leaves alone


def test_the_file_itself_is_only_read(workplace: Workplace) -> None:
    workplace.make(*["ok"] * 20, "fails")
    before = workplace.database.read_bytes()
    assert tune(workplace, "--budget", ENOUGH).returncode == 0
    assert workplace.database.read_bytes() == before
    assert workplace.count("effects") == 0
    assert leftovers(workplace) == []


def test_what_is_in_the_log_alone_is_copied_too(workplace: Workplace) -> None:
    workplace.make()
    with closing(sqlite3.connect(workplace.database)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        workplace.make(*["ok"] * 7)
        assert findings(workplace, "--budget", ENOUGH)["due"] == 7


def test_copies_lie_where_they_are_wanted(workplace: Workplace) -> None:
    workplace.make(*["ok"] * 5)
    (workplace.folder / "elsewhere").mkdir()
    done = tune(workplace, "--budget", ENOUGH, "--copies-in", "elsewhere")
    assert done.returncode == 0
    assert f"{os.sep}elsewhere{os.sep}azoth-dlq-tune-" in done.stderr
    assert list((workplace.folder / "elsewhere").iterdir()) == []


def test_copies_are_removed_though_a_handler_changes_the_directory(workplace: Workplace) -> None:
    workplace.add_handler(MOVING)
    workplace.make(*["moves"] * 5)
    (workplace.folder / "elsewhere").mkdir()
    done = tune(workplace, "--budget", ENOUGH, "--copies-in", "elsewhere")
    assert list((workplace.folder / "elsewhere").iterdir()) == []
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_a_handler_forked_removes_no_copies(workplace: Workplace) -> None:
    workplace.add_handler(FORKING)
    workplace.make("forks", *["ok"] * 20)
    done = tune(workplace, "--budget", ENOUGH, stdin=subprocess.DEVNULL)  # its children, too, end
    assert done.returncode == 0, done.stderr
    assert "No such file" not in done.stderr
    assert leftovers(workplace) == []


def test_findings_are_printed_though_a_handler_closes_stdout(workplace: Workplace) -> None:
    workplace.add_handler(CLOSING)
    workplace.make(*["closes"] * 5)
    assert findings(workplace, "--budget", ENOUGH)["due"] == 5


@pytest.mark.skipif(os.name == "nt", reason="Windows delivers no SIGTERM to handlers")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_the_copies_are_removed(
    workplace: Workplace, number: signal.Signals, code: int
) -> None:
    workplace.make("slow:60")
    with workplace.start_slow("tune") as process:
        assert len(leftovers(workplace)) == 1
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (code, "")
    assert stderr.splitlines()[-1] == "azoth-dlq: interrupted; the copies are removed"
    assert leftovers(workplace) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows delivers no SIGTERM to handlers")
def test_a_signal_that_python_drops_ends_it_too(workplace: Workplace) -> None:
    workplace.add_handler(LINGERING)
    workplace.make("lingers")
    given = ("tune", "projection.db", "--handlers", "handlers:registry")
    with workplace.start(*given) as process:
        until((workplace.folder / "began").exists, process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "azoth-dlq: interrupted; the copies are removed"
    assert leftovers(workplace) == []


# Handlers that reach other systems


def test_handlers_outside_the_transaction_are_not_called(workplace: Workplace) -> None:
    workplace.add_handler(EXTERNAL)
    workplace.make(*["ok"] * 5, *["mail"] * 3)
    done = tune(workplace, "--budget", ENOUGH, "--json")
    assert json.loads(done.stdout)["due"] == 5
    assert "3 letters of type 'mail' left out" in done.stderr
    assert not (workplace.folder / "sent").exists()
    workplace.execute("DELETE FROM dead_letter_queue WHERE CAST(event_bytes AS TEXT) LIKE 'mail%'")
    assert "left out" not in tune(workplace, "--budget", ENOUGH).stderr


def test_handlers_outside_the_transaction_are_called_on_demand(workplace: Workplace) -> None:
    workplace.add_handler(EXTERNAL)
    workplace.make(*["ok"] * 5, *["mail"] * 3)
    assert findings(workplace, "--budget", "20", "--call-external")["due"] == 8
    assert len((workplace.folder / "sent").read_text()) >= 3 * 3


@pytest.mark.parametrize("module", [ROUTED, UNROUTED])
def test_where_there_is_no_other_handler_it_asks(workplace: Workplace, module: str) -> None:
    workplace.module("handlers", module)
    workplace.make("ok")
    line = error_line(tune(workplace), 2)
    assert "--call-external calls them" in line


# What it shows


def test_what_handlers_print_goes_to_stderr(workplace: Workplace) -> None:
    workplace.add_handler("@registry.handler('prints')\ndef prints(*_):\n    print('printed')\n")
    workplace.make("prints")
    done = tune(workplace, "--budget", ENOUGH, "--json")
    assert json.loads(done.stdout)["due"] == 1
    assert "printed" in done.stderr


def test_a_bar_is_shown_on_a_terminal(workplace: Workplace) -> None:
    pty = pytest.importorskip("pty")
    workplace.make(*["ok"] * 5)
    ours, theirs = pty.openpty()
    given = ("tune", "projection.db", "--handlers", "handlers:registry", "--budget", ENOUGH)
    with workplace.start(*given, stderr=theirs) as process:
        os.close(theirs)
        process.communicate(timeout=60)
    shown = os.read(ours, 1_000_000).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "trying" in shown
    # The first trial alone is planned at first: its end is not that of all.
    second = next(frame for frame in shown.split("\r") if " 2/" in frame)
    assert "-]" in second, second
