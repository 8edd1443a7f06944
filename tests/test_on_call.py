"""The walk-through of an outage: each command prints what docs/on-call.md says."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.on_call import DOCUMENT, commands, played, steady

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its commands are of a POSIX shell")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("on-call")


@pytest.fixture(scope="module")
def now(folder: Path) -> str:
    """The document as it comes out now."""
    return played(DOCUMENT.read_text("utf-8"), folder)


def test_each_command_prints_what_the_document_says(now: str) -> None:
    shown = {command: steady(lines) for command, lines in commands(DOCUMENT.read_text("utf-8"))}
    found = {command: steady(lines) for command, lines in commands(now)}
    assert len(found) > 20
    for command, lines in found.items():
        assert lines == shown[command], command


def test_at_its_end_every_letter_is_where_the_document_says(now: str, folder: Path) -> None:
    assert now
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        left = connection.execute("SELECT count(*) FROM dead_letter_queue").fetchone()
        parked = connection.execute("SELECT count(*) FROM permanent_failures").fetchone()
        paid = connection.execute("SELECT count(*), count(DISTINCT event_id) FROM paid").fetchone()
    lines = (folder / "refunds.jsonl").read_text("utf-8").splitlines()
    written = [json.loads(line) for line in lines]
    assert (left, parked) == ((0,), (10,))
    assert len([line for line in written if "table" in line]) == 29
    assert paid == (1201, 1201)
