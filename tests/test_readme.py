"""The programs and commands that the README and the guide to handlers show run, and print what
they say."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text("utf-8")
HANDLERS = (README.parent / "docs" / "handlers.md").read_text("utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the README's files, as a reader would save them."""
    (tmp_path / "bank").mkdir()
    for block in re.findall(r"```python\n(.*?)```", TEXT + HANDLERS, re.DOTALL):
        named = re.match(r"# (\S+\.py)\n", block)
        (tmp_path / (named[1] if named else "program.py")).write_text(block, "utf-8")
    return tmp_path


def _run(folder: Path, *command: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()


def _add(folder: Path, *events: bytes) -> None:
    """Letters that failed long ago, as another program adds them."""
    with sqlite3.connect(folder / "projection.db") as connection:
        connection.executemany(
            "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
            "VALUES (7, ?, 'timeout', '2026-01-01 00:00:00')",
            [(event,) for event in events],
        )
    connection.close()


def _value(folder: Path, query: str) -> int:
    connection = sqlite3.connect(folder / "projection.db")
    ((value,),) = connection.execute(query)
    connection.close()
    return int(value)


def test_every_block_is_tried_here(folder: Path) -> None:
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))
    assert found == [
        "bank/handlers.py",
        "bank/mail.py",
        "bank/more.py",
        "program.py",
        "serve.py",
        "service.py",
    ]


def test_the_program_prints_what_the_readme_says(folder: Path) -> None:
    first, second = _run(folder, "program.py")
    for line, promised in (
        (first, "0 attempted; 1 waiting"),
        (second, "1 attempted (1 succeeded)"),
    ):
        assert f"`{promised}`" in TEXT
        assert line.startswith(promised)


def test_batches_and_handlers_outside_work(folder: Path) -> None:
    _run(folder, "program.py")
    _add(folder, b"withdraw:30", b"withdraw:20", b"withdraw:many", b"notify:Ada", b"withdraw:1")
    command = ["-m", "azoth_dlq", "drain", "projection.db", "--handlers", "bank.more:registry"]
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, check=True, capture_output=True, text=True
    )
    assert re.search(r"succeeded +4\n", done.stdout)
    assert "notified Ada" in done.stderr
    assert _value(folder, "SELECT balance FROM accounts") == 100 - 30 - 20 - 1
    assert _value(folder, "SELECT count(*) FROM dead_letter_queue") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="its processes get no SIGTERM")
def test_the_server_replays_until_it_is_terminated(folder: Path) -> None:
    _run(folder, "program.py")
    _add(folder, b"withdraw:30")
    server = subprocess.Popen(
        [sys.executable, "serve.py"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 15
        while _value(folder, "SELECT count(*) FROM dead_letter_queue"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.send_signal(signal.SIGTERM)
        printed, _ = server.communicate(timeout=15)
    finally:
        server.kill()
    assert server.returncode == 0
    assert printed.startswith("1 attempted (1 succeeded)")


def test_the_commands_of_the_readme_run_on_its_file(folder: Path) -> None:
    _run(folder, "program.py")
    shown = re.findall(r"^\$ azoth-dlq (.*)$", TEXT, re.MULTILINE)
    assert len(shown) == 5
    for command in shown:
        _add(folder, b"deposit:1")
        assert _run(folder, "-m", "azoth_dlq", *command.split())


def test_the_handlers_that_wait_run_from_a_command_and_on_a_loop(folder: Path) -> None:
    _run(folder, "program.py")
    _add(folder, *[b"receipt:Ada"] * 20, *[b"webhook:x"] * 20, b"webhook:busy", b"receipt:")
    [command] = re.findall(r"^\$ azoth-dlq (.*)$", HANDLERS, re.MULTILINE)
    told = _run(folder, "-m", "azoth_dlq", *command.split(), "--json")
    report = json.loads("\n".join(told))
    assert [report[name] for name in ("succeeded", "failed", "parked")] == [40, 2, 1]
    _add(folder, *[b"webhook:x"] * 5)
    [printed] = _run(folder, "service.py")
    assert printed.startswith("6 attempted (5 succeeded, 1 failed)")


def test_the_guide_to_the_tests_has_a_row_for_each_of_them() -> None:
    tests = Path(__file__).parent
    root = tests.parent
    guide = (tests / "README.md").read_text("utf-8").partition("| what is promised")[2]
    named: set[Path] = set()
    for name in re.findall(r"`([\w/*]+(?:\.py)?)`", guide):
        found = set(tests.glob(f"{name}test_*.py" if name.endswith("/") else name))
        assert found or not name.endswith(".py") or (root / name).exists(), f"there is no {name}"
        named |= found
    assert set(tests.rglob("test_*.py")) - named == set()
