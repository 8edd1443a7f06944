"""Files that are no files, and texts that would show as others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Workplace, error_line

UNSEEN = ["\u202e", "\u2066", "\u200f", "\u061c", "\ufeff", "\u200b"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("command", ["status", "list", "drain"])
def test_a_pipe_is_no_database(workplace: Workplace, command: str) -> None:
    os.mkfifo(workplace.folder / "pipe")
    handlers = ["--handlers", "handlers:registry"] if command == "drain" else []
    done = workplace.run(command, "pipe", *handlers)
    assert "pipe is no ordinary file" in error_line(done, 1)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_settings_without_end_are_not_read_to_it(workplace: Workplace) -> None:
    workplace.make("ok")
    done = workplace.run("status", "projection.db", "--config", "/dev/zero")
    assert done.returncode == 2
    assert "/dev/zero is no ordinary file" in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_settings_are_not_waited_for(workplace: Workplace) -> None:
    workplace.make("ok")
    os.mkfifo(workplace.folder / "pipe")
    done = workplace.run("status", "projection.db", "--config", "pipe")
    assert "pipe is no ordinary file" in error_line(done, 2)


@pytest.mark.parametrize("command", [("list",), ("show", "1"), ("status",)])
@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
def test_directions_and_marks_are_shown(
    workplace: Workplace, command: tuple[str, ...], unseen: str
) -> None:
    workplace.make(f"ty{unseen}pe:x", error_message=f"bo{unseen}om")
    name, *more = command
    done = workplace.run(name, "projection.db", *more)
    assert done.returncode == 0
    assert unseen not in done.stdout
    assert f"bo\\u{ord(unseen):04x}om" in done.stdout
