"""What is installed from a wheel works, where there is nothing to build with."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.packaging.environment import Environment, output_of
from tests.packaging.readme import DEMO, steady

GOOD = """
from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer, EventHandlerRegistry
from azoth_dlq.kernels.backoff import delay

def replay(queue: DeadLetterQueue, registry: EventHandlerRegistry) -> int:
    replayer = DlqReplayer(queue, registry, DlqReplayConfig(max_retries=5))
    return replayer.drain(now=True).succeeded
"""
WRONG = """
from azoth_dlq import DeadLetterQueue, DlqReplayConfig
from azoth_dlq.kernels.backoff import delay

DlqReplayConfig(max_retries="five")
DeadLetterQueue.open("letters.db").requeue(7)
delay(1, 2, 3, "four")
"""


def test_the_demonstration_prints_what_the_readme_shows(
    installed: Environment, unpacked: Path, tmp_path: Path
) -> None:
    printed = installed.run("-m", "azoth_dlq", "demo", cwd=tmp_path)
    assert steady(printed) == steady(DEMO.shown(unpacked))


def test_the_suite_of_cibuildwheel_passes(
    installed: Environment, unpacked: Path, tmp_path: Path
) -> None:
    """With the files that it gives its tests."""
    settings = tomllib.loads((unpacked / "pyproject.toml").read_text("utf-8"))
    cibuildwheel = settings["tool"]["cibuildwheel"]
    for name in cibuildwheel["test-sources"]:
        copy = shutil.copytree if (unpacked / name).is_dir() else shutil.copy
        copy(unpacked / name, tmp_path / name)
    python, *arguments = shlex.split(cibuildwheel["test-command"])
    assert python == "python"
    _pass(installed, arguments, tmp_path)


def test_the_suite_of_the_sdist_passes(
    installed: Environment, unpacked: Path, tmp_path: Path
) -> None:
    """All of it; what needs a compiler or git is skipped."""
    _pass(installed, ["-m", "pytest", "-n", "auto"], shutil.copytree(unpacked, tmp_path / "sdist"))


def _pass(installed: Environment, arguments: list[str], folder: Path) -> None:
    printed = installed.run("-W", "error", *arguments, "-q", cwd=folder)
    assert " passed" in printed.splitlines()[-1]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_see_its_types(checker: str, installed: Environment, tmp_path: Path) -> None:
    program = shutil.which(checker)
    if program is None:
        pytest.skip(f"{checker} is not installed: pip install '.[packaging]'")
    good, wrong = tmp_path / "good.py", tmp_path / "wrong.py"
    good.write_text(GOOD, "utf-8")
    wrong.write_text(WRONG, "utf-8")
    python = {"mypy": "--python-executable", "pyright": "--pythonpath"}[checker]
    command = [program, python, str(installed.python)]
    if checker == "mypy":
        command += ["--strict", "--cache-dir", str(tmp_path / "cache")]
    output_of(*command, good, cwd=tmp_path)
    done = subprocess.run(
        [*command, wrong], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 1, done.stderr
    wrong_lines = set(re.findall(r"wrong\.py:(\d+)(?::\d+)?\W+error", done.stdout))
    assert wrong_lines == {"5", "6", "7"}, done.stdout
