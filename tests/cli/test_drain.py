"""`drain`: what it does, what it prints, and how it ends."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import fields
from typing import Any

import pytest

from azoth_dlq import ReplayReport
from tests.cli.conftest import Workplace, error_line


def table(stdout: str) -> dict[str, int]:
    """The figures of a printed table by name."""
    rows = re.findall(r"^  ([a-z]+) +([0-9,]+)(?: |$)", stdout, re.MULTILINE)
    return {name: int(figure.replace(",", "")) for name, figure in rows}


def test_the_json_report_tells_what_was_done(workplace: Workplace) -> None:
    workplace.make("ok", "ok", "fails")
    workplace.add(failed_at="9999-01-01 00:00:00")
    workplace.add(failed_at="never")
    report = workplace.report()
    names = {field.name for field in fields(ReplayReport)}
    assert set(report) == {"attempted", *names}
    counts = ("attempted", "succeeded", "failed", "parked", "unreadable", "waiting", "stopped")
    assert [report[name] for name in counts] == [3, 2, 1, 1, 1, 1, None]
    assert workplace.count("effects") == 2
    assert workplace.count("dead_letter_queue") == 2
    assert workplace.count("permanent_failures") == 1


def test_the_printed_table_has_the_same_counts(workplace: Workplace) -> None:
    workplace.make("ok", "ok", "fails", "unknown:type")
    workplace.add(retry_count=5)
    done = workplace.drain()
    assert done.returncode == 0
    assert table(done.stdout) == {
        "attempted": 4,
        "succeeded": 2,
        "failed": 2,
        "snoozed": 0,
        "parked": 1,
        "skipped": 0,
        "remaining": 0,
        "waiting": 0,
    }
    assert "failed with" in done.stdout
    assert "2 failed and wait for their next attempt" in done.stdout
    assert re.findall(r"^  azoth-dlq (.+)$", done.stdout, re.MULTILINE) == [
        "status projection.db",
        "list projection.db",
        "show projection.db ID",
        "list projection.db --parked",
        "requeue projection.db ID",
    ]
    assert done.stderr == ""


def test_a_drain_that_leaves_nothing_suggests_nothing(workplace: Workplace) -> None:
    workplace.make("ok")
    assert workplace.drain().stdout.splitlines()[-1].split() == ["waiting", "0"]


def test_a_drain_that_only_parks_leads_to_what_it_parked(workplace: Workplace) -> None:
    workplace.make("ok", retry_count=5)
    assert workplace.drain().stdout.splitlines()[-5:] == [
        "",
        "To look further:",
        "  azoth-dlq status projection.db",
        "  azoth-dlq list projection.db --parked",
        "  azoth-dlq requeue projection.db ID",
    ]


def test_letters_in_hand_elsewhere_are_told_as_skipped(workplace: Workplace) -> None:
    workplace.add_handler(
        "@registry.handler('takes')\ndef takes(conn, event_id, payload):\n"
        "    conn.execute('DELETE FROM dead_letter_queue WHERE id = 2')\n"
    )
    workplace.make("takes", "ok")
    told = workplace.drain().stdout
    assert table(told)["skipped"] == 1
    assert "1   left out: meanwhile gone, changed, or in the hands of another drain" in told


def test_letters_whose_backoff_has_not_passed_wait_unless_told(workplace: Workplace) -> None:
    workplace.make("ok", last_retry_at="9000-01-01 00:00:00", retry_count=1)
    waiting = workplace.drain()
    assert table(waiting.stdout)["waiting"] == 1
    assert "(9000-01-01 00:00:20 +00:00); --now takes it, too." in waiting.stdout
    assert workplace.report("--now")["succeeded"] == 1


def test_settings_reach_the_drain(workplace: Workplace) -> None:
    workplace.make("fails", retry_count=1)
    (workplace.folder / "dlq.toml").write_text("max_retries = 9")
    report = workplace.report("--config", "dlq.toml", "--max-retries", "2")
    assert (report["failed"], report["parked"]) == (1, 1)


def test_the_priority_orders_the_letters(workplace: Workplace) -> None:
    for event_id, error in enumerate(["other", "a Deadlock", "TIMEOUT", "deadlock"]):
        workplace.make("ok", event_id=event_id, error_message=error)
    workplace.report("--priority", "by-error-type=timeout,deadlock")
    assert [row[0] for row in workplace.execute("SELECT event_id FROM effects")] == [2, 1, 3, 0]


def test_failures_in_a_row_end_a_drain_with_code_1(workplace: Workplace) -> None:
    workplace.make(*["fails"] * 5)
    done = workplace.drain("--json", "--stop-on-consecutive-failures", "3")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["failed"], report["stopped"]) == (3, "failures")


def test_a_stop_by_a_single_failure_is_told_in_the_singular(workplace: Workplace) -> None:
    workplace.make("fails", "fails")
    told = workplace.drain("--stop-on-consecutive-failures", "1")
    assert "Stopped by 1 failure in a row: what" in told.stdout


def test_what_stopped_a_drain_is_printed(workplace: Workplace) -> None:
    workplace.make(*["fails"] * 5)
    told = workplace.drain("--stop-on-consecutive-failures", "2")
    assert told.returncode == 1
    assert "Stopped by 2 failures in a row: what the handlers need seems to be down." in told.stdout
    told = workplace.drain("--stop-on-consecutive-failures", "2")
    assert told.returncode == 1
    assert "Stopped by one failure, as a drain before was stopped: what the" in told.stdout


@pytest.mark.parametrize(
    "columns",
    [
        {"failed_at": "yesterday"},
        {"failed_at": b"2020-01-01 00:00:00"},
        {"failed_at": 5},
        {"last_retry_at": ""},
        {"last_retry_at": b"\xff"},
        {"retry_count": "many"},
        {"retry_count": 1.5},
        {"retry_count": -1},
        {"event_id": "x"},
        {"event_bytes": 7.5},
    ],
    ids=str,
)
def test_an_unreadable_row_is_parked_and_stops_nothing(
    workplace: Workplace, columns: dict[str, Any]
) -> None:
    workplace.make("ok")
    workplace.add(**columns)
    workplace.make("ok")
    report = workplace.report()
    assert (report["succeeded"], report["unreadable"], report["parked"]) == (2, 1, 1)
    assert workplace.count("dead_letter_queue") == 0


@pytest.mark.parametrize("event", [b"nobody:x", b"no colon", b"", b"\xff\xfe:", b'{"a": 1}'])
def test_an_event_without_a_handler_fails_like_any_other(
    workplace: Workplace, event: bytes
) -> None:
    workplace.make("ok")
    workplace.add(event_bytes=event)
    report = workplace.report()
    assert (report["succeeded"], report["failed"], report["parked"]) == (1, 1, 0)


def test_text_that_is_no_utf8_is_no_obstacle(workplace: Workplace) -> None:
    workplace.make("ok")
    with closing(sqlite3.connect(workplace.database)) as connection, connection:
        connection.execute("UPDATE dead_letter_queue SET error_message = CAST(x'ff00fe' AS TEXT)")
    assert workplace.report("--priority", "by-error-type=x")["succeeded"] == 1


def test_errors_show_when_asked_and_cannot_play_with_the_terminal(workplace: Workplace) -> None:
    workplace.make("fails")
    workplace.module(
        "handlers",
        """
        from azoth_dlq import EventHandlerRegistry
        registry = EventHandlerRegistry()
        @registry.handler("fails")
        def fails(conn, event_id, payload):
            raise ValueError("red \\x1b[31m\\nand more")
        """,
    )
    quiet = workplace.drain("--now")
    assert quiet.stderr == ""
    loud = workplace.drain("--now", "-v")
    assert r"ValueError: red \x1b[31m\x0aand more" in loud.stderr
    assert all(line.startswith("azoth-dlq: ") for line in loud.stderr.splitlines())


def test_what_handlers_print_stays_out_of_the_document(workplace: Workplace) -> None:
    workplace.make("ok")
    workplace.module(
        "handlers",
        """
        import subprocess, sys
        from azoth_dlq import EventHandlerRegistry
        print("imported")
        registry = EventHandlerRegistry()
        @registry.handler("ok")
        def ok(conn, event_id, payload):
            print("called")
            subprocess.run([sys.executable, "-c", "print('started')"], check=True)
        """,
    )
    done = workplace.drain("--json")
    assert json.loads(done.stdout)["succeeded"] == 1
    assert sorted(done.stderr.split()) == ["called", "imported", "started"]


@pytest.mark.parametrize(
    ("statement", "code", "told"),
    [
        ("sys.exit(0)", 1, "a handler raised SystemExit: 0, which ended the work"),
        ("raise BaseException('no')", 1, "a handler raised BaseException: no"),
        ("raise KeyboardInterrupt", 130, "interrupted; what was done is committed"),
    ],
)
def test_a_handler_that_ends_the_drain_loses_nothing(
    workplace: Workplace, statement: str, code: int, told: str
) -> None:
    workplace.make("ok", "ends", "ok")
    workplace.add_handler(
        f"import sys\n@registry.handler('ends')\ndef ends(*_):\n    {statement}\n"
    )
    done = workplace.drain("--json")
    assert done.returncode == code
    assert done.stderr.startswith(f"azoth-dlq: {told}")
    assert json.loads(done.stdout)["succeeded"] == 1
    assert workplace.count("effects") == 1
    assert workplace.count("dead_letter_queue") == 2


def test_a_database_that_fails_midway_tells_what_was_done(workplace: Workplace) -> None:
    workplace.make("ok", "ok", "faults")
    workplace.add_handler(
        "import sqlite3\n@registry.handler('faults')\ndef faults(conn, *_):\n"
        "    error = sqlite3.OperationalError('as SQLite says it')\n"
        "    error.sqlite_errorcode = sqlite3.SQLITE_FULL\n"
        "    raise error\n"
    )
    done = workplace.drain("--json")
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert json.loads(done.stdout)["succeeded"] == 2
    assert workplace.count("dead_letter_queue") == 1
    assert workplace.execute("PRAGMA integrity_check") == [("ok",)]


# One letter


@pytest.mark.parametrize("now", [[], ["--now"]])
def test_one_letter_is_attempted_due_or_not(workplace: Workplace, now: list[str]) -> None:
    workplace.make("ok", "fails", "ok")
    workplace.add(event_id=40, retry_count=2, last_retry_at="9000-01-01 00:00:00")
    report = workplace.report("--id", "4", *now)
    assert (report["attempted"], report["succeeded"], report["skipped"]) == (1, 1, 0)
    assert workplace.execute("SELECT event_id FROM effects") == [(40,)]
    assert workplace.execute("SELECT id FROM dead_letter_queue") == [(1,), (2,), (3,)]


def test_one_letter_that_fails_is_told_like_any_other(workplace: Workplace) -> None:
    workplace.make("fails", "ok")
    done = workplace.drain("--id", "1")
    assert done.returncode == 0
    assert (table(done.stdout)["failed"], table(done.stdout)["attempted"]) == (1, 1)
    assert "1 failed and waits for its next attempt." in done.stdout


def test_one_letter_without_attempts_left_is_parked(workplace: Workplace) -> None:
    workplace.make("ok", retry_count=5)
    report = workplace.report("--id", "1")
    assert (report["attempted"], report["exhausted"], report["parked"]) == (0, 1, 1)


def test_an_id_that_is_not_there_is_told_and_nothing_is_written(workplace: Workplace) -> None:
    workplace.make("ok")
    workplace.park()
    workplace.park()
    line = error_line(workplace.drain("--id", "7"), 1)
    assert line == (
        "azoth-dlq: projection.db has no 7 among its dead letters; "
        "`azoth-dlq list projection.db` shows the ids"
    )
    line = error_line(workplace.drain("--id", "2", "--json"), 1)
    assert line == (
        "azoth-dlq: projection.db has no 2 among its dead letters, but among its permanent "
        "failures: `azoth-dlq requeue projection.db 2` moves that one back"
    )
    assert workplace.count("effects") == 0
    assert workplace.execute("SELECT * FROM azoth_dlq_state WHERE key = 'settings'") == []


@pytest.mark.parametrize("given", ["x", "1.5", "9223372036854775808"])
def test_an_id_that_is_none_is_refused(workplace: Workplace, given: str) -> None:
    assert "Invalid value for '--id'" in error_line(workplace.drain("--id", given), 2)


def test_nothing_is_printed_on_stdout_when_no_drain_began(workplace: Workplace) -> None:
    assert "no file" in error_line(workplace.drain("--json"), 1)


def test_a_file_of_the_rust_crate_is_drained_as_it_is(workplace: Workplace) -> None:
    from tests.conftest import DATA  # noqa: PLC0415 -- needed here alone

    workplace.database.write_bytes((DATA / "azoth-0.2.5.db").read_bytes())
    workplace.module(
        "handlers",
        """
        from azoth_dlq import EventHandlerRegistry
        registry = EventHandlerRegistry()
        registry.register("deposit", lambda conn, event_id, payload: None)
        registry.register("withdraw", lambda conn, event_id, payload: None)
        """,
    )
    assert workplace.report("--now")["succeeded"] == 5000
