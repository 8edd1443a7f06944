"""`purge`: permanent failures and histories that are old, and nothing else; also within a run."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from azoth_dlq.clock import now
from tests.cli.conftest import Workplace, error_line, until

DAY = 86_400 * 10**6
ADD_ATTEMPT = (
    "INSERT INTO azoth_dlq_history (letter_id, parked_id, at, outcome, error_type, message, "
    "traceback) VALUES (?, ?, ?, 'failed', 'ValueError', 'wrong', '')"
)


@pytest.fixture
def aged(workplace: Workplace) -> Workplace:
    """Permanent failures 1 to 4, parked 40, 40, 10 and 0 days ago, and a dead letter with
    attempts of 50 and of 5 days ago."""
    workplace.make("ok", failed_at="2020-01-01 00:00:00")
    for days in (40, 40, 10, 0):
        parked = workplace.park(event_bytes=b"audit:x" if days == 40 else b"ok:x")
        workplace.execute(
            "UPDATE permanent_failures SET marked_permanent_at = datetime('now', ?) WHERE id = ?",
            f"-{days} days",
            parked,
        )
        workplace.execute(ADD_ATTEMPT, None, parked, now() - (days + 1) * DAY)
    workplace.execute("UPDATE permanent_failures SET event_bytes = x'6f6b' WHERE id = 2")
    workplace.execute("UPDATE dead_letter_queue SET azoth_last_error = 'wrong'")
    for days in (50, 5):
        workplace.execute(ADD_ATTEMPT, 1, None, now() - days * DAY)
    return workplace


def parked(workplace: Workplace) -> list[int]:
    return [i for (i,) in workplace.execute("SELECT id FROM permanent_failures ORDER BY id")]


def test_what_was_parked_long_ago_goes_and_so_do_attempts_of_then(aged: Workplace) -> None:
    done = aged.run("purge", "projection.db", "--older-than", "30d", "--yes")
    assert done.returncode == 0, done.stderr
    assert "2 of 4 permanent failures in projection.db will be deleted for good" in done.stderr
    assert done.stdout == "2 permanent failures purged\n1 record of attempts purged\n"
    assert parked(aged) == [3, 4]
    left = aged.execute("SELECT letter_id, parked_id FROM azoth_dlq_history ORDER BY id")
    assert left == [(None, 3), (None, 4), (1, None)]
    assert aged.count("dead_letter_queue") == 1
    (action,) = json.loads(aged.run("audit", "projection.db", "--json").stdout)["actions"]
    assert (action["action"], action["matched"], action["done"], action["details"]) == (
        "purge",
        2,
        2,
        {"attempts": 1},
    )


def test_a_filter_narrows_it_to_letters_and_their_histories(aged: Workplace) -> None:
    arguments = ("purge", "projection.db", "--parked-for", "30d", "--type", "audit", "--yes")
    document: dict[str, Any] = json.loads(aged.run(*arguments, "--json").stdout)
    assert (document["matched"], document["purged"], "attempts" in document) == (1, 1, False)
    assert parked(aged) == [2, 3, 4]
    assert aged.count("azoth_dlq_history") == 5


def test_old_attempts_go_though_nothing_was_parked_long_ago(aged: Workplace) -> None:
    aged.execute("DELETE FROM permanent_failures WHERE id < 3")
    done = aged.run("purge", "projection.db", "--older-than", "30d", "--yes")
    assert done.stdout == "0 permanent failures purged\n1 record of attempts purged\n"


def test_it_asks_and_a_dry_run_leaves_everything(aged: Workplace) -> None:
    told = error_line_of_the_last(aged.run("purge", "projection.db", "--older-than", "30d"))
    assert "this is no terminal, so pass --yes to go on" in told
    done = aged.run("purge", "projection.db", "--older-than", "30d", "--dry-run")
    assert (done.returncode, parked(aged)) == (0, [1, 2, 3, 4])
    assert aged.count("azoth_dlq_history") == 6


def error_line_of_the_last(done: Any) -> str:
    assert (done.returncode, done.stdout) == (2, "")
    return str(done.stderr.splitlines()[-1])


def test_a_run_purges_by_its_retention(aged: Workplace) -> None:
    aged.execute("UPDATE dead_letter_queue SET event_bytes = x'6f6b3a78', retry_count = 0")
    arguments = (
        "--handlers",
        "handlers:registry",
        "--retention",
        "30d",
        "--json",
        "--min-age",
        "9d",
    )
    with aged.start("run", "projection.db", *arguments) as process:
        until(lambda: parked(aged) == [3, 4], process)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=30)
    report = json.loads(stdout)
    assert (report["purged"], report["purged_attempts"]) == (2, 0)  # the letter was done first
    assert "purged 2 permanent failures and 0 records of attempts" in stderr
    (action,) = json.loads(aged.run("audit", "projection.db", "--json").stdout)["actions"]
    assert (action["action"], action["done"]) == ("purge", 2)
    assert action["filter"] == {"min_parked_age": 30 * 86_400.0, "parked": True}


def test_a_run_without_retention_purges_nothing(aged: Workplace) -> None:
    with aged.start("run", "projection.db", "--handlers", "handlers:registry") as process:
        until(lambda: aged.count("effects") == 1, process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert parked(aged) == [1, 2, 3, 4]


def test_a_retention_is_a_duration_or_never(aged: Workplace) -> None:
    arguments = ("run", "projection.db", "--handlers", "handlers:registry", "--retention")
    assert "'--retention': '0': must be" in error_line(aged.run(*arguments, "0"), 2)
