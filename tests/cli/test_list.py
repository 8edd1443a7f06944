"""`list`: which letters, in what order, with what columns, and never their payloads."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from tests.cli.conftest import Workplace, error_line
from tests.conftest import DATA


def listed(workplace: Workplace, *arguments: str) -> dict[str, Any]:
    done = workplace.run("list", "projection.db", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def ids(workplace: Workplace, *arguments: str) -> list[int]:
    return [letter["id"] for letter in listed(workplace, *arguments)["letters"]]


def table(workplace: Workplace, *arguments: str) -> str:
    done = workplace.run("list", "projection.db", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_document_has_every_column_but_the_payload(workplace: Workplace) -> None:
    workplace.make("ok:secret")
    workplace.execute(
        "UPDATE dead_letter_queue SET retry_count = 2, last_retry_at = '2021-01-01T00:00:00Z', "
        "azoth_last_error = 'later', azoth_not_before = 1700000000000000, "
        "azoth_not_before_count = 2, azoth_not_before_retry_at = '2021-01-01T00:00:00Z'"
    )
    document = listed(workplace)
    assert document["letters"][0].pop("age") > 10**8
    assert document == {
        "database": "projection.db",
        "ids_of": "dead_letters",
        "total": 1,
        "letters": [
            {
                "id": 1,
                "event_id": 7,
                "event_type": "ok",
                "event_size": 9,
                "error_message": "boom",
                "failed_at": "2020-01-01 00:00:00",
                "retry_count": 2,
                "last_retry_at": "2021-01-01T00:00:00Z",
                "last_error": "later",
                "not_before": "2023-11-14T22:13:20.000000Z",
            }
        ],
    }


def test_permanent_failures_have_columns_of_their_own(workplace: Workplace) -> None:
    workplace.make("ok")
    parked = workplace.park()
    document = listed(workplace, "--parked")
    assert document["ids_of"] == "permanent_failures"
    (letter,) = document["letters"]
    assert (letter["id"], letter["dead_letter_id"], letter["reason"]) == (parked, 1, "poison")
    assert "marked_permanent_at" in letter
    assert "event_bytes" not in letter


def test_the_newest_come_first_up_to_the_limit(workplace: Workplace) -> None:
    workplace.make(*["ok"] * 123)
    document = listed(workplace)
    assert document["total"] == 123
    assert [letter["id"] for letter in document["letters"]] == list(range(123, 73, -1))
    assert ids(workplace, "--limit", "110") == list(range(123, 13, -1))
    assert ids(workplace, "--limit", "99999999999999999999") == list(range(123, 0, -1))
    none = listed(workplace, "--limit", "0")
    assert (none["total"], none["letters"]) == (123, [])


def test_the_heading_tells_the_space_and_how_many_there_are(workplace: Workplace) -> None:
    workplace.make(*["ok"] * 3, "fails")
    workplace.park()
    first_lines = [
        table(workplace, *arguments).splitlines()[0]
        for arguments in ([], ["--limit", "2"], ["--type", "ok"], ["--parked"], ["--type", "no"])
    ]
    assert first_lines == [
        "4 of 4 dead letters in projection.db, newest first",
        "2 of 4 dead letters in projection.db, newest first",
        "3 of 3 dead letters that fit in projection.db, newest first",
        "1 of 1 permanent failure in projection.db, newest first",
        "0 of 0 dead letters that fit in projection.db, newest first",
    ]
    assert len(table(workplace, "--type", "no").splitlines()) == 1


def test_the_table_has_a_row_a_letter(workplace: Workplace) -> None:
    workplace.make("ok:secret", retry_count=3, error_message="first line\nsecond line")
    workplace.make("deposit:secret", event_id=123456, failed_at="never")
    shown = table(workplace).splitlines()[2:]
    assert re.split(r"  +", shown[0].strip()) == [
        "id", "event id", "type", "attempts", "failed at", "age", "last error",
    ]  # fmt: skip
    assert re.split(r"  +", shown[1].strip()) == [
        "2", "123456", "deposit", "0", "never", "?", "boom",
    ]  # fmt: skip
    assert re.fullmatch(
        r" +1 +7  ok +3  2020-01-01 00:00:00 \+00:00  \d+ d( \d+ \w+)? +first line …", shown[2]
    )
    assert shown[0].index("last error") == shown[1].index("boom") == shown[2].index("first line")


def test_a_letter_is_shown_with_why_it_is_there_now(workplace: Workplace) -> None:
    workplace.make("ok", "ok")
    workplace.execute("UPDATE dead_letter_queue SET azoth_last_error = 'later' WHERE id = 2")
    workplace.park(error_message="first")
    errors = [line.split()[-1] for line in table(workplace).splitlines()[2:]]
    assert errors == ["error", "later", "boom"]
    heading, row = table(workplace, "--parked").splitlines()[2:]
    assert (heading.split()[-1], row.split()[-1]) == ("reason", "poison")
    assert ids(workplace, "--error", "boom") == [2, 1]
    assert ids(workplace, "--error", "later") == [2]
    assert ids(workplace, "--error", "poison") == []


def test_times_are_shown_in_one_form(workplace: Workplace) -> None:
    workplace.make("ok", "ok", failed_at="2020-01-01T01:00:00.5+01:00")
    workplace.add()
    times = re.findall(r"2020-01-01.*? \+00:00", table(workplace))
    assert times == ["2020-01-01 00:00:00 +00:00"] * 3


@pytest.mark.parametrize(
    "event", ["secret", '{"secret": 1}', "secret words: 1", f"{'secret' * 20}:1", "<secret:x>"]
)
def test_what_may_be_payload_is_not_shown_as_a_type(workplace: Workplace, event: str) -> None:
    workplace.make()
    workplace.add(event_bytes=event.encode())
    assert "secret" not in table(workplace)
    (letter,) = listed(workplace)["letters"]
    assert letter["event_type"] is None
    assert "secret" not in json.dumps(letter)


def test_columns_of_another_program_are_shown_whatever_they_are(workplace: Workplace) -> None:
    workplace.make()
    workplace.add(event_id=b"\x00secret", retry_count=1e999, failed_at="x" * 90)
    workplace.add(event_id="text", retry_count="many", event_bytes="ok:text")
    workplace.execute("UPDATE dead_letter_queue SET error_message = CAST(x'ff1b0a41' AS TEXT)")
    shown = table(workplace)
    assert "secret" not in shown
    assert f"{'x' * 39}…" in shown
    assert r"�\x1b …" in shown
    newest, oldest = listed(workplace)["letters"]
    assert (newest["event_id"], newest["retry_count"]) == ("text", "many")
    assert newest["event_type"] == "ok"
    assert (oldest["event_id"], oldest["retry_count"]) == ("<7 bytes>", "inf")


def test_a_failure_ahead_has_age_zero(workplace: Workplace) -> None:
    workplace.make("ok", failed_at="9999-01-01 00:00:00")
    assert listed(workplace)["letters"][0]["age"] == 0


def test_the_crates_file_is_listed_and_stays_as_it_is(workplace: Workplace) -> None:
    content = (DATA / "azoth-0.2.5.db").read_bytes()
    workplace.database.write_bytes(content)
    assert listed(workplace)["total"] == 5000
    assert listed(workplace, "--parked")["total"] == 0
    assert workplace.database.read_bytes() == content


def test_a_file_that_may_not_be_written_is_listed(open_workplace: Workplace) -> None:
    open_workplace.make("ok")
    open_workplace.database.chmod(0o444)
    open_workplace.folder.chmod(0o555)
    done = open_workplace.as_user("list", "projection.db", "--older-than", "1s")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 dead letter that fits" in done.stdout


# Filters


@pytest.fixture
def mixed(workplace: Workplace) -> Workplace:
    """1: a timeout of a deposit, long ago; 2: a deadlock, retried; 3: ahead; 4: unreadable."""
    workplace.make("deposit:5", error_message="TimeOut")
    workplace.add(error_message="deadlock", retry_count=2, failed_at="2020-01-01T00:00:00Z")
    workplace.add(failed_at="9999-01-01 00:00:00", retry_count=4)
    workplace.add(failed_at="?", retry_count="?")
    return workplace


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--error", "timeout"], [1]),
        (["--error", "O"], [4, 3, 2, 1]),
        (["--type", "deposit"], [1]),
        (["--type", "ok"], [4, 3, 2]),
        (["--older-than", "1"], [2, 1]),
        (["--older-than", "0.5"], [2, 1]),
        (["--older-than", "90s"], [2, 1]),
        (["--older-than", "1.5h"], [2, 1]),
        (["--older-than", "1000d"], [2, 1]),
        (["--older-than", "36500d"], []),
        (["--older-than", "9999999999999999999d"], []),
        (["--newer-than", "15m"], [3]),
        (["--newer-than", "36500d"], [3, 2, 1]),
        (["--min-retry-count", "2"], [3, 2]),
        (["--max-retry-count", "2"], [2, 1]),
        (["--min-retry-count", "2", "--max-retry-count", "2"], [2]),
        (["--type", "ok", "--error", "boom", "--min-retry-count", "1"], [3]),
        (["--type", "deposit", "--error", "deadlock"], []),
    ],
)
def test_letters_that_fit_all_the_options_are_listed(
    mixed: Workplace, arguments: list[str], found: list[int]
) -> None:
    assert ids(mixed, *arguments) == found


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--error", ""], "'--error': '': must be a text of one character or more"),
        (["--type", "a:b"], "'--type': 'a:b': must be a text"),
        (["--older-than", "2w"], "'--older-than': '2w': must be seconds, such as 90 or 0.5, or"),
        (["--older-than", "h"], "'--older-than': 'h': must be seconds"),
        (["--newer-than", "-5"], "'--newer-than': '-5': must be seconds"),
        (["--newer-than", "1hm"], "'--newer-than': '1hm': must be seconds"),
        (["--min-retry-count", "x"], "'--min-retry-count': 'x': must be an int from 0"),
        (["--max-retry-count", "9" * 30], "must be an int from 0"),
        (["--older-than", "2h", "--newer-than", "1h"], "--older-than=2:00:00: must be at most "),
        (["--min-retry-count", "3", "--max-retry-count", "2"], "at most --max-retry-count, which"),
        (["--limit", "-1"], "'--limit': '-1': must be a whole number, 0 or more"),
        (["--limit", "many"], "'--limit': 'many': must be a whole number, 0 or more"),
        (["--eror", "x"], "--error"),
        (["--ids", "--json"], "--ids and --json cannot go together; give one of them"),
    ],
)
def test_wrong_options_are_told(workplace: Workplace, arguments: list[str], told: str) -> None:
    line = error_line(workplace.run("list", "none.db", *arguments), 2)
    assert told in line
    assert line.endswith("see azoth-dlq list --help")


@pytest.mark.skipif(os.name == "nt", reason="Windows gives no bytes as arguments")
def test_an_argument_that_is_not_utf8_is_told(workplace: Workplace) -> None:
    line = error_line(workplace.run("list", "none.db", "--error", "a\udcff"), 2)
    assert "must be a text without lone surrogates" in line


# On a terminal


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_a_terminal_cuts_errors_to_its_width(workplace: Workplace) -> None:
    import pty  # noqa: PLC0415 -- POSIX alone has it

    from tests.cli.test_progress import read_all  # noqa: PLC0415 -- as above

    workplace.make("ok", error_message="e" * 300)
    assert "e" * 300 in table(workplace)
    shown = []
    for columns in ("100", "30"):
        workplace.environment["COLUMNS"] = columns
        terminal, stdout = pty.openpty()
        with workplace.start("list", "projection.db", stdout=stdout):
            os.close(stdout)
            shown.append(read_all(terminal).splitlines()[-1])
    assert len(shown[0]) == 100
    assert shown[0].endswith("eee…")
    assert re.search(r" e{19}…$", shown[1])
