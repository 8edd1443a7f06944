"""The files of the repository."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
CODE: Final = (".c", ".h", ".pxd", ".py", ".pyi", ".pyx")
_PLACES: Final = ("src", "csrc", "tests", "benchmarks", "examples")


def sources(*suffixes: str) -> list[Path]:
    """All that is written by hand, of these kinds."""
    files = [path for place in _PLACES for path in (ROOT / place).rglob("*")]
    files += ROOT.glob("*.py")
    return sorted(path for path in files if path.suffix in suffixes and not _is_generated(path))


def _is_generated(path: Path) -> bool:
    return path.suffix == ".c" and path.is_relative_to(ROOT / "src")


def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
