"""`--concurrency`, `--timeout` and `--rate`, and what changes while `run` runs."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.cli.conftest import Workplace, until
from tests.cli.test_run import Runner

# Writes a line for each letter; waits in its call for as many seconds as the payload says.
OUTSIDE = """
import asyncio, os, time

def note(event_id):
    with open("calls.txt", "a") as file:
        file.write(f"{event_id}\\n")

@registry.handler("mail", transactional=False)
def mail(conn, event_id, payload):
    note(event_id)
    time.sleep(float(payload))

@registry.handler("post", transactional=False)
async def post(conn, event_id, payload):
    note(event_id)
    await asyncio.sleep(float(payload))
"""
DRAIN = ("drain", "projection.db", "--handlers", "handlers:registry")


@pytest.fixture
def workplace(workplace: Workplace) -> Workplace:
    workplace.add_handler(OUTSIDE)
    return workplace


@pytest.fixture
def runner(workplace: Workplace) -> Iterator[Runner]:
    if os.name == "nt":
        pytest.skip("Windows delivers neither SIGTERM nor SIGHUP to handlers")
    runner = Runner(workplace)
    yield runner
    runner.process.kill()
    runner.process.communicate()


def calls(workplace: Workplace) -> int:
    file = workplace.folder / "calls.txt"
    return len(file.read_text().splitlines()) if file.exists() else 0


def claims(workplace: Workplace) -> int:
    with closing(sqlite3.connect(workplace.database)) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM azoth_dlq_claims")
    return int(count)


@pytest.mark.parametrize("kind", ["mail", "post"])
def test_letters_are_attempted_at_once(workplace: Workplace, kind: str) -> None:
    workplace.make(*[f"{kind}:0.5"] * 12)
    done = workplace.run(*DRAIN, "--concurrency", "12", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["succeeded"], calls(workplace)) == (0, 12, 12)
    assert report["duration"] < 12 * 0.5 / 2


def test_a_thread_that_is_left_behind_is_told_of_and_keeps_no_process(
    workplace: Workplace,
) -> None:
    workplace.make("mail:600", "post:600", "mail:0")
    done = workplace.run(*DRAIN, "--timeout", "0.3s", "--concurrency", "3")
    assert done.returncode == 0
    assert "lost" in done.stdout
    assert "of the failed: not over after their timeout, and left behind" in done.stdout
    assert done.stdout.count("TimeoutError: the handler took longer than its timeout of 0.3 s") == 2
    report = json.loads(workplace.run(*DRAIN, "--json").stdout)
    assert (report["attempted"], report["waiting"], report["skipped"]) == (0, 2, 0)
    # The death of its process was not charged beside its timeout.
    assert workplace.execute("SELECT retry_count FROM dead_letter_queue") == [(1,), (1,)]


def test_the_rate_is_kept(workplace: Workplace) -> None:
    workplace.make(*["ok"] * 15)
    done = workplace.run(*DRAIN, "--rate", "10/s", "--json")
    report = json.loads(done.stdout)
    assert report["succeeded"] == 15
    assert report["duration"] >= 1.4 * 0.95


def test_the_first_signal_lets_those_in_hand_finish_and_gives_the_others_back(
    runner: Runner,
) -> None:
    workplace = runner.workplace
    workplace.make(*["mail:1"] * 30, *["post:1"] * 2)
    runner.start("--concurrency", "4", "--json")
    until(lambda: calls(workplace) == 4 and claims(workplace) == 12, runner.process)
    report = runner.report()
    assert (report["succeeded"], report["failed"], report["stopped"]) == (4, 0, "shutdown")
    assert (calls(workplace), claims(workplace)) == (4, 0)
    assert workplace.execute("SELECT DISTINCT retry_count FROM dead_letter_queue") == [(0,)]


def test_a_second_signal_interrupts_them_and_charges_nobody(runner: Runner) -> None:
    workplace = runner.workplace
    workplace.make(*["mail:600", "post:600"] * 10)
    runner.start("--concurrency", "6")
    until(lambda: calls(workplace) == 6 and claims(workplace) == 18, runner.process)
    runner.process.send_signal(signal.SIGTERM)
    until(lambda: claims(workplace) == 6, runner.process)
    runner.process.send_signal(signal.SIGTERM)
    runner.process.communicate(timeout=30)
    assert runner.process.returncode == 128 + signal.SIGTERM
    assert workplace.count("dead_letter_queue") == 20
    done = workplace.run("drain", "projection.db", "--handlers", "handlers:registry", "--id", "99")
    assert done.returncode == 1
    # The next drain charges none of them with the end of that process.
    workplace.execute("UPDATE dead_letter_queue SET event_bytes = 'ok:x'")
    report = json.loads(workplace.run(*DRAIN, "--json").stdout)
    assert (report["succeeded"], report["failed"]) == (20, 0)


# SIGHUP


def test_without_a_file_it_ends_a_drain_in_good_order(runner: Runner) -> None:
    """As where its terminal is closed."""
    workplace = runner.workplace
    workplace.make(*["mail:0.5"] * 30)
    runner.start("--concurrency", "4", "--json")
    until(lambda: calls(workplace) == 4, runner.process)
    report = json.loads(runner.end(signal.SIGHUP))
    assert (report["stopped"], report["failed"]) == ("shutdown", 0)
    assert (calls(workplace), claims(workplace)) == (report["succeeded"], 0)


def write_rate(workplace: Workplace, rate: str, more: str = "") -> None:
    (workplace.folder / "replay.toml").write_text(f"rate_limit = {rate}\n{more}")


def start(runner: Runner, *arguments: str) -> None:
    runner.start("--config", "replay.toml", "--check-interval", "0.2", *arguments)


def test_the_rate_of_a_run_is_changed_by_its_file_and_sighup(runner: Runner) -> None:
    workplace = runner.workplace
    workplace.make(*["mail:0"] * 200)
    write_rate(workplace, '"36/h"')
    start(runner, "--concurrency", "4")
    until(lambda: calls(workplace) == 1, runner.process)
    write_rate(workplace, '"1000/s"')
    runner.process.send_signal(signal.SIGHUP)
    runner.wait_for("the rate is 1000 attempts a second now, as replay.toml has it")
    runner.wait_until_empty()
    write_rate(workplace, '"unlimited"', "max_retries = 9\n")
    runner.process.send_signal(signal.SIGHUP)
    runner.wait_for("the rate is unlimited now")
    runner.wait_for("only rate_limit changes while a run goes on; start it anew for max_retries")
    runner.end()


def test_a_file_that_is_wrong_changes_nothing(runner: Runner) -> None:
    runner.workplace.make(*["mail:0"] * 50)
    write_rate(runner.workplace, '"36/h"')
    start(runner)
    until(lambda: calls(runner.workplace) == 1, runner.process)
    for times, content in enumerate(("rate_limit = ", "rate_limit = 'fast'", "rate = 5"), start=1):
        (runner.workplace.folder / "replay.toml").write_text(content)
        runner.process.send_signal(signal.SIGHUP)
        runner.wait_for("nothing is changed", times)
    (runner.workplace.folder / "replay.toml").unlink()
    runner.process.send_signal(signal.SIGHUP)
    runner.wait_for("replay.toml cannot be read: No such file or directory; nothing is changed")
    assert calls(runner.workplace) == 1
    runner.end()


def test_what_was_given_as_an_option_wins_at_sighup_too(runner: Runner) -> None:
    runner.workplace.make(*["mail:0"] * 50)
    write_rate(runner.workplace, "1000")
    start(runner, "--rate", "36/h")
    until(lambda: calls(runner.workplace) == 1, runner.process)
    runner.process.send_signal(signal.SIGHUP)
    runner.wait_for("the rate stays as it is: --rate was given, and wins over replay.toml")
    assert calls(runner.workplace) == 1
    runner.end()


def test_a_file_without_a_rate_changes_none(runner: Runner) -> None:
    runner.workplace.make(*["mail:0"] * 50)
    write_rate(runner.workplace, '"36/h"')
    start(runner)
    until(lambda: calls(runner.workplace) == 1, runner.process)
    (runner.workplace.folder / "replay.toml").write_text("")
    runner.process.send_signal(signal.SIGHUP)
    runner.wait_for("the rate stays as it is: replay.toml has no rate_limit")
    assert calls(runner.workplace) == 1
    runner.end()


def test_the_rate_has_the_name_of_its_setting_too(workplace: Workplace) -> None:
    workplace.make("ok")
    assert workplace.drain("--rate-limit", "9/s").returncode == 0
    shown = json.loads(workplace.run("status", "projection.db", "--json").stdout)
    assert shown["settings"]["rate_limit"] == 9
    (workplace.folder / "c.toml").write_text("rate = 9\n")
    done = workplace.run("status", "projection.db", "--config", "c.toml")
    assert "unknown setting 'rate' (did you mean rate_limit?)" in done.stderr


def test_a_drain_that_leaves_too_many_calls_behind_says_so(workplace: Workplace) -> None:
    workplace.make(*["mail:600"] * 130)
    options = ("--timeout", "0.1", "--concurrency", "20", "--stop-on-consecutive-failures", "never")
    done = workplace.run(*DRAIN, *options)
    assert done.returncode == 1
    assert "calls were still not over after the timeout. Give the clients" in done.stdout
    assert "failures in a row" not in done.stdout
