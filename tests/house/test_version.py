"""The version stands in pyproject.toml alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import azoth_dlq
from tests.house.checkout import ROOT, settings
from tests.programs import run_program

VERSION = settings()["project"]["version"]


def test_the_package_and_the_command_have_the_version_of_the_project() -> None:
    assert azoth_dlq.__version__ == VERSION
    command = [sys.executable, "-m", "azoth_dlq", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"azoth-dlq {VERSION}\n"


def test_it_is_a_semantic_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?", VERSION)


def test_it_is_looked_up_where_it_is_asked_for(tmp_path: Path) -> None:
    program = "import sys, azoth_dlq; print('importlib.metadata' in sys.modules, 'x' * {0})"
    assert run_program(program.format(0), tmp_path) == "False \n"
    assert run_program("import azoth_dlq; print('__version__' in dir(azoth_dlq))", tmp_path) == (
        "True\n"
    )


def test_it_stands_nowhere_else() -> None:
    places = [ROOT / "CMakeLists.txt", ROOT / "CITATION.cff", *(ROOT / "src").rglob("*.py")]
    assert [path for path in places if VERSION in path.read_text(encoding="utf-8")] == []


def test_the_changelog_has_a_heading_for_it_or_for_what_comes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings == sorted(headings, reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
