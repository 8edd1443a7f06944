"""How often what was attacked: told at the end of a run, and kept for docs/reliability.md.

A plugin of pytest. `--long` makes each attack as long as that page has it; `--attacks-json FILE`
keeps what was done.
"""

from __future__ import annotations

import json
import platform
import re
import shlex
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.sanitizers import HAVE_OURS

_LONGEST_SECONDS = 4 * 3600
_FAILED = ("failed", "error")
_BEGAN = pytest.StashKey[tuple[float, dict[str, Any]]]()


class Attack:
    """One test's."""

    def __init__(self, keep: Callable[[str, object], None], *, is_long: bool) -> None:
        self.is_long = is_long
        # What is kept goes into the report of the test as it is by then.
        self._struck: dict[str, int] = {}
        self._measured: dict[str, float] = {}
        keep("struck", self._struck)
        keep("measured", self._measured)

    def size(self, short: int, *, long: int) -> int:
        """How much of it to do."""
        return long if self.is_long else short

    def struck(self, what: str, times: int = 1) -> None:
        """`what`: the blow, in the singular."""
        self._struck[what] = self._struck.get(what, 0) + times

    def measured(self, what: str, value: float) -> None:
        """A figure that the page tells, `what` with its unit; of several tests the largest."""
        self._measured[what] = value


@pytest.fixture
def attack(
    record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> Attack:
    """Counts the blows of a test, and says how many there are to be."""
    return Attack(record_property, is_long=request.config.getoption("--long"))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("azoth-dlq")
    group.addoption("--long", action="store_true", help="attacks of hours instead of seconds")
    group.addoption("--attacks-json", type=Path, help="where to keep how often what was attacked")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "attack: counts its blows")
    config.stash[_BEGAN] = time.monotonic(), _surroundings()


# Before pytest itself deselects by markers.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "attack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.attack)
            if config.getoption("--long"):
                item.add_marker(pytest.mark.timeout(_LONGEST_SECONDS))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    stats: dict[str, list[Any]] = terminalreporter.stats
    tests = list(_tests(stats).values())
    struck = sum((Counter(test["struck"]) for test in tests), Counter[str]())
    if struck:
        terminalreporter.section("attacks")
        for what, times in struck.items():
            terminalreporter.write_line(f"{times:>9,}  {what}")
        for test in tests:
            for what, value in test["measured"].items():
                terminalreporter.write_line(f"{value:>9.3f}  {what}: {test['name']}")
    file: Path | None = config.getoption("--attacks-json")
    if file is not None:
        began, surroundings = config.stash[_BEGAN]
        run = {
            **surroundings,
            "command": _command(config),
            "seconds": time.monotonic() - began,
            "passed": len(stats.get("passed", ())),
            # Of these an attack may be one that could not be made, or ended its process.
            "failed": [report.nodeid for kind in _FAILED for report in stats.get(kind, ())],
        }
        file.write_text(json.dumps({"run": run, "tests": tests}, indent=1), "utf-8")


def _tests(stats: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Of all that attacked, or would have: name, outcome, and what they told, by name."""
    tests: dict[str, dict[str, Any]] = {}
    for outcome in ("skipped", "passed", *_FAILED):
        for report in stats.get(outcome, ()):
            if "attack" in getattr(report, "keywords", ()):  # those of a collection have none
                told = {"struck": {}, "measured": {}, **dict(report.user_properties)}
                tests[report.nodeid] = {"name": report.nodeid, "outcome": outcome, **told}
    return tests


def _command(config: pytest.Config) -> str:
    """How pytest was called, but for where this is kept."""
    arguments = shlex.join(config.invocation_params.args)
    arguments = re.sub(r"--attacks-json[ =]\S+ ?", "", arguments).strip()
    return f"{'nox -s sanitizers --' if HAVE_OURS else 'pytest'} {arguments}".strip()


def _surroundings() -> dict[str, Any]:
    root = Path(__file__).parents[1]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        described = subprocess.run(command, check=True, capture_output=True, text=True)
        commit: str | None = described.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = None
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "sqlite": sqlite3.sqlite_version,
    }
