"""One language says which letters are meant, whatever the command."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, LetterFilter
from azoth_dlq.acting import Act, in_parts
from azoth_dlq.cli import filters
from azoth_dlq.kernels.templates import fingerprint
from tests.cli.conftest import Workplace, error_line

HANDLERS = ["--handlers", "handlers:registry"]
MOVE = "UPDATE dead_letter_queue SET {} WHERE id = ?"


@pytest.fixture
def mixed(workplace: Workplace) -> Workplace:
    """Dead letters 1 to 6 and permanent failures 1 to 3, no two alike."""
    workplace.make("ok", "ok", "deposit", "ok", "fails", "ok")
    changes = [
        ("error_message = 'connection 7 timed out'", 1),
        ("error_message = 'connection 8 timed out', azoth_last_error = 'disk full'", 2),
        ("failed_at = '2026-11-30 03:00:00'", 3),
        ("retry_count = 2, last_retry_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')", 4),
        ("failed_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 hour')", 6),
    ]
    for change, letter_id in changes:
        workplace.execute(MOVE.format(change), letter_id)
    for error in ("TimeOut", "boom", "timeout"):
        workplace.park(error_message=error, retry_count=5, event_bytes=b"deposit:5")
    return workplace


def listed(workplace: Workplace, *arguments: str, **options: Any) -> list[int]:
    """The ids that `list` finds, by both of its forms."""
    done = workplace.run("list", "projection.db", "--json", *arguments, **options)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    ids = sorted(letter["id"] for letter in document["letters"])
    assert document["total"] == len(ids)
    if "stdin" not in options:
        alone = workplace.run("list", "projection.db", "--ids", *arguments, **options).stdout
        assert alone == "".join(f"{letter_id}\n" for letter_id in ids)
    return ids


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["2"], [2]),
        (["2-4", "6", "9"], [2, 3, 4, 6]),
        (["2-4", "--type", "deposit"], [3]),
        (["--error", "TIMED out"], [1, 2]),
        (["--error", "disk full"], [2]),
        (["--type", "fails"], [5]),
        (["--newer-than", "2h"], [6]),
        (["--older-than", "2h", "--min-retry-count", "1"], [4]),
        (["--since", "2026-11-30T02:59:59Z", "--until", "2026-11-30 03:00:00+00:00"], [3]),
        (["--since", "2h"], [6]),
        (["--until", "2020-01-01T00:00Z", "--max-retry-count", "0"], [1, 2, 5]),
        (["--not-due"], [4]),
        (["--due", "--type", "ok"], [1, 2, 6]),
        (["--parked"], [1, 2, 3]),
        (["--parked", "--error", "poison"], [1, 2, 3]),
        (["--parked", "2-9", "--error", "timeout"], [3]),
        (["--parked", "--parked-for", "1h"], []),
        (["--parked-for", "0"], []),
        (["--parked", "--due"], []),
    ],
)
def test_what_is_given_is_what_is_found(
    mixed: Workplace, arguments: list[str], ids: list[int]
) -> None:
    assert listed(mixed, *arguments) == ids


def test_a_group_is_found_by_its_fingerprint_or_the_beginning(mixed: Workplace) -> None:
    group = fingerprint("connection 9 timed out")
    assert listed(mixed, "--group", group) == [1]
    assert listed(mixed, "--group", group[:5]) == [1]


def test_a_beginning_of_two_groups_is_refused_with_both(workplace: Workplace) -> None:
    errors: dict[str, str] = {}
    for n in range(10_000):
        error = f"kind {chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)} of trouble"
        first = errors.setdefault(fingerprint(error)[:4], error)
        if first != error:
            break
    workplace.make("ok", error_message=first)
    workplace.add(error_message=error)
    start = fingerprint(error)[:4]
    told = error_line(workplace.run("list", "projection.db", "--group", start), 2)
    assert f"--group='{start}': must be digits that only one group begins with" in told
    assert fingerprint(error) in told
    assert fingerprint(first) in told


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_a_time_without_an_offset_is_local(mixed: Workplace, zone: str) -> None:
    mixed.environment["TZ"] = zone
    local = mixed.run("list", "projection.db", "3").stdout
    hour = {"UTC": "03:00", "Asia/Kathmandu": "08:45", "America/New_York": "22:00"}[zone]
    day = "2026-11-29" if zone == "America/New_York" else "2026-11-30"
    assert local
    assert listed(mixed, "--since", f"{day} {hour}", "--until", f"{day} {hour}") == [3]
    assert listed(mixed, "--since", f"{day}T{hour}:01", "--until", f"{day}T{hour}:02") == []


def test_ids_come_from_stdin(mixed: Workplace, tmp_path: Any) -> None:
    (tmp_path / "ids.txt").write_text("1\n2-3, 5\n\n  6 99\n")
    with (tmp_path / "ids.txt").open() as stdin:
        assert listed(mixed, "-", "--type", "ok", stdin=stdin) == [1, 2, 6]


@pytest.mark.parametrize("between", [",", " ", "\n", ", \n"])
def test_no_id_on_stdin_is_cut_in_two(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    """Wherever a read of it ends, whatever stands between them."""
    given = [*(range(n, n + 1) for n in range(1, 8)), range(10**11, 10**12), range(99, 100)]
    texts = [f"{ids.start}-{ids.stop - 1}" if len(ids) > 1 else str(ids.start) for ids in given]
    file = tmp_path / "ids.txt"
    file.write_text(between.join(texts) + between)
    for size in range(1, 40):
        monkeypatch.setattr(filters, "_READ_BYTES", size)
        with file.open() as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            assert list(filters._ids_on_stdin()) == given  # noqa: SLF001 -- what it reads at once is


def test_many_ids_in_one_line_are_those_alone(workplace: Workplace, tmp_path: Any) -> None:
    workplace.make(*["ok"] * 3)
    ids = ",".join(str(n) for n in range(100_001, 400_001))
    (tmp_path / "ids.txt").write_text(ids)
    with (tmp_path / "ids.txt").open() as stdin:
        done = workplace.run("discard", "projection.db", "-", "--json", stdin=stdin)
    assert json.loads(done.stdout)["discarded"] == 0
    assert workplace.count("dead_letter_queue") == 3


def test_what_is_no_id_on_stdin_is_told_with_its_line(mixed: Workplace, tmp_path: Any) -> None:
    (tmp_path / "ids.txt").write_text("1\n2 x7\n")
    with (tmp_path / "ids.txt").open() as stdin:
        told = error_line(mixed.run("requeue", "projection.db", "-", stdin=stdin), 2)
    assert "stdin, line 2: 'x7': must be an id, such as 17, or a range" in told
    assert mixed.count("permanent_failures") == 3


def test_a_pipe_of_two_commands(mixed: Workplace) -> None:
    with mixed.start("list", "projection.db", "--parked", "--error", "boom", "--ids") as lister:
        done = mixed.run("requeue", "projection.db", "-", stdin=lister.stdout)
    assert done.returncode == 0
    assert done.stdout == "1 permanent failure requeued\n"
    assert mixed.execute("SELECT id FROM permanent_failures ORDER BY id") == [(1,), (3,)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["x"],
            "'x': must be an id, such as 17, or a range, such as 20-30 (both ends included), or -",
        ),
        (["30-20"], "'30-20': must be an id"),
        (["--group", "xyz"], "Invalid value for '--group': 'xyz': must be a fingerprint"),
        (["--since", "soon"], "'--since': 'soon': must be a date such as 2026-11-30, with a time"),
        (["--until", "2026-13-01"], "'--until': '2026-13-01': must be a date"),
        (["--since", "1h", "--until", "2h"], "--since="),
        (["--parked-for", "-1"], ": '-1': must be seconds, such as 90"),
    ],
)
def test_what_is_wrong_is_told(mixed: Workplace, arguments: list[str], told: str) -> None:
    assert told in error_line(mixed.run("list", "projection.db", *arguments), 2)


@pytest.mark.parametrize(
    "command", ["requeue", "discard", "show", "drain", "purge", "edit", "groups", "export"]
)
def test_every_command_tells_it(mixed: Workplace, command: str) -> None:
    more = {"drain": HANDLERS, "export": ["--output", "x"]}.get(command, [])
    for arguments in (["30-20"], ["--group", "xyz"]):
        done = mixed.run(command, "projection.db", *more, *arguments)
        assert ": must be " in error_line(done, 2)


# What is done to them


def test_a_change_says_how_many_of_which_groups_before_it_asks(mixed: Workplace) -> None:
    done = mixed.run("discard", "projection.db", "--type", "ok", "--older-than", "2h")
    assert (done.returncode, done.stdout) == (2, "")
    first, *groups, last = done.stderr.splitlines()
    text = "3 of 6 dead letters in projection.db will be deleted for good"
    assert first == f"azoth-dlq: {text}"
    assert sorted(groups) == sorted(
        f"azoth-dlq:   1   33%  {fingerprint(error)}  {template}"
        for error, template in [
            ("boom", "boom"),
            ("disk full", "disk full"),
            ("connection 7 timed out", "connection <num> timed out"),
        ]
    )
    assert last.startswith(f"azoth-dlq: {text}; this is no terminal, so pass --yes")
    assert mixed.count("dead_letter_queue") == 6


@pytest.mark.parametrize("command", ["requeue", "discard", "purge"])
def test_a_dry_run_changes_nothing(mixed: Workplace, command: str) -> None:
    parked = ["--parked"] if command == "discard" else []
    arguments = [command, "projection.db", *parked, "--error", "timeout", "--dry-run"]
    done = mixed.run(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("Without --dry-run, 2 of 3 permanent failures in projection.db")
    document = json.loads(mixed.run(*arguments, "--json").stdout)
    groups = document.pop("groups")
    assert document == {"database": "projection.db", "matched": 2, "dry_run": True}
    assert sorted((group["count"], group["template"]) for group in groups) == [
        (1, "TimeOut"),
        (1, "timeout"),
    ]
    assert mixed.count("permanent_failures") == 3
    assert mixed.execute("SELECT count(*) FROM azoth_dlq_audit") == [(0,)]


@pytest.mark.parametrize("command", ["requeue", "discard", "purge"])
def test_every_letter_is_meant_only_where_that_is_said(mixed: Workplace, command: str) -> None:
    told = error_line(mixed.run(command, "projection.db", "--yes"), 2)
    assert "no letters are given: give ids or a filter, or --all for every one" in told
    told = error_line(mixed.run(command, "projection.db", "--all", "--error", "x", "--yes"), 2)
    assert "--all cannot go together with ids or a filter" in told


def test_a_drain_attempts_those_that_fit(mixed: Workplace) -> None:
    done = mixed.drain("--error", "timed out")
    assert done.returncode == 0
    assert "azoth-dlq: 2 of 6 dead letters in projection.db will be attempted" in done.stderr
    assert mixed.execute("SELECT id FROM dead_letter_queue ORDER BY id") == [(3,), (4,), (5,), (6,)]
    report = mixed.report("3-6", "--type", "ok")
    assert (report["succeeded"], report["waiting"]) == (1, 0)
    report = mixed.report("--type", "ok", "--now")
    assert (report["succeeded"], mixed.count("dead_letter_queue")) == (1, 2)


def test_a_dry_run_of_a_drain_calls_no_handler(mixed: Workplace) -> None:
    done = mixed.drain("--dry-run")
    assert (
        done.stdout == "Without --dry-run, 5 of 6 dead letters in projection.db will be attempted\n"
    )
    assert mixed.drain("--dry-run", "--now").stdout.startswith("Without --dry-run, 6 of 6 ")
    assert (mixed.count("effects"), mixed.count("dead_letter_queue")) == (0, 6)


def test_one_letter_and_a_filter_cannot_go_together(mixed: Workplace) -> None:
    told = error_line(mixed.drain("--id", "1", "--type", "ok"), 2)
    assert "--id cannot go together with ids or a filter" in told


# What was done


def actions(workplace: Workplace) -> list[dict[str, Any]]:
    done = workplace.run("audit", "projection.db", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["actions"]
    return found


def test_what_was_done_is_in_the_audit(mixed: Workplace) -> None:
    assert actions(mixed) == []
    mixed.environment["LOGNAME"] = "night-shift"
    mixed.run("requeue", "projection.db", "1", "7")
    mixed.run("discard", "projection.db", "--error", "timed out", "--yes", "--as", "Ada L.")
    mixed.drain("--type", "fails", "--as", "bob")
    mixed.drain("--id", "3")
    mixed.drain()
    drained, replayed, failed, discarded, requeued = actions(mixed)
    assert (drained["filter"], drained["done"]) == ({"due": True, "parked": False}, 2)
    assert (replayed["action"], replayed["filter"]) == ("drain", {"ids": "3", "parked": False})
    assert (failed["who"], failed["filter"]) == (
        "bob",
        {"event_type": "fails", "due": True, "parked": False},
    )
    assert (failed["matched"], failed["done"], failed["details"]["failed"]) == (1, 1, 1)
    assert (discarded["who"], discarded["action"]) == ("Ada L.", "discard")
    assert (discarded["matched"], discarded["done"]) == (2, 2)
    assert (requeued["who"], requeued["filter"]) == ("night-shift", {"ids": "1,7", "parked": True})
    assert (requeued["matched"], requeued["done"]) == (1, 1)
    shown = mixed.run("audit", "projection.db", "--limit", "4").stdout
    assert shown.startswith("4 actions in projection.db, newest first\n")
    assert "  discard  by Ada L.\n  2 of 2 dead letters: error timed out\n" in shown


def test_a_name_that_could_not_be_read_is_refused(mixed: Workplace) -> None:
    told = error_line(mixed.run("requeue", "projection.db", "1", "--as", "a\x1b[2Jb"), 2)
    assert "'--as': 'a\\x1b[2Jb': must be a name of 1 to 200 printable characters" in told
    assert mixed.count("permanent_failures") == 3


# Ends of ranges, and ids that are given again


def test_an_age_of_nothing_fits_what_has_just_failed_alone(mixed: Workplace) -> None:
    assert listed(mixed, "--newer-than", "0") == []
    mixed.add(failed_at="2999-01-01 00:00:00")
    assert listed(mixed, "--newer-than", "0") == [7]
    assert listed(mixed, "--older-than", "0") == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "ids", ["0-9223372036854775807", "-9223372036854775808-9223372036854775807"]
)
def test_every_id_is_a_range(mixed: Workplace, ids: str) -> None:
    assert json.loads(mixed.run("list", "projection.db", "--json", "--", ids).stdout)["total"] == 6


def test_stdin_that_is_no_text_or_has_no_end_is_refused(mixed: Workplace, tmp_path: Any) -> None:
    (tmp_path / "ids").write_bytes(b"\xff\n")
    with (tmp_path / "ids").open() as stdin:
        told = error_line(mixed.run("list", "projection.db", "-", stdin=stdin), 2)
    assert "stdin, line 1: " in told
    with open("/dev/zero", "rb") as stdin:  # noqa: PTH123 -- a device
        told = error_line(mixed.run("list", "projection.db", "-", stdin=stdin), 2)
    assert "stdin, line 1: " in told


def test_letters_that_wait_are_drained_on_demand_alone(mixed: Workplace) -> None:
    told = error_line(mixed.drain("--not-due"), 2)
    assert "letters that wait for their time are attempted with --now alone" in told
    assert mixed.report("--not-due", "--now")["attempted"] == 1


def test_ids_that_a_drain_does_not_find_are_told(mixed: Workplace) -> None:
    done = mixed.drain("1", "4", "99")
    assert (
        "2 of the ids are not among the dead letters that are due: 4, 99; --now takes"
        in done.stderr
    )
    assert mixed.count("effects") == 1


@pytest.mark.parametrize("command", ["list", "show"])
def test_ids_that_are_not_there_are_told(mixed: Workplace, command: str) -> None:
    done = mixed.run(command, "projection.db", "1", "98-99", "77", "--json")
    assert (done.returncode, json.loads(done.stdout)["total"]) == (0, 1)
    assert done.stderr == "azoth-dlq: 1 of the ids is not among the dead letters: 77\n"


def test_scattered_ids_are_found_as_fast_as_others(workplace: Workplace) -> None:
    """Each by its own, and not in as many looks at all of the file."""
    workplace.make(*["ok", "deposit"] * 15_000)
    began = time.monotonic()
    report = workplace.report("--type", "ok")
    assert report["succeeded"] == 15_000
    assert time.monotonic() - began < 20


def test_who_gets_an_id_again_is_not_meant(tmp_path: Any) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db", isolation_level=None)) as connection:
        connection.execute(
            "CREATE TABLE dead_letter_queue (id INTEGER PRIMARY KEY, event_id INTEGER, "
            "event_bytes BLOB, error_message TEXT, failed_at TEXT, retry_count INTEGER, "
            "last_retry_at TEXT)"
        )
        queue = DeadLetterQueue(connection)
        ids = [queue.add(n, b"ok:x", "obsolete") for n in range(3)]
        act = Act(queue.store, "discard", LetterFilter(error="obsolete", parked=False), "alice")
        steps = in_parts(queue.store, act, act.freeze(), lambda store, some, _: store.delete(some))
        queue.remove(ids[2])
        assert queue.add(9, b"ok:other", "something else") == ids[2]
        for _ in steps:
            pass
        assert act.done == 2
        assert [letter.event_bytes for letter in queue.letters()] == [b"ok:other"]
