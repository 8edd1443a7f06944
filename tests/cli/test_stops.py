"""A stop by failures from one process to the next, as a drain by cron meets an outage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Workplace

# Down as long as there is a file of that name; the letter is due again at once.
SENDS = """
import pathlib
from azoth_dlq import RetryAfter
@registry.handler("sends")
def sends(conn, event_id, payload):
    if pathlib.Path("down").exists():
        raise RetryAfter(0, "nobody answers")
    conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
"""


def drain(workplace: Workplace, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = workplace.drain("--json", "--stop-on-consecutive-failures", "3", *arguments)
    return done.returncode, json.loads(done.stdout)


def is_stopped(workplace: Workplace) -> bool:
    done = workplace.run("status", "projection.db", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["stopped_at"] is not None


@pytest.fixture
def outage(workplace: Workplace) -> Workplace:
    """Twelve letters, of which the first drain fails three."""
    workplace.add_handler(SENDS)
    (workplace.folder / "down").touch()
    workplace.make(*["sends"] * 12)
    code, report = drain(workplace)
    assert (code, report["failed"], report["stopped"]) == (1, 3, "failures")
    return workplace


def test_each_further_process_costs_an_outage_one_attempt(outage: Workplace) -> None:
    for arguments in ((), ("--now",)):
        code, report = drain(outage, *arguments)
        assert (code, report["attempted"], report["failed"]) == (1, 1, 1)
        assert report["stopped"] == "failures"
    assert outage.execute("SELECT sum(retry_count) FROM dead_letter_queue") == [(5,)]
    assert is_stopped(outage)


def test_a_process_after_the_outage_drains_all(outage: Workplace) -> None:
    (outage.folder / "down").unlink()
    code, report = drain(outage)
    assert (code, report["succeeded"], report["stopped"]) == (0, 12, None)
    assert outage.count("effects") == 12
    assert not is_stopped(outage)


def test_a_process_that_never_stops_drains_all_the_same(outage: Workplace) -> None:
    code, report = drain(outage, "--stop-on-consecutive-failures", "never")
    assert (code, report["failed"], report["stopped"]) == (0, 12, None)


def test_discarding_the_letters_ends_the_stop(outage: Workplace) -> None:
    assert is_stopped(outage)
    assert outage.run("discard", "projection.db", "--all", "--yes").returncode == 0
    assert not is_stopped(outage)
    assert drain(outage)[0] == 0
    outage.make(*["sends"] * 5)
    assert not is_stopped(outage)
    assert drain(outage)[1]["failed"] == 3
