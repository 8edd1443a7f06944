"""The two commands of the README, typed by someone who has just unpacked the sdist."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.packaging.debian import bare_debian
from tests.packaging.environment import output_of
from tests.packaging.readme import DEMO, TESTS, steady

NEEDED = ["gcc", "python3-dev", "python3-venv"]
# The second command runs all tests, here a selection of them.
SELECTED = {"PYTEST_ADDOPTS": "-q tests/kernels/test_order.py tests/unit/test_registry.py"}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="they are for a POSIX shell")


def _checkout(unpacked: Path, parent: Path) -> Path:
    return shutil.copytree(unpacked, parent / "azoth-dlq")


def _environment() -> dict[str, str]:
    """Pip's settings stay, and no folder of our own is on the PATH."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return {**kept, **SELECTED, "HOME": "/tmp", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # noqa: S108 -- nothing is kept there


def _pythons() -> list[str]:
    """The CPythons that are installed, one of each version that is supported."""
    roots = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    found: dict[str, str] = {}
    for version in ("3.11", "3.12", "3.13", "3.14", "3.14t", "3.15", "3.15t"):
        places = [path for root in roots for path in root.glob(f"{version}.*/bin/python3")]
        named = shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin")
        for place in [*map(str, places), *([named] if named else [])]:
            found.setdefault(version, place)
    return list(found.values())


@pytest.mark.parametrize("python", _pythons())
def test_they_do_with_each_cpython_what_the_readme_says(
    python: str, unpacked: Path, tmp_path: Path
) -> None:
    checkout = _checkout(unpacked, tmp_path)
    environment = _environment()
    environment["PATH"] = f"{Path(python).parent}:{environment['PATH']}"
    for command in (DEMO, TESTS):
        shutil.rmtree(checkout / ".venv", ignore_errors=True)
        line = command.line(checkout)
        printed = output_of("/bin/sh", "-ec", line, cwd=checkout, env=environment)
        _check(command, printed, checkout)


def test_they_need_nothing_else_on_a_bare_debian(unpacked: Path, tmp_path: Path) -> None:
    root = bare_debian(tmp_path, *NEEDED)
    checkout = _checkout(unpacked, root)
    for command in (DEMO, TESTS):
        shutil.rmtree(checkout / ".venv", ignore_errors=True)
        line = f"cd /azoth-dlq && {command.line(checkout)}"
        chroot = ["chroot", str(root), "/bin/sh", "-ec", line]
        _check(command, output_of(*chroot, cwd=root, env=_environment()), checkout)


def _check(command: object, printed: str, checkout: Path) -> None:
    if command is DEMO:
        shown = steady(DEMO.shown(checkout))
        assert steady(printed)[-len(shown) :] == shown
    else:
        assert " passed" in printed.splitlines()[-1]
