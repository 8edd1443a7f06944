"""A virtual environment, and programs that see nothing but what is in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

BUILD_TOOLS = re.compile(
    r"(.*-)?(cc|c\+\+|gcc|g\+\+|clang|clang\+\+|cpp|c[89]9|tcc|cl)(-[\d.]+)?(\.exe)?"
    r"|(cmake|ctest|cpack|ninja|make|git|cython)[\w.-]*"
)


class Environment:
    """In `folder`; `system`: the folder of links to the system's own programs that may be used."""

    def __init__(self, folder: Path, system: Path) -> None:
        scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
        self.python = scripts / ("python.exe" if sys.platform == "win32" else "python")
        self.path = f"{scripts}{os.pathsep}{system}"

    def run(self, *arguments: str | Path, cwd: Path) -> str:
        """What its Python prints."""
        hidden = {"PATH", "PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"}
        around = {name: value for name, value in os.environ.items() if name not in hidden}
        return output_of(self.python, *arguments, cwd=cwd, env={**around, "PATH": self.path})


def system_without_build_tools(folder: Path) -> Path:
    """A folder of links to all programs of the system, but compilers, build tools and git."""
    folder.mkdir()
    for place in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for program in Path(place).glob("*"):
            link = folder / program.name
            if not BUILD_TOOLS.fullmatch(program.name) and not link.is_symlink():
                link.symlink_to(program)
    return folder


def output_of(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What it prints on stdout. A command that fails has the test fail, with all that it said."""
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
