"""`groups`: what went wrong, how often, and what is not shown; the file is only read."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from azoth_dlq.kernels.templates import fingerprint
from tests.cli.conftest import Workplace, error_line
from tests.conftest import DATA

MANY = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
    "SELECT 7, x'', value, '2020-01-01 00:00:00' FROM json_each(?)"
)


def document(workplace: Workplace, *arguments: str) -> dict[str, Any]:
    done = workplace.run("groups", "projection.db", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def table(workplace: Workplace, *arguments: str) -> list[str]:
    done = workplace.run("groups", "projection.db", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def outage(workplace: Workplace) -> Workplace:
    """Three timeouts, one of them retried, and an unknown account; a permanent failure."""
    workplace.make("deposit:1", "ok", error_message="10.0.0.5:5432 timed out after 30s")
    workplace.add(
        error_message="10.0.0.6:5432 timed out after 5 ms",
        retry_count=2,
        failed_at="2020-01-02 00:00:00",
    )
    workplace.add(error_message="unknown account 'secret'")
    workplace.park(error_message="boom 7")
    return workplace


def test_the_document_has_every_group(outage: Workplace) -> None:
    print_key = fingerprint("10.0.0.6:5432 timed out after 5 ms")
    found = document(outage)
    assert len(found["groups"]) == found["groups_found"] == 2
    assert found["groups"][0] == {
        "fingerprint": print_key,
        "template": "<address> timed out after <num>",
        "count": 3,
        "share": 0.75,
        "first_seen": "2020-01-01T00:00:00.000000Z",
        "last_seen": "2020-01-02T00:00:00.000000Z",
        "retry_counts": {"0": 2, "2": 1},
        "event_types": [
            {"event_type": "ok", "letters": 2},
            {"event_type": "deposit", "letters": 1},
        ],
        "example": "10.0.0.6:5432 timed out after 5 ms",
        "example_id": 3,
    }
    assert (found["database"], found["ids_of"]) == ("projection.db", "dead_letters")
    assert (found["total"], found["letters_in_no_group"]) == (4, 0)


def test_the_table_has_a_block_a_group(outage: Workplace) -> None:
    lines = table(outage)
    assert lines[0] == "2 groups of 4 dead letters in projection.db"
    assert lines[2].split() == ["share", "letters", "fingerprint"]
    key = fingerprint("10.0.0.6:5432 timed out after 5 ms")
    assert lines[3].split() == ["75.0%", "3", key]
    assert [line.strip() for line in lines[4:8]] == [
        "<address> timed out after <num>",
        "failed from 2020-01-01 00:00:00 +00:00 to 2020-01-02 00:00:00 +00:00",
        "type ok (2), deposit (1); attempts 0 (2), 2 (1)",
        "letter 3: 10.0.0.6:5432 timed out after 5 ms",
    ]
    assert lines[8].split()[:2] == ["25.0%", "1"]
    assert lines[10].strip() == "failed at 2020-01-01 00:00:00 +00:00"


def test_what_is_not_shown_is_told(outage: Workplace) -> None:
    outage.add(error_message="another thing")
    lines = table(outage, "--limit", "1")
    assert lines[-1] == "not shown: 2 groups with 2 letters"
    assert len(document(outage, "--limit", "1")["groups"]) == 1
    assert table(outage, "--limit", "0")[-1] == "not shown: 3 groups with 5 letters"
    assert not any("not shown" in line for line in table(outage))


def test_permanent_failures_are_grouped_by_themselves(outage: Workplace) -> None:
    assert table(outage, "--parked")[0].startswith("1 group of 1 permanent failure in")
    found = document(outage, "--parked")
    assert found["ids_of"] == "permanent_failures"
    assert [group["template"] for group in found["groups"]] == ["boom <num>"]


def test_letters_in_no_group_are_told(workplace: Workplace) -> None:
    workplace.make("ok", error_message="only one")
    letters = str.maketrans("0123456789", "abcdefghij")
    errors = [f"only {str(n).translate(letters)}" for n in range(10_049)]
    workplace.execute(MANY, json.dumps(errors))
    found = document(workplace, "--limit", "1")
    assert found["letters_in_no_group"] == 5000
    assert found["total"] == 10_050
    lines = table(workplace, "--limit", "1")
    assert lines[-2] == "in no group: 5,000 letters"
    assert "not shown: 5,049 groups with 5,049 letters" in lines


def test_an_empty_file_has_no_groups(workplace: Workplace) -> None:
    workplace.make()
    assert table(workplace) == ["0 groups of 0 dead letters in projection.db"]
    assert document(workplace)["groups"] == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("width", [60, 100, 200])
def test_lines_fit_the_terminal(workplace: Workplace, width: int) -> None:
    import pty  # noqa: PLC0415 -- POSIX alone has it

    from tests.cli.test_progress import read_all  # noqa: PLC0415 -- as above

    for number in range(9):
        workplace.make(f"{'type' * 9}{number}:", retry_count=number, error_message="Größe " * 99)
    workplace.environment["COLUMNS"] = str(width)
    terminal, stdout = pty.openpty()
    with workplace.start("groups", "projection.db", stdout=stdout):
        os.close(stdout)
        lines = read_all(terminal).splitlines()
    assert max(len(line) for line in lines) == width
    assert sum(line.endswith("…") for line in lines) == 3  # template, types, example


def test_control_characters_of_data_never_reach_the_terminal(workplace: Workplace) -> None:
    workplace.make("ok", error_message="\x1b[31mred \x07\x9b")
    assert not any(c in "\n".join(table(workplace)) for c in "\x1b\x07\x9b")


def test_payloads_are_never_shown(workplace: Workplace) -> None:
    workplace.make("ok:secret")
    workplace.add(event_bytes=b'{"secret": 1}')
    workplace.add(event_bytes=b"secret words: 1")
    assert "secret" not in "\n".join(table(workplace))
    assert "secret" not in json.dumps(document(workplace))


def test_the_crates_file_is_grouped_and_stays_as_it_is(workplace: Workplace) -> None:
    content = (DATA / "azoth-0.2.5.db").read_bytes()
    workplace.database.write_bytes(content)
    found = document(workplace)
    assert found["total"] == 5000
    assert sum(group["count"] for group in found["groups"]) == 5000
    assert workplace.database.read_bytes() == content


def test_a_file_that_may_not_be_written_is_grouped(open_workplace: Workplace) -> None:
    open_workplace.make("ok")
    open_workplace.database.chmod(0o444)
    open_workplace.folder.chmod(0o555)
    done = open_workplace.as_user("groups", "projection.db")
    assert done.returncode == 0, done.stderr
    assert "1 group of 1 dead letter" in done.stdout


@pytest.mark.parametrize("limit", ["-1", "many", "1.5", ""])
def test_a_limit_that_is_none_is_wrong_usage(workplace: Workplace, limit: str) -> None:
    workplace.make("ok")
    done = workplace.run("groups", "projection.db", "--limit", limit)
    assert "must be a whole number, 0 or more" in error_line(done, 2)


def test_a_file_that_is_none_is_told(workplace: Workplace) -> None:
    assert "there is no file" in error_line(workplace.run("groups", "none.db"), 1)
    (workplace.folder / "text.db").write_text("no database at all" * 99)
    error_line(workplace.run("groups", "text.db"), 1)


def test_times_that_cannot_be_read_are_told(workplace: Workplace) -> None:
    workplace.make("ok", failed_at="some day")
    assert any("failed at times that cannot be read" in line for line in table(workplace))
