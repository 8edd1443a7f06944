"""What `--attacks-json` kept of the runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.document.checked import Part, UnfitError

COMMAND = "pytest -m attack --attacks-json FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    date: datetime
    command: str
    commit: str | None
    system: str
    python: str
    sqlite: str
    seconds: float
    passed: int  # tests
    failed: tuple[str, ...]  # tests, or what else failed in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """`struck`: how often, by the name of the blow. `measured`: figures by name and unit."""

    name: str
    outcome: str
    struck: dict[str, int]
    measured: dict[str, float]


@dataclass(frozen=True, slots=True)
class Results:
    """Of one or several runs, the latest last. Of a test that was made in several, the latest
    counts; what a run skipped, it did not make."""

    runs: tuple[Run, ...]
    tests: tuple[Test, ...]

    @property
    def struck(self) -> Counter[str]:
        """How often, by the name of the blow, in tests that passed."""
        total: Counter[str] = Counter()
        for test in self._that("passed"):
            total.update(test.struck)
        return total

    @property
    def measured(self) -> dict[str, float]:
        """The largest of each figure."""
        largest: dict[str, float] = {}
        for test in self._that("passed"):
            for name, value in test.measured.items():
                largest[name] = max(value, largest.get(name, value))
        return largest

    @property
    def failed(self) -> list[str]:
        """In any run, and not passed since."""
        return [name for name in self._ever_failed() if name not in self.mended]

    @property
    def mended(self) -> list[str]:
        """What failed in a run, and passed in a later one."""
        passed = {test.name for test in self._that("passed")}
        return [name for name in self._ever_failed() if name in passed]

    @property
    def skipped(self) -> list[str]:
        return [test.name for test in self._that("skipped")]

    def _ever_failed(self) -> list[str]:
        return sorted({name for run in self.runs for name in run.failed})

    def _that(self, outcome: str) -> list[Test]:
        return [test for test in self.tests if test.outcome == outcome]


def read(paths: Iterable[Path]) -> Results:
    """Errors: `UnfitError`."""
    told: list[tuple[Run, list[Test]]] = []
    for path in paths:
        whole = _load(path)
        try:
            tests = [_test(part) for part in whole["tests"].elements()]
            told.append((_run(whole["run"], tests), tests))
        except UnfitError as error:
            raise UnfitError(f"{path} was not made by `{COMMAND}`: {error}") from error
    told.sort(key=lambda run_and_tests: run_and_tests[0].date)
    latest: dict[str, Test] = {}
    for test in (test for _, of_run in told for test in of_run):
        if test.outcome != "skipped" or test.name not in latest:
            latest[test.name] = test
    return Results(tuple(run for run, _ in told), tuple(latest.values()))


def _load(path: Path) -> Part:
    try:
        return Part(json.loads(path.read_text("utf-8")), "the file")
    except OSError as error:
        raise UnfitError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # of the decoding, or of the JSON
        raise UnfitError(f"{path} is not JSON: {error}") from error


def _run(part: Part, tests: list[Test]) -> Run:
    commit = part.get("commit")
    try:
        date = datetime.fromisoformat(part["date"].text())
    except ValueError as error:
        raise UnfitError(f"{part.where}.date must be a date: {error}") from error
    failed = {test.name for test in tests if test.outcome in ("failed", "error")}
    failed |= {name.text() for name in part["failed"].elements()}
    return Run(
        date=date,
        command=part["command"].text(),
        commit=commit.text() if commit else None,
        system=part["system"].text(),
        python=part["python"].text(),
        sqlite=part["sqlite"].text(),
        seconds=part["seconds"].number(),
        passed=int(part["passed"].number()),
        failed=tuple(sorted(failed)),
    )


def _test(part: Part) -> Test:
    return Test(
        name=part["name"].text(),
        outcome=part["outcome"].text(),
        struck={name: int(count) for name, count in part["struck"].numbers().items()},
        measured=part["measured"].numbers(),
    )
