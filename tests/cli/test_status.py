"""`status`: its figures, the settings it goes by, and that it only looks."""

from __future__ import annotations

import json
import platform
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.cli.conftest import Workplace, until

# Its letters are claimed, so that several drains wait in it.
OUTSIDE = """
import pathlib, time
@registry.handler("outside", transactional=False)
def outside(conn, event_id, payload):
    pathlib.Path(str(event_id)).touch()
    time.sleep(60)
"""


def status(workplace: Workplace, *arguments: str) -> dict[str, Any]:
    done = workplace.run("status", "projection.db", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture
def mixed(workplace: Workplace) -> Workplace:
    """Two due, two waiting (one of them ahead), one exhausted, one unreadable."""
    workplace.make("ok", "ok")
    workplace.add(failed_at="9999-01-01 00:00:00", error_message="far")
    workplace.add(last_retry_at="8000-01-01T00:00:00Z", retry_count=2)
    workplace.add(retry_count=5)
    workplace.add(failed_at="?", error_message="far")
    return workplace


def test_the_document_has_every_figure(mixed: Workplace) -> None:
    document = status(mixed)
    assert document.pop("oldest_age") == document.pop("oldest_due_age") > 10**8
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]+\.\d{6}Z", document.pop("at"))
    assert document.pop("settings")["max_retries"] == 5
    assert document.pop("failures")["beyond"] == 1
    groups = [(one["template"], one["count"]) for one in document.pop("by_group")]
    assert groups == [("boom", 4), ("far", 2)]
    assert document == {
        "database": "projection.db",
        "dead_letters": 6,
        "due": 2,
        "not_due": 2,
        "exhausted": 1,
        "unreadable": 1,
        "ahead": 2,
        "next_due": "8000-01-01T00:00:40.000000Z",
        "by_retry_count": {"0": 4, "2": 1, "5": 1},
        "by_error": [{"error": "boom", "letters": 4}, {"error": "far", "letters": 2}],
        "by_type": [{"event_type": "ok", "letters": 6}],
        "permanent_failures": 0,
        "parked_by_type": [],
        "parked_by_reason": [],
        "in_hand": 0,
        "draining": [],
        "stopped_at": None,
        "settings_from": "defaults",
    }


def test_the_table_has_the_same_figures(mixed: Workplace) -> None:
    done = mixed.run("status", "projection.db")
    assert done.returncode == 0
    rows = dict(re.findall(r"^ {2,4}([a-z][a-z ]+?) +(\d+)(?:   .*)?$", done.stdout, re.MULTILINE))
    assert rows == {
        "dead letters": "6",
        "due now": "2",
        "not due": "2",
        "exhausted": "1",
        "unreadable": "1",
        "in the future": "2",
        "permanent failures": "0",
        "in hand": "0",
        "draining now": "0",
    }
    assert re.search(r"^  stopped +no$", done.stdout, re.MULTILINE)
    assert "(8000-01-01 00:00:40 +00:00)" in done.stdout
    assert "   some clock is wrong" in done.stdout
    by_group = r"^ +letters   by group of last errors \(see .*\)\n +4   [0-9a-f]{16}  boom$"
    assert re.search(by_group, done.stdout, re.MULTILINE)


def test_looking_changes_nothing(mixed: Workplace) -> None:
    mixed.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = mixed.database.read_bytes(), mixed.database.stat().st_mtime_ns
    status(mixed)
    assert (mixed.database.read_bytes(), mixed.database.stat().st_mtime_ns) == before


def test_a_file_of_the_rust_crate_is_looked_at_without_a_migration(workplace: Workplace) -> None:
    from tests.conftest import DATA  # noqa: PLC0415 -- needed here alone

    content = (DATA / "azoth-0.2.5.db").read_bytes()
    workplace.database.write_bytes(content)
    document = status(workplace)
    assert document["dead_letters"] == 5000
    assert document["by_retry_count"] == {"0": 4500, "1": 500}
    assert workplace.database.read_bytes() == content


def test_the_last_drains_settings_decide_by_default(mixed: Workplace) -> None:
    assert status(mixed)["settings_from"] == "defaults"
    mixed.report("--max-retries", "9", "--min-age", "7")
    document = status(mixed)
    assert document["settings_from"] == "last_drain"
    assert (document["settings"]["max_retries"], document["settings"]["min_age"]) == (9, 7)
    assert mixed.run("status", "projection.db").stdout.splitlines()[-5:] == [
        "What is due, by settings of the last drain:",
        "  max_retries = 9",
        "  backoff = exponential=10,3600",
        "  min_age = 7",
        "  jitter = 0.0",
    ]


@pytest.mark.parametrize("given", [["--max-retries", "3"], ["--config", "dlq.toml"]])
def test_given_settings_are_taken_as_a_drain_would(mixed: Workplace, given: list[str]) -> None:
    (mixed.folder / "dlq.toml").write_text("max_retries = 3")
    mixed.report("--min-age", "7")
    document = status(mixed, *given)
    assert document["settings_from"] == "given"
    assert (document["settings"]["max_retries"], document["settings"]["min_age"]) == (3, 5)


@pytest.mark.parametrize("recorded", ["{", "[1]", '{"of_the_future": 1}', b"\xff", 5])
def test_recorded_settings_that_cannot_be_used_are_told(mixed: Workplace, recorded: Any) -> None:
    mixed.report()
    mixed.execute("UPDATE azoth_dlq_state SET value = ? WHERE key = 'settings'", recorded)
    done = mixed.run("status", "projection.db", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["settings_from"] == "defaults"
    assert "the last drain's settings in projection.db cannot be used" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_error_texts_cannot_play_with_the_terminal(workplace: Workplace) -> None:
    workplace.make("ok", error_message="red \x1b[31m bell \x07\nsecond line")
    done = workplace.run("status", "projection.db")
    assert r"red \x1b[" in done.stdout
    assert "\x1b" not in done.stdout
    shown = status(workplace)["by_error"][0]["error"]
    assert shown == "red \x1b[31m bell \x07\nsecond line"


def test_an_empty_queue_is_told(workplace: Workplace) -> None:
    workplace.make()
    document = status(workplace)
    assert document["dead_letters"] == 0
    assert document["oldest_age"] is document["next_due"] is None
    assert workplace.run("status", "projection.db").returncode == 0


# Who drains, and whether drains are stopped


def test_who_drains_is_told_while_it_does(workplace: Workplace) -> None:
    workplace.add_handler(OUTSIDE)
    workplace.make("outside", event_id=1)
    workplace.make("outside", event_id=2)
    arguments = ("projection.db", "--handlers", "handlers:registry")
    with workplace.start("drain", *arguments) as drain, workplace.start("run", *arguments) as run:
        until((workplace.folder / "1").exists, drain)
        until((workplace.folder / "2").exists, run)
        document = status(workplace)
        told = workplace.run("status", "projection.db").stdout
        run.kill()
        run.wait()
        after_kill = status(workplace)["draining"]
        drain.kill()
    pids = [drainer["pid"] for drainer in document["draining"]]
    assert sorted(pids) == sorted([drain.pid, run.pid])
    for drainer in document["draining"]:
        assert set(drainer) == {"host", "pid", "since", "in_hand"}
        assert drainer["in_hand"] == 1
        assert drainer["host"] == platform.node()
        since = datetime.fromisoformat(drainer["since"])
        age = datetime.fromisoformat(document["at"]) - since
        assert timedelta(0) < age < timedelta(seconds=60)
        shown = f"process {drainer['pid']} on {drainer['host']}, for "
        assert re.search(
            rf"{re.escape(shown)}\d+ s \(since {since:%Y-%m-%d %H:%M:%S} \+00:00\)", told
        )
    assert re.search(r"^  draining now +2$", told, re.MULTILINE)
    assert [drainer["pid"] for drainer in after_kill] == [drain.pid]
    assert status(workplace)["draining"] == []


def test_a_drain_that_has_ended_is_not_told(workplace: Workplace) -> None:
    workplace.make("slow:0.1")
    with workplace.start_slow("drain") as process:
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert status(workplace)["draining"] == []


def test_a_stop_is_told_until_a_success(workplace: Workplace) -> None:
    workplace.make("fails", "fails", "fails")
    assert workplace.drain("--stop-on-consecutive-failures", "2").returncode == 1
    document = status(workplace)
    stopped_at = datetime.fromisoformat(document["stopped_at"])
    age = datetime.fromisoformat(document["at"]) - stopped_at
    assert timedelta(0) < age < timedelta(seconds=60)
    told = workplace.run("status", "projection.db").stdout
    assert re.search(
        r"^  stopped +yes   by failures in a row, until a letter succeeds; for \d+ s "
        rf"\(since {stopped_at:%Y-%m-%d %H:%M:%S} \+00:00\)$",
        told,
        re.MULTILINE,
    )
    assert workplace.drain().returncode == 1
    assert status(workplace)["stopped_at"] == document["stopped_at"]
    workplace.make("ok")
    workplace.report()
    assert status(workplace)["stopped_at"] is None


def test_letters_are_counted_by_their_latest_error(workplace: Workplace) -> None:
    workplace.make("fails", "fails", error_message="the first one")
    workplace.add(event_bytes=b"ok:x", error_message="never tried", failed_at="2999-01-01 00:00:00")
    workplace.drain()
    document = json.loads(workplace.run("status", "projection.db", "--json").stdout)
    assert document["by_error"] == [
        {"error": "ValueError: event 7 failed", "letters": 2},
        {"error": "never tried", "letters": 1},
    ]
