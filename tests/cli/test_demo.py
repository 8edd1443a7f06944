"""`demo`: an outage's file, drained, and what is told of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.cli.conftest import Workplace, error_line


@pytest.fixture
def demo(workplace: Workplace) -> Workplace:
    workplace.database = workplace.folder / "azoth-demo.db"
    return workplace


def is_silent(stderr: str) -> bool:
    """A slow machine tells how far it is."""
    return all(line.startswith("azoth-dlq: draining: ") for line in stderr.splitlines())


def run_json(workplace: Workplace, *arguments: str) -> dict[str, Any]:
    done = workplace.run("demo", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    assert is_silent(done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_report_tells_what_became_of_the_outage(demo: Workplace) -> None:
    document = run_json(demo)
    report = document["report"]
    counts = ("attempted", "succeeded", "failed", "parked", "unreadable", "skipped", "stopped")
    assert [report[name] for name in counts] == [19_999, 17_998, 2_001, 2, 1, 0, None]
    assert document["database"] == "azoth-demo.db"
    assert document["effects"] == 17_998
    assert [(cause["letters"], cause["left"]) for cause in document["by_cause"]] == [
        (12_000, 0),
        (5_998, 0),
        (2_000, 2_000),
        (1, 0),
        (1, 0),
    ]
    reasons = sorted(letter["reason"] for letter in document["parked"])
    assert reasons[0].startswith("failed 5 of 5 attempts")
    assert reasons[1].startswith("unreadable: failed_at")


def test_the_file_holds_what_the_report_says(demo: Workplace) -> None:
    run_json(demo)
    assert demo.execute("SELECT sum(movements) FROM accounts") == [(17_998,)]
    assert demo.count("dead_letter_queue") == 2_000
    assert demo.count("permanent_failures") == 2


def test_the_outage_is_the_same_each_time(demo: Workplace) -> None:
    run_json(demo)
    run_json(demo, "--output", "other.db")
    balances = demo.execute("SELECT * FROM accounts ORDER BY id")
    demo.database = demo.folder / "other.db"
    assert demo.execute("SELECT * FROM accounts ORDER BY id") == balances


def test_what_is_printed_leads_on(demo: Workplace) -> None:
    done = demo.run("demo")
    assert done.returncode == 0
    assert is_silent(done.stderr)
    assert "Effects in the accounts: 17,998, one for each that succeeded" in done.stdout
    assert re.search(r"Drained in [0-9.]+ s \([0-9,]+ letters a second\)", done.stdout)
    commands = re.findall(r"^  azoth-dlq (.+)$", done.stdout, re.MULTILINE)
    assert [command.split()[0] for command in commands] == [
        "status",
        "list",
        "show",
        "requeue",
        "drain",
    ]
    printed = [demo.run(*command.split(), "--json").stdout for command in commands]
    status, parked, shown, requeued, drain = map(json.loads, printed)
    assert status["dead_letters"] == 2_000
    assert parked["total"] == 2
    assert shown["id"] in {letter["id"] for letter in parked["letters"]}
    assert requeued["requeued"] == 1
    assert drain["stopped"] == "failures"


def test_a_file_that_exists_is_never_touched(demo: Workplace) -> None:
    demo.database.write_text("precious")
    assert "azoth-demo.db exists already" in error_line(demo.run("demo"), 1)
    assert demo.database.read_text() == "precious"


def test_a_link_to_nowhere_is_not_followed(demo: Workplace) -> None:
    demo.database.symlink_to("elsewhere.db")
    assert "exists already" in error_line(demo.run("demo"), 1)
    assert not (demo.folder / "elsewhere.db").exists()


@pytest.mark.parametrize("output", ["no/folder/x.db", ".", ""])
def test_a_place_where_no_file_can_be_made_is_told(demo: Workplace, output: str) -> None:
    error_line(demo.run("demo", "--output", output), 1)


def test_a_folder_that_may_not_be_written_is_told(open_workplace: Workplace) -> None:
    open_workplace.folder.chmod(0o555)
    line = error_line(open_workplace.as_user("demo"), 1)
    assert "azoth-demo.db cannot be opened" in line
