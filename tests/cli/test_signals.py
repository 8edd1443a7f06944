"""SIGINT and SIGTERM: the first ends a drain in good order, a second interrupts its handler."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time

import pytest

from azoth_dlq.cli import main
from tests.cli.conftest import INTERRUPTED, Workplace, until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows delivers no SIGTERM to handlers")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_letter_in_hand_finish(
    workplace: Workplace, number: signal.Signals
) -> None:
    workplace.make("ok", "slow:1", "ok")
    with workplace.start_slow("drain", "--json") as process:
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    again = "Ctrl-C again" if number == signal.SIGINT else "another signal"
    assert stderr == f"azoth-dlq: ending after the call in hand; {again} interrupts it\n"
    report = json.loads(stdout)
    assert (report["succeeded"], report["stopped"]) == (2, "shutdown")
    assert workplace.count("effects") == 2
    assert workplace.count("dead_letter_queue") == 1


def test_a_drain_ended_by_a_signal_says_so(workplace: Workplace) -> None:
    workplace.make("slow:1", "ok")
    with workplace.start_slow("drain") as process:
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=30)
    assert "Ended by a signal, or by q: what was not attempted stays as it was." in stdout


@pytest.mark.parametrize(
    ("second", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_second_signal_interrupts_the_handler_and_keeps_what_was_done(
    workplace: Workplace, second: signal.Signals, code: int
) -> None:
    workplace.make("ok", "slow:60", "ok")
    with workplace.start_slow("drain", "--json") as process:
        process.send_signal(signal.SIGINT)
        # Two signals of one number that come at once are one.
        time.sleep(0.5)
        process.send_signal(second)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    told = "azoth-dlq: ending after the call in hand; Ctrl-C again interrupts it"
    assert stderr.splitlines() == [told, INTERRUPTED]
    assert json.loads(stdout)["succeeded"] == 1
    assert workplace.count("effects") == 1
    retries = workplace.execute("SELECT retry_count FROM dead_letter_queue")
    assert retries == [(0,), (0,)]


def test_a_second_signal_during_the_attempt_of_one_letter_prints_the_report(
    workplace: Workplace,
) -> None:
    workplace.make("slow:60", "ok")
    with workplace.start_slow("drain", "--id", "1", "--json") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    report = json.loads(stdout)
    assert (report["attempted"], report["remaining"]) == (0, 1)


def test_whenever_signals_come_the_report_tells_what_is_in_the_file(workplace: Workplace) -> None:
    settings = ("--max-transaction-time", "0.002", "--yield-time", "0")
    before = done = 0

    def has_begun() -> bool:
        return workplace.count("dead_letter_queue") < before

    for _ in range(8):
        # A drain may have done all that was there before a signal came.
        workplace.make(*["ok"] * (20_000 - before))
        before = 20_000
        process = workplace.start(
            "drain", "projection.db", "--handlers", "handlers:registry", "--json", *settings
        )
        with process:
            until(has_begun, process)
            process.send_signal(signal.SIGINT)
            time.sleep(random.uniform(0, 0.004))
            process.send_signal(signal.SIGTERM)
            stdout, stderr = process.communicate(timeout=30)
        assert process.returncode in {0, 143}, stderr
        report = json.loads(stdout)
        left = workplace.count("dead_letter_queue")
        assert (report["succeeded"], report["remaining"]) == (before - left, left)
        done += report["succeeded"]
        assert workplace.count("effects") == done
        before = left


def start_importing(workplace: Workplace) -> subprocess.Popen[str]:
    """A drain of one letter that imports its handlers, and will for long."""
    workplace.make("ok")
    workplace.module("slow", "import pathlib, time\npathlib.Path('began').touch()\ntime.sleep(60)")
    process = workplace.start("drain", "projection.db", "--handlers", "slow:registry")
    until((workplace.folder / "began").exists, process)
    return process


def test_a_signal_while_the_handlers_are_imported_ends_the_command(workplace: Workplace) -> None:
    with start_importing(workplace) as process:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.strip() == "azoth-dlq: interrupted"
    assert workplace.count("dead_letter_queue") == 1


def test_signals_at_any_instant_of_an_interrupt_bring_no_traceback(workplace: Workplace) -> None:
    with start_importing(workplace) as process:
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.001)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert workplace.count("dead_letter_queue") == 1


def test_what_a_handlers_thread_still_does_keeps_no_process_from_its_end(
    workplace: Workplace,
) -> None:
    workplace.make("ok")
    workplace.module(
        "threaded",
        "import pathlib, threading, time\nfrom handlers import registry\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()",
    )
    process = workplace.start(
        "drain", "projection.db", "--handlers", "threaded:registry", "--json", bufsize=0
    )
    with process:
        assert process.stdout is not None
        report = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert report["succeeded"] == 1


# Started with SIGINT ignored, as a shell starts jobs in the background


def ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_an_interrupt_that_is_ignored_stays_so_during_a_drain(workplace: Workplace) -> None:
    workplace.make("slow:1", "ok")
    with workplace.start_slow("drain", "--json", preexec_fn=ignore_interrupts) as process:
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    report = json.loads(stdout)
    assert (report["succeeded"], report["stopped"]) == (2, None)


def test_a_termination_ends_what_ignores_interrupts(workplace: Workplace) -> None:
    workplace.make("slow:1", "ok")
    with workplace.start_slow("drain", "--json", preexec_fn=ignore_interrupts) as process:
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["stopped"] == "shutdown"


def test_an_interrupt_that_is_ignored_stays_so_while_handlers_are_imported(
    workplace: Workplace,
) -> None:
    workplace.make("ok")
    workplace.module(
        "slow",
        "import pathlib, time\nfrom handlers import registry\n"
        "pathlib.Path('began').touch()\ntime.sleep(0.5)",
    )
    arguments = ("drain", "projection.db", "--handlers", "slow:registry")
    with workplace.start(*arguments, preexec_fn=ignore_interrupts) as process:
        until((workplace.folder / "began").exists, process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert workplace.count("effects") == 1


def test_a_signal_means_what_it_meant_once_the_command_is_done(workplace: Workplace) -> None:
    workplace.make("ok")
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    try:
        assert main(["discard", str(workplace.database), "--all", "--yes"]) == 0
        assert [signal.getsignal(number) for number in numbers] == before
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
