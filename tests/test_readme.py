"""The programs that the README shows run, and print what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the README's handlers and program, as a reader would save them."""
    handlers, program = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "handlers.py").write_text(handlers, "utf-8")
    (tmp_path / "program.py").write_text(program, "utf-8")
    return tmp_path


def _run(folder: Path, *command: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()


def test_the_program_prints_what_the_readme_says(folder: Path) -> None:
    first, second = _run(folder, "program.py")
    said = README.read_text("utf-8")
    for line, promised in (
        (first, "0 attempted; 1 waiting"),
        (second, "1 attempted (1 succeeded)"),
    ):
        assert f"`{promised}`" in said
        assert line.startswith(promised)


def test_the_commands_of_the_readme_run_on_its_file(folder: Path) -> None:
    _run(folder, "program.py")
    said = README.read_text("utf-8")
    shown = re.findall(r"^\$ azoth-dlq ((?:status|drain) .*)$", said, re.MULTILINE)
    assert len(shown) == 2
    for command in shown:
        assert _run(folder, "-m", "azoth_dlq", *command.split())
