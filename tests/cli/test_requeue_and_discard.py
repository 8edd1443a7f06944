"""`requeue` and `discard`: which letters they change, what they ask, and how they end early."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Workplace, error_line, last_error_line

PAST = {"requeue": "requeued", "discard": "discarded"}


def change(workplace: Workplace, command: str, *arguments: str) -> dict[str, Any]:
    """The document of a change that went well."""
    done = workplace.run(command, "projection.db", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def left(workplace: Workplace, table: str = "dead_letter_queue") -> list[int]:
    statement = f"SELECT id FROM {table} ORDER BY id"  # noqa: S608 -- a name of our own
    return [row_id for (row_id,) in workplace.execute(statement)]


@pytest.fixture
def mixed(workplace: Workplace) -> Workplace:
    """Dead letters 1 to 4, and permanent failures 1 to 3, of which 2 is of another error."""
    workplace.make("ok", "ok", "ok", "deposit")
    for error in ("TimeOut", "boom", "timeout"):
        workplace.park(error_message=error, retry_count=5, event_bytes=b"deposit:5")
    return workplace


# By ids


def test_permanent_failures_are_requeued_by_their_own_ids(mixed: Workplace) -> None:
    mixed.execute("DELETE FROM dead_letter_queue WHERE id = 1")
    document = change(mixed, "requeue", "3")
    (group,) = document.pop("groups")
    assert (group["count"], group["template"]) == (1, "timeout")
    assert document == {
        "database": "projection.db",
        "matched": 1,
        "requeued": 1,
        "left_alone": 0,
        "missing": [],
    }
    assert left(mixed, "permanent_failures") == [1, 2]
    afresh = mixed.execute(
        "SELECT id, event_bytes, retry_count FROM dead_letter_queue WHERE error_message = 'timeout'"
    )
    assert afresh == [(1, b"deposit:5", 0)]


def test_letters_are_discarded_by_ids(mixed: Workplace) -> None:
    document = change(mixed, "discard", "2", "4", "2")
    assert (document["matched"], document["discarded"], document["missing"]) == (2, 2, [])
    assert left(mixed) == [1, 3]
    assert left(mixed, "permanent_failures") == [1, 2, 3]


def test_permanent_failures_are_discarded_on_demand(mixed: Workplace) -> None:
    assert change(mixed, "discard", "--parked", "2")["discarded"] == 1
    assert left(mixed) == [1, 2, 3, 4]
    assert left(mixed, "permanent_failures") == [1, 3]


@pytest.mark.parametrize(
    ("command", "space"), [("requeue", "permanent failures"), ("discard", "dead letters")]
)
def test_ids_that_are_not_there_are_told_after_the_others(
    mixed: Workplace, command: str, space: str
) -> None:
    done = mixed.run(command, "projection.db", "--", "9", "1", "-5", "9", "3")
    assert done.returncode == 1
    assert done.stdout == f"2 {space} {PAST[command]}\n"
    shown = "list projection.db --parked" if command == "requeue" else "list projection.db"
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("azoth-dlq: 2 of ")
    assert last == (
        f"azoth-dlq: 2 of the ids are not among the {space}: 9, -5; "
        f"`azoth-dlq {shown}` shows the ids"
    )
    done = mixed.run(command, "projection.db", "--json", "1", "2")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document[PAST[command]], document["missing"]) == (1, [1])


def test_an_id_missing_among_the_first_of_many_is_told_by_the_exit_code(
    workplace: Workplace,
) -> None:
    workplace.make(*["ok"] * 1001)
    done = workplace.run("discard", "projection.db", "5000", *map(str, range(1, 1002)))
    assert done.returncode == 1
    assert done.stdout == "1,001 dead letters discarded\n"
    assert "1 of the ids is not among the dead letters: 5000" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["requeue", "4"], "the permanent failures: 4; among the dead letters: 4 (those need no"),
        (["discard", "--parked", "4"], "among the dead letters: 4 (leave out --parked"),
        (["discard", "5", "6"], "the dead letters: 5, 6; among the permanent failures: 5 (give --"),
    ],
)
def test_ids_of_the_other_space_are_told_with_the_way_to_them(
    mixed: Workplace, arguments: list[str], told: str
) -> None:
    mixed.execute("UPDATE permanent_failures SET id = 5 WHERE id = 2")
    command, *ids = arguments
    done = mixed.run(command, "projection.db", *ids)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert told in line
    assert ("1 of the ids is not" in line) == ("6" not in ids)


def test_one_letter_is_told_in_the_singular(mixed: Workplace) -> None:
    done = mixed.run("discard", "projection.db", "--type", "deposit", "--yes")
    assert done.stdout == "1 dead letter discarded\n"
    mixed.execute("DELETE FROM permanent_failures WHERE id > 1")
    done = mixed.run("requeue", "projection.db", "--all", "--yes")
    assert "1 of 1 permanent failure in projection.db will go back" in done.stderr


def test_many_ids_are_changed_in_several_transactions(workplace: Workplace) -> None:
    workplace.make(*["ok"] * 2500)
    # Those of the last transaction are all there.
    given = [str(n) for n in [*range(2501, 2600), *range(2, 2501)]]
    done = workplace.run("discard", "projection.db", "--json", *given)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["discarded"] == 2499
    assert document["missing"] == list(range(2501, 2600))
    assert left(workplace) == [1]
    assert done.stderr.splitlines()[-1] == (
        "azoth-dlq: 99 of the ids are not among the dead letters: "
        "2501, 2502, 2503, 2504, 2505, 2506, 2507, 2508, 2509, 2510, …; "
        "`azoth-dlq list projection.db` shows the ids"
    )


# By filter


def test_letters_that_fit_are_requeued(mixed: Workplace) -> None:
    done = mixed.run("requeue", "projection.db", "--error", "timeout", "--yes")
    assert (done.returncode, done.stdout) == (0, "2 permanent failures requeued\n")
    assert done.stderr.startswith(
        "azoth-dlq: 2 of 3 permanent failures in projection.db will go back among the dead "
        "letters\n"
    )
    assert left(mixed, "permanent_failures") == [2]
    assert len(left(mixed)) == 6


def test_letters_that_fit_are_discarded(mixed: Workplace) -> None:
    done = mixed.run("discard", "projection.db", "--type", "ok", "--older-than", "1d", "--yes")
    assert (done.returncode, done.stdout) == (0, "3 dead letters discarded\n")
    assert done.stderr.startswith(
        "azoth-dlq: 3 of 4 dead letters in projection.db will be deleted for good\n"
    )
    assert left(mixed) == [4]


def test_permanent_failures_that_fit_are_discarded(mixed: Workplace) -> None:
    assert change(mixed, "discard", "--parked", "--error", "BOOM", "--yes")["discarded"] == 1
    assert left(mixed) == [1, 2, 3, 4]
    assert left(mixed, "permanent_failures") == [1, 3]


@pytest.mark.parametrize(
    ("command", "more", "table", "done"),
    [
        ("requeue", [], "permanent_failures", 3),
        ("discard", [], "dead_letter_queue", 4),
        ("discard", ["--parked"], "permanent_failures", 3),
    ],
)
def test_all_takes_every_letter(
    mixed: Workplace, command: str, more: list[str], table: str, done: int
) -> None:
    document = change(mixed, command, "--all", "--yes", *more)
    assert done in document.values()
    assert left(mixed, table) == []


@pytest.mark.parametrize("command", PAST)
def test_where_no_letter_fits_nothing_is_done(mixed: Workplace, command: str) -> None:
    document = change(mixed, command, "--error", "none such", "--yes")
    assert 0 in document.values()
    assert (len(left(mixed)), len(left(mixed, "permanent_failures"))) == (4, 3)


# Wrong usage


@pytest.mark.parametrize("command", PAST)
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no letters are given: give ids or a filter, or --all for every one"),
        (["--yes"], "no letters are given"),
        (["1", "--all", "--yes"], "--all cannot go together with ids or a filter"),
        (["--all", "--type", "x", "--yes"], "--all cannot go together with ids or a filter"),
        (["one"], "Invalid value for '[ID]...'"),
        ([str(2**63)], "Invalid value for '[ID]...'"),
        (["--older-than", "2w", "--yes"], "'--older-than': '2w': must be seconds"),
    ],
)
def test_wrong_usage_changes_nothing(
    mixed: Workplace, command: str, arguments: list[str], told: str
) -> None:
    line = error_line(mixed.run(command, "projection.db", *arguments), 2)
    assert told in line
    assert line.endswith(f"see azoth-dlq {command} --help")
    assert (len(left(mixed)), len(left(mixed, "permanent_failures"))) == (4, 3)


@pytest.mark.parametrize("command", PAST)
@pytest.mark.parametrize("arguments", [["--all"], ["1-4", "--type", "deposit"], ["--type", "ok"]])
def test_where_nobody_can_be_asked_nothing_is_changed(
    mixed: Workplace, command: str, arguments: list[str]
) -> None:
    mixed.park(event_bytes=b"ok:x")
    line = last_error_line(mixed.run(command, "projection.db", "--json", *arguments), 2)
    assert "; this is no terminal, so pass --yes to go on; see azoth-dlq" in line
    assert (len(left(mixed)), len(left(mixed, "permanent_failures"))) == (4, 4)


def test_ids_and_conditions_narrow_one_another(mixed: Workplace) -> None:
    document = change(mixed, "requeue", "1-2", "9", "--error", "timeout", "--yes")
    assert (document["requeued"], document["missing"]) == (1, [])
    assert left(mixed, "permanent_failures") == [2, 3]


def test_requeue_knows_no_other_space(workplace: Workplace) -> None:
    line = error_line(workplace.run("requeue", "none.db", "--parked", "1"), 2)
    assert "No such option" in line


# Asking


def asked(
    workplace: Workplace, answer: str, *arguments: str, meanwhile: Callable[[], None] | None = None
) -> tuple[int, str, str]:
    """Exit code, stdout, and what the terminal showed of a command that is answered."""
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    terminal, theirs = pty.openpty()
    with workplace.start(*arguments, stdin=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            ready, _, _ = select.select([terminal], [], [], 10)
            if not ready:
                process.kill()
            assert ready, shown
            shown += os.read(terminal, 4096)
        if meanwhile is not None:
            meanwhile()
        os.write(terminal, answer.encode())
        assert process.stdout is not None
        stdout = process.stdout.read()
        process.wait(timeout=30)
        shown += os.read(terminal, 4096)
    os.close(terminal)
    return process.returncode, stdout, shown.decode()


def test_a_terminal_is_asked_on_stderr(mixed: Workplace) -> None:
    arguments = ("requeue", "projection.db", "--error", "timeout", "--json")
    code, stdout, shown = asked(mixed, "y\n", *arguments)
    assert code == 0
    assert "2 of 3 permanent failures in projection.db will go back among" in shown
    assert stdout.startswith("{")
    assert json.loads(stdout)["requeued"] == 2
    assert left(mixed, "permanent_failures") == [2]


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_another_answer_than_yes_changes_nothing(mixed: Workplace, answer: str) -> None:
    code, stdout, shown = asked(mixed, answer, "discard", "projection.db", "--all")
    assert (code, stdout) == (1, "")
    assert "azoth-dlq: nothing was changed\r\n" in shown
    assert left(mixed) == [1, 2, 3, 4]


def test_an_interrupt_at_the_question_changes_nothing(mixed: Workplace) -> None:
    code, stdout, _ = asked(mixed, "\x04", "discard", "projection.db", "--all")
    assert (code, stdout) == (130, "")
    assert left(mixed) == [1, 2, 3, 4]


def test_what_arrives_while_it_asks_is_not_touched(mixed: Workplace) -> None:
    arguments = ("discard", "projection.db", "--type", "ok")
    code, _, _ = asked(mixed, "y\n", *arguments, meanwhile=mixed.add)
    assert code == 0
    assert left(mixed) == [4, 5]


def test_nobody_is_asked_where_the_question_would_not_be_seen(mixed: Workplace) -> None:
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    terminal, theirs = pty.openpty()
    os.write(terminal, b"n\n")  # for a question that must not come
    done = mixed.run("discard", "projection.db", "--all", stdin=theirs)
    os.close(theirs)
    os.close(terminal)
    assert "pass --yes" in last_error_line(done, 2)
    assert left(mixed) == [1, 2, 3, 4]


# Files that cannot be written, by an ordinary user: root ignores modes


@pytest.mark.parametrize("arguments", [["1"], ["--all", "--yes"]])
@pytest.mark.parametrize("command", PAST)
def test_a_file_that_may_not_be_written_is_told_and_stays(
    open_workplace: Workplace, command: str, arguments: list[str]
) -> None:
    open_workplace.make("ok")
    open_workplace.park()
    open_workplace.execute("PRAGMA journal_mode=DELETE")
    open_workplace.database.chmod(0o444)
    open_workplace.folder.chmod(0o555)
    done = open_workplace.as_user(command, "projection.db", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "projection.db cannot be written; check its permissions" in done.stderr.splitlines()[-1]
    assert left(open_workplace) == left(open_workplace, "permanent_failures") == [1]
