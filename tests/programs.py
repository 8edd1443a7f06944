"""Programs of a user's, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run_program(program: str, folder: Path) -> str:
    """What it prints; warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == "", done.stderr
    return done.stdout
