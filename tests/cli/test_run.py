"""`run`: what it replays, what it tells meanwhile, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from typing import Any

import pytest

from azoth_dlq import ReplayReport
from tests.cli.conftest import INTERRUPTED, Workplace, error_line, until

signals = pytest.mark.skipif(os.name == "nt", reason="Windows delivers no SIGTERM to handlers")
RUN = ("run", "projection.db", "--handlers", "handlers:registry")
TIMED = r"azoth-dlq: 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \+00:00: "
SOON = ("--check-interval", "0.2")


class Runner:
    """A run in another process, whose stderr is read while it lasts."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self._log = workplace.folder / "stderr.txt"

    def start(self, *arguments: str) -> None:
        environment = {**self.workplace.environment, "PYTHONFAULTHANDLER": "1"}
        with self._log.open("w") as stderr:
            self.process = self.workplace.start(*RUN, *arguments, stderr=stderr, env=environment)

    def told(self) -> list[str]:
        return self._log.read_text().splitlines()

    def wait_for(self, text: str, times: int = 1) -> None:
        until(lambda: self._log.read_text().count(text) >= times, self.process)

    def wait_until_empty(self) -> None:
        until(lambda: not self.workplace.count("dead_letter_queue"), self.process)

    def end(self, number: signal.Signals = signal.SIGTERM) -> str:
        """End it by a signal; what stands on stdout."""
        self.process.send_signal(number)
        try:
            stdout, _ = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # it tells where each thread is
            self.process.communicate()
            pytest.fail("\n".join(["it did not end, but was here:", *self.told()]))
        assert self.process.returncode == 0, self.told()
        return stdout

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.end())
        return report


@pytest.fixture
def runner(workplace: Workplace) -> Iterator[Runner]:
    if os.name == "nt":
        pytest.skip("Windows delivers no SIGTERM to handlers")
    runner = Runner(workplace)
    yield runner
    runner.process.kill()
    runner.process.communicate()


def test_it_replays_what_is_due_and_what_comes_later(runner: Runner) -> None:
    runner.workplace.make("ok", "ok")
    runner.start("--json", *SOON)
    runner.wait_until_empty()
    runner.workplace.add()
    runner.wait_until_empty()
    report = runner.report()
    assert set(report) == {"attempted", *(field.name for field in fields(ReplayReport))}
    counts = ("attempted", "succeeded", "failed", "remaining", "stopped")
    assert [report[name] for name in counts] == [3, 3, 0, 0, "shutdown"]
    assert runner.workplace.count("effects") == 3


def test_it_tells_what_it_does_and_each_drain_that_did_something(runner: Runner) -> None:
    runner.workplace.make("ok", "fails")
    runner.start(*SOON, "--json")
    runner.wait_for("2 attempted (1 succeeded, 1 failed)")
    runner.workplace.add()
    runner.wait_for("1 attempted (1 succeeded)")
    time.sleep(0.5)  # for looks that find nothing
    runner.end()
    first, *drains, last = runner.told()
    replaying = "replaying projection.db by handlers:registry, looking at least every 0.2 s"
    assert re.fullmatch(TIMED + re.escape(replaying), first)
    assert len(drains) == 2
    assert all(re.match(TIMED, line) for line in drains)
    assert re.match(TIMED + r"run ended: 3 attempted \(2 succeeded, 1 failed\)", last)


def test_single_failures_are_told_on_demand(runner: Runner) -> None:
    runner.workplace.make("fails")
    runner.start("-v")
    runner.wait_for("ValueError: event 7 failed")
    runner.wait_for("1 attempted (1 failed)")
    runner.end()


def test_the_printed_report_is_of_the_whole_run(runner: Runner) -> None:
    runner.workplace.make("ok", "fails")
    runner.workplace.add(retry_count=5)
    runner.start(*SOON)
    runner.wait_for("2 attempted")
    runner.workplace.add()
    runner.wait_for("1 attempted")
    printed = runner.end(signal.SIGINT)
    assert re.match(r"Ran on projection\.db for \d+ s\n\n  attempted  3\n  succeeded  2\n", printed)
    assert "  waiting    ?   letters that are not due yet: " in printed
    assert "1 already exhausted" in printed
    assert "Ended by a signal" not in printed
    assert "wait for their next attempt" not in printed
    assert re.findall(r"^  azoth-dlq ([a-z]+)", printed, re.MULTILINE) == [
        "status",
        "list",
        "show",
        "list",
        "requeue",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_sleep_at_once(runner: Runner, number: signal.Signals) -> None:
    runner.workplace.make("ok")
    runner.start("--check-interval", "1000", "--json")
    runner.wait_for("1 attempted")
    time.sleep(1.5)  # it looks once more a second after letters were attempted
    began = time.monotonic()
    assert json.loads(runner.end(number))["succeeded"] == 1
    assert time.monotonic() - began < 5


@signals
def test_the_first_signal_lets_the_letter_in_hand_finish(workplace: Workplace) -> None:
    workplace.make("ok", "slow:1", "ok")
    with workplace.start_slow("run") as process:
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert re.search(
        r"^  remaining +1   due, but not attempted: the drain ended before$", stdout, re.MULTILINE
    )
    assert "Ended by a signal, or by q: what was not attempted stays as it was." in stdout
    assert workplace.count("effects") == 2


@signals
@pytest.mark.parametrize(("second", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_interrupts_the_handler_and_keeps_what_was_done(
    workplace: Workplace, second: signal.Signals, code: int
) -> None:
    workplace.make("ok", "slow:60", "ok")
    with workplace.start_slow("run", "--json") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)  # two signals of one number that come at once are one
        process.send_signal(second)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    ending = "azoth-dlq: ending after the call in hand; Ctrl-C again interrupts it"
    assert ending in stderr.splitlines()
    assert stderr.splitlines()[-1] == INTERRUPTED
    assert json.loads(stdout)["succeeded"] == 1
    assert workplace.count("effects") == 1
    assert workplace.execute("SELECT retry_count FROM dead_letter_queue") == [(0,), (0,)]


@pytest.mark.parametrize("given", [["--no-enabled"], ["--config", "off.toml"]])
def test_where_it_is_not_enabled_it_ends_at_once_and_says_so(
    workplace: Workplace, given: list[str]
) -> None:
    workplace.make("ok")
    (workplace.folder / "off.toml").write_text("enabled = false")
    done = workplace.run(*RUN, "--json", *given)
    assert done.returncode == 0
    told = "nothing is replayed: enabled is False; enabled=True (--enabled) changes it\n"
    assert done.stderr.endswith(told)
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(done.stdout)["attempted"] == 0
    done = workplace.run(*RUN, *given)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith(told)
    assert workplace.count("dead_letter_queue") == 1


def test_an_option_enables_what_the_file_does_not(runner: Runner) -> None:
    runner.workplace.make("ok")
    (runner.workplace.folder / "off.toml").write_text("enabled = false")
    runner.start("--config", "off.toml", "--enabled")
    runner.wait_until_empty()
    runner.end()


def test_settings_reach_the_run(runner: Runner) -> None:
    runner.workplace.make("fails")
    settings = "max_retries = 2\nmin_age = 0\nbackoff = 'fixed=0'\ncheck_interval = 0.2"
    (runner.workplace.folder / "replay.toml").write_text(settings)
    runner.start("--config", "replay.toml", "--json")
    runner.wait_until_empty()
    report = runner.report()
    assert (report["failed"], report["parked"]) == (2, 1)


# Errors


def test_a_busy_file_is_tried_again_after_the_interval(runner: Runner) -> None:
    runner.workplace.make("ok")
    with closing(sqlite3.connect(runner.workplace.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        runner.start("--busy-timeout", "0.1", "--json", *SOON)
        runner.wait_for("trying again in 0.2 s", times=2)
    runner.wait_until_empty()
    assert "projection.db is locked by another program" in "".join(runner.told())
    assert runner.report()["succeeded"] == 1


def test_what_waiting_does_not_mend_ends_it_with_the_report_so_far(runner: Runner) -> None:
    runner.workplace.make("ok", "ok")
    runner.workplace.execute("PRAGMA journal_mode=DELETE")
    runner.start("--json", *SOON)
    runner.wait_until_empty()
    # In place: emptied first, the file would be an empty database for a moment.
    with runner.workplace.database.open("r+b", buffering=0) as file:
        file.write(b"no database any more\n" * 1000)
    stdout, _ = runner.process.communicate(timeout=30)
    assert runner.process.returncode == 1
    assert json.loads(stdout)["succeeded"] == 2
    assert re.search(r"projection\.db is (damaged|not an SQLite database)", runner.told()[-1])


def test_a_handler_that_ends_the_run_loses_nothing(workplace: Workplace) -> None:
    workplace.make("ok", "ends")
    workplace.add_handler("@registry.handler('ends')\ndef ends(*_):\n    raise SystemExit(0)\n")
    done = workplace.run(*RUN, "--json")
    assert done.returncode == 1
    assert "a handler raised SystemExit: 0, which ended the work" in done.stderr
    assert json.loads(done.stdout)["succeeded"] == 1
    assert workplace.count("dead_letter_queue") == 1


@pytest.mark.parametrize("database", ["none.db", "other.db"])
def test_where_nothing_can_be_replayed_one_line_says_so(
    workplace: Workplace, database: str
) -> None:
    with closing(sqlite3.connect(workplace.folder / "other.db")) as connection:
        connection.execute("CREATE TABLE other (x)")
    done = workplace.run("run", database, "--handlers", "handlers:registry", "--json")
    line = error_line(done, 1)
    assert database in line
    assert "check the path" in line


def test_handlers_that_cannot_be_imported_are_told(workplace: Workplace) -> None:
    workplace.make("ok")
    done = workplace.run("run", "projection.db", "--handlers", "handlers:zzz")
    assert "did you mean registry?" in error_line(done, 2)


def test_what_handlers_print_stays_out_of_the_document(runner: Runner) -> None:
    runner.workplace.make("prints")
    runner.workplace.add_handler("registry.register('prints', lambda *_: print('called'))\n")
    runner.start("--json")
    runner.wait_until_empty()
    assert runner.report()["succeeded"] == 1
    assert "called" in runner.told()
