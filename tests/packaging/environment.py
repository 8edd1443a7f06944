"""A virtual environment, and programs that see nothing but what is in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


class Environment:
    """In `folder`."""

    def __init__(self, folder: Path) -> None:
        scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
        self.python = scripts / ("python.exe" if sys.platform == "win32" else "python")
        self.path = str(scripts)

    def run(self, *arguments: str | Path, cwd: Path) -> str:
        """What its Python prints."""
        hidden = {"PATH", "PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"}
        around = {name: value for name, value in os.environ.items() if name not in hidden}
        return output_of(self.python, *arguments, cwd=cwd, env={**around, "PATH": self.path})


def output_of(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What it prints on stdout. A command that fails has the test fail, with all that it said."""
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
