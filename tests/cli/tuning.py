"""Runs of `azoth-dlq tune`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.cli.conftest import Workplace

ENOUGH = "5"  # seconds, for the few letters here


def tune(workplace: Workplace, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return workplace.run(
        "tune", "projection.db", "--handlers", "handlers:registry", *arguments, **options
    )


def trouble(workplace: Workplace, code: int, *arguments: str) -> str:
    """What is told of a work that failed, behind the line about the copies."""
    done = tune(workplace, *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert leftovers(workplace) == []
    return done.stderr.splitlines()[-1]


def leftovers(workplace: Workplace) -> list[Path]:
    return list(workplace.folder.glob("azoth-dlq-tune-*"))


def findings(workplace: Workplace, *arguments: str) -> dict[str, Any]:
    done = tune(workplace, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told
