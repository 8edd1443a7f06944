"""The documents whose commands are run: each prints what the document says."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import click
import pytest

from azoth_dlq.cli import azoth_dlq
from tests.documents import DOCS, documents, played, steady, steps

on_a_posix_shell = pytest.mark.skipif(
    sys.platform == "win32", reason="the commands are of a POSIX shell"
)


def test_there_is_a_page_for_each_command() -> None:
    pages = {path.stem for path in (DOCS / "commands").glob("*.md")} - {"index"}
    context = click.Context(azoth_dlq)
    assert pages == set(azoth_dlq.list_commands(context))


def test_the_readme_and_the_tests_name_each_command() -> None:
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("cli/test_*.py"))
    for name in azoth_dlq.list_commands(click.Context(azoth_dlq)):
        assert re.search(rf"`(azoth-dlq )?{name}[ `]", readme), name
        assert f'"{name}"' in tests, name


@on_a_posix_shell
@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(DOCS)))
def test_each_command_prints_what_the_document_says(document: Path, tmp_path: Path) -> None:
    shown = list(steps(document.read_text("utf-8")))
    found = list(steps(played(document, tmp_path)))
    assert [step.command for step in found] == [step.command for step in shown]
    for now, then in zip(found, shown, strict=True):
        assert steady(now) == steady(then), now.command
    if document.name == "on-call.md":
        _check_where_the_letters_are(tmp_path)


def _check_where_the_letters_are(folder: Path) -> None:
    """At the end of the walk-through every letter is where it says."""
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        left = connection.execute("SELECT count(*) FROM dead_letter_queue").fetchone()
        parked = connection.execute("SELECT count(*) FROM permanent_failures").fetchone()
        paid = connection.execute("SELECT count(*), count(DISTINCT event_id) FROM paid").fetchone()
    lines = (folder / "refunds.jsonl").read_text("utf-8").splitlines()
    written = [json.loads(line) for line in lines]
    assert (left, parked) == ((0,), (10,))
    assert len([line for line in written if "table" in line]) == 29
    assert paid == (1201, 1201)
