"""`edit`: another payload for a letter, by an editor, a file or stdin, and the original again."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Workplace, error_line, until

EVENT = "SELECT event_bytes FROM {} WHERE id = ?"
# An editor: writes down what it was given, does `{then}`, and saves what it is told to.
EDITOR = """
import pathlib, sys, time
file = pathlib.Path(sys.argv[1])
pathlib.Path("given.txt").write_bytes(file.read_bytes())
{then}
file.write_bytes({saved!r})
"""
WAIT = """
pathlib.Path("open").touch()
while not pathlib.Path("close").exists():
    time.sleep(0.01)
"""
# Waits within its call, outside any transaction.
CALLING = """
import pathlib, time
@registry.handler("calls", transactional=False)
def calls(conn, event_id, payload):
    pathlib.Path("called.txt").open("ab").write(payload + b"\\n")
    pathlib.Path("in_hand").touch()
    while not pathlib.Path("finish").exists():
        time.sleep(0.01)
    if payload == b"bad":
        raise ValueError("bad payload")
"""


@pytest.fixture
def poisoned(workplace: Workplace) -> Workplace:
    workplace.make("ok:first", "ok:second")
    workplace.park(event_bytes=b"deposit:five")
    return workplace


def event(workplace: Workplace, letter_id: int, table: str = "dead_letter_queue") -> bytes:
    ((found,),) = workplace.execute(EVENT.format(table), letter_id)
    return bytes(found)


def use_editor(workplace: Workplace, saved: bytes, then: str = "") -> None:
    (workplace.folder / "editor.py").write_text(EDITOR.format(saved=saved, then=then))
    workplace.environment.pop("VISUAL", None)
    workplace.environment["EDITOR"] = f"{sys.executable} editor.py"


def history(workplace: Workplace, letter_id: int) -> list[str]:
    shown = json.loads(workplace.run("show", "projection.db", str(letter_id), "--json").stdout)
    return [attempt["outcome"] for attempt in shown["history"]]


def kept_file(told: str) -> Path:
    match = re.search(r"what was written is kept in (\S+)", told)
    assert match is not None, told
    return Path(match[1])


# How


def test_the_editor_gets_the_whole_event_and_its_text_is_taken(poisoned: Workplace) -> None:
    use_editor(poisoned, b"ok:mended\n")
    done = poisoned.run("edit", "projection.db", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "1 of the dead letters is edited, 9 bytes now; "
        "`azoth-dlq edit projection.db 1 --restore` puts it back\n"
    )
    assert (poisoned.folder / "given.txt").read_bytes() == b"ok:first"
    # The line end is the editor's.
    assert (event(poisoned, 1), event(poisoned, 2)) == (b"ok:mended", b"ok:second")


def test_a_line_end_that_was_there_stays(poisoned: Workplace) -> None:
    poisoned.execute("UPDATE dead_letter_queue SET event_bytes = ? WHERE id = 1", b"ok:a\nb\n")
    use_editor(poisoned, b"ok:c\nd\n")
    poisoned.run("edit", "projection.db", "1")
    assert event(poisoned, 1) == b"ok:c\nd\n"


def test_a_file_and_stdin_are_taken_byte_for_byte(poisoned: Workplace, tmp_path: Path) -> None:
    (tmp_path / "new.bin").write_bytes(b"deposit:\xff\0\n")
    done = poisoned.run("edit", "projection.db", "1", "--parked", "--file", "new.bin")
    assert done.stdout.startswith("1 of the permanent failures is edited, 11 bytes now")
    assert event(poisoned, 1, "permanent_failures") == b"deposit:\xff\0\n"
    with (tmp_path / "new.bin").open() as stdin:
        document = json.loads(
            poisoned.run("edit", "projection.db", "2", "--stdin", "--json", stdin=stdin).stdout
        )
    assert document == {
        "database": "projection.db",
        "ids_of": "dead_letters",
        "id": 2,
        "done": "edited",
        "event_size": 11,
    }
    assert event(poisoned, 2) == b"deposit:\xff\0\n"
    assert event(poisoned, 1) == b"ok:first"


def test_the_original_is_put_back(poisoned: Workplace) -> None:
    for content in (b"ok:x", b"ok:y"):
        use_editor(poisoned, content)
        poisoned.run("edit", "projection.db", "1", "--as", "alice")
    done = poisoned.run("edit", "projection.db", "1", "--restore", "--as", "bob")
    assert done.stdout == "1 of the dead letters is as it was before it was edited: 8 bytes\n"
    assert event(poisoned, 1) == b"ok:first"
    assert history(poisoned, 1) == ["edited", "edited", "put back"]
    actions = json.loads(poisoned.run("audit", "projection.db", "--json").stdout)["actions"]
    assert [(one["who"], one["action"], one["done"]) for one in actions] == [
        ("bob", "put back", 1),
        ("alice", "edit", 1),
        ("alice", "edit", 1),
    ]


def test_what_is_not_changed_is_not_written(poisoned: Workplace) -> None:
    use_editor(poisoned, b"ok:first\n")
    done = poisoned.run("edit", "projection.db", "1")
    assert done.stdout == "1 of the dead letters is unchanged\n"
    assert history(poisoned, 1) == []


def test_a_letter_is_found_by_any_filter_that_only_it_fits(poisoned: Workplace) -> None:
    poisoned.execute("UPDATE dead_letter_queue SET error_message = 'timeout' WHERE id = 2")
    use_editor(poisoned, b"ok:mended")
    assert poisoned.run("edit", "projection.db", "--error", "timeout").returncode == 0
    assert event(poisoned, 2) == b"ok:mended"
    told = error_line(poisoned.run("edit", "projection.db", "--type", "ok"), 1)
    assert "of the dead letters 2 fit: 1, 2; give its id" in told


def test_an_edited_letter_is_drained_once_in_its_new_form(poisoned: Workplace) -> None:
    poisoned.execute("UPDATE dead_letter_queue SET event_bytes = ? WHERE id = 2", b"fails:x")
    (poisoned.folder / "new").write_bytes(b"ok:x")
    poisoned.run("edit", "projection.db", "2", "--file", "new")
    assert poisoned.report()["succeeded"] == 2
    assert poisoned.count("dead_letter_queue") == poisoned.count("azoth_dlq_history") == 0


# What keeps it from being edited


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no letter is given; give its id"),
        (["1", "--stdin", "--restore"], "--stdin and --restore cannot go together"),
        (["1", "--file", "missing"], "--file: missing cannot be read: No such file"),
    ],
)
def test_wrong_usage(poisoned: Workplace, arguments: list[str], told: str) -> None:
    assert told in error_line(poisoned.run("edit", "projection.db", *arguments), 2)


def test_letters_that_are_not_there_or_not_edited(poisoned: Workplace) -> None:
    told = error_line(poisoned.run("edit", "projection.db", "9", "--restore"), 1)
    assert "has no 9 among its dead letters; `azoth-dlq list projection.db` shows the ids" in told
    told = error_line(poisoned.run("edit", "projection.db", "1", "--restore"), 1)
    assert "1 of the dead letters was never edited, so nothing can be put back" in told
    told = error_line(poisoned.run("edit", "projection.db", "2", "--parked", "--restore"), 1)
    assert "but among its dead letters: leave out --parked to edit that one" in told


def test_what_is_no_text_is_not_given_to_an_editor(poisoned: Workplace) -> None:
    poisoned.execute("UPDATE dead_letter_queue SET event_bytes = ? WHERE id = 1", b"ok:\xff")
    use_editor(poisoned, b"x")
    told = error_line(poisoned.run("edit", "projection.db", "1"), 1)
    assert "is no text that an editor would leave as it is" in told
    assert not (poisoned.folder / "given.txt").exists()


def editor_error(workplace: Workplace) -> str:
    """The one line about an editor that does not edit; before it a line of the shell, by which
    click before 8.3.1 starts editors."""
    done = workplace.run("edit", "projection.db", "1")
    if tuple(map(int, version("click").split(".")[:3])) < (8, 3, 1):
        done.stderr = done.stderr.splitlines(keepends=True)[-1]
    return error_line(done, 1)


def test_an_editor_that_fails_changes_nothing(poisoned: Workplace) -> None:
    use_editor(poisoned, b"x", then="sys.exit(3)")
    assert "editor.py: Editing failed" in editor_error(poisoned)
    poisoned.environment["EDITOR"] = "no-such-editor"
    assert "no-such-editor" in editor_error(poisoned)
    assert event(poisoned, 1) == b"ok:first"


def edit_meanwhile(workplace: Workplace, meanwhile: Any) -> str:
    """What an edit tells in whose editor the letter was open while something happened."""
    use_editor(workplace, b"ok:mended", then=WAIT)
    with workplace.start("edit", "projection.db", "1") as process:
        until((workplace.folder / "open").exists, process)
        meanwhile()
        (workplace.folder / "close").touch()
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (1, "")
    return str(stderr)


def test_a_letter_that_was_drained_meanwhile_is_told_and_the_text_kept(
    poisoned: Workplace,
) -> None:
    told = edit_meanwhile(poisoned, poisoned.report)
    assert "1 is not among the dead letters any more: it was done, moved or deleted" in told
    kept = kept_file(told)
    assert kept.read_bytes() == b"ok:mended"
    assert os.name == "nt" or kept.stat().st_mode & 0o077 == 0
    kept.unlink()
    assert poisoned.count("effects") == 2


def test_a_letter_that_was_edited_meanwhile_is_told_and_the_text_kept(
    poisoned: Workplace,
) -> None:
    def meanwhile() -> None:
        (poisoned.folder / "other").write_bytes(b"ok:other")
        poisoned.run("edit", "projection.db", "1", "--file", "other")

    told = edit_meanwhile(poisoned, meanwhile)
    assert "the event of 1 was changed by somebody else meanwhile; nothing was changed" in told
    kept_file(told).unlink()
    assert event(poisoned, 1) == b"ok:other"


def test_a_letter_is_never_replayed_in_both_forms(workplace: Workplace) -> None:
    """A drain has it in hand, in a call outside any transaction."""
    workplace.add_handler(CALLING)
    workplace.make("calls:bad")
    (workplace.folder / "good").write_bytes(b"calls:good")
    arguments = ("drain", "projection.db", "--handlers", "handlers:registry")
    with workplace.start(*arguments) as drain:
        until((workplace.folder / "in_hand").exists, drain)
        told = error_line(workplace.run("edit", "projection.db", "1", "--file", "good"), 1)
        assert "letter 1 is in the hands of a handler now; it can be changed when that" in told
        assert event(workplace, 1) == b"calls:bad"
        (workplace.folder / "finish").touch()
        drain.communicate(timeout=60)
    assert workplace.run("edit", "projection.db", "1", "--file", "good").returncode == 0
    assert workplace.report("--now")["succeeded"] == 1
    assert (workplace.folder / "called.txt").read_bytes() == b"bad\ngood\n"


def test_edits_amid_a_drain_leave_each_letter_done_once_in_one_form(workplace: Workplace) -> None:
    workplace.add_handler(
        """
import time
@registry.handler("note")
def note(conn, event_id, payload):
    time.sleep(0.002)
    conn.execute("INSERT INTO notes VALUES (?, ?)", (event_id, payload))
"""
    )
    letters = 600
    workplace.make("note:old")
    workplace.execute("CREATE TABLE notes (event_id, payload)")
    workplace.execute(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
        "SELECT i, x'6e6f74653a6f6c64', 'boom', '2020-01-01 00:00:00' FROM n",
        letters,
    )
    workplace.execute("UPDATE dead_letter_queue SET event_id = id")
    (workplace.folder / "new").write_bytes(b"note:new")
    edited = set()
    with workplace.start("drain", "projection.db", "--handlers", "handlers:registry") as drain:
        for letter_id in range(letters, 0, -67):
            done = workplace.run("edit", "projection.db", str(letter_id), "--file", "new")
            assert done.returncode == 0 or "has no" in done.stderr or "any more" in done.stderr
            if done.returncode == 0:
                edited.add(letter_id)
            time.sleep(0.01)
        drain.communicate(timeout=60)
    notes = workplace.execute("SELECT event_id, payload FROM notes ORDER BY event_id")
    assert [event_id for event_id, _ in notes] == list(range(1, letters + 1))
    assert {event_id for event_id, payload in notes if payload == b"new"} == edited
    assert edited


def test_ctrl_c_is_the_editors_and_what_a_failed_one_wrote_is_kept(poisoned: Workplace) -> None:
    use_editor(poisoned, b"ok:mended", then=WAIT)
    with poisoned.start("edit", "projection.db", "1") as process:
        until((poisoned.folder / "open").exists, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        (poisoned.folder / "close").touch()
        process.communicate(timeout=60)
    assert (process.returncode, event(poisoned, 1)) == (0, b"ok:mended")
    use_editor(poisoned, b"ok:again")
    with (poisoned.folder / "editor.py").open("a") as editor:
        editor.write("sys.exit(3)\n")
    told = error_line(poisoned.run("edit", "projection.db", "1"), 1)
    assert "Editing failed" in told
    kept = kept_file(told)
    assert kept.read_bytes() == b"ok:again"
    kept.unlink()
    assert event(poisoned, 1) == b"ok:mended"


@pytest.mark.parametrize("editor", ['{python} -c "import os, sys; os.unlink(sys.argv[1])"', 'vi "'])
def test_an_editor_that_leaves_no_file_or_cannot_be_named_is_told(
    poisoned: Workplace, editor: str
) -> None:
    poisoned.environment.pop("VISUAL", None)
    poisoned.environment["EDITOR"] = editor.format(python=sys.executable)
    assert "defect" not in editor_error(poisoned)
    assert event(poisoned, 1) == b"ok:first"


def test_an_event_is_never_emptied_by_mistake(poisoned: Workplace, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    told = error_line(poisoned.run("edit", "projection.db", "1", "--file", "empty"), 1)
    assert "an event cannot be empty; nothing was changed" in told
    told = error_line(poisoned.run("edit", "projection.db", "-", "--stdin"), 2)
    assert "the ids and --stdin cannot both be read from stdin" in told


def test_an_original_is_of_its_letter_and_not_of_one_with_its_id(poisoned: Workplace) -> None:
    (poisoned.folder / "new").write_bytes(b"ok:mended")
    poisoned.run("edit", "projection.db", "2", "--file", "new")
    poisoned.execute("DELETE FROM dead_letter_queue WHERE id = 2")
    poisoned.execute(
        "INSERT INTO dead_letter_queue (id, event_id, event_bytes, error_message) "
        "VALUES (2, 9, ?, 'boom')",
        b"ok:other",
    )
    told = error_line(poisoned.run("edit", "projection.db", "2", "--restore"), 1)
    assert "2 of the dead letters was never edited" in told
    assert event(poisoned, 2) == b"ok:other"
