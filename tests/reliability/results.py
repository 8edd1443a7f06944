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


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """`struck`: how often, by the name of the blow. `measured`: figures by name and unit."""

    name: str
    outcome: str
    struck: dict[str, int]
    measured: dict[str, float]


@dataclass(frozen=True, slots=True)
class Results:
    """Of one or several runs, in their order; of a test that is in several, the last counts.
    `mended`: tests that failed in an earlier one and passed in the last."""

    runs: tuple[Run, ...]
    tests: tuple[Test, ...]
    mended: tuple[str, ...]

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
        return [test.name for test in (*self._that("failed"), *self._that("error"))]

    @property
    def skipped(self) -> list[str]:
        return [test.name for test in self._that("skipped")]

    def _that(self, outcome: str) -> list[Test]:
        return [test for test in self.tests if test.outcome == outcome]


def read(paths: Iterable[Path]) -> Results:
    """Errors: `UnfitError`."""
    runs: list[Run] = []
    tests: dict[str, Test] = {}
    failed: set[str] = set()
    for path in paths:
        whole = _load(path)
        try:
            runs.append(_run(whole["run"]))
            of_run = [_test(part) for part in whole["tests"].elements()]
        except UnfitError as error:
            raise UnfitError(f"{path} was not made by `{COMMAND}`: {error}") from error
        tests |= {test.name: test for test in of_run}
        failed |= {test.name for test in of_run if test.outcome in ("failed", "error")}
    mended = tuple(name for name in sorted(failed) if tests[name].outcome == "passed")
    return Results(tuple(runs), tuple(tests.values()), mended)


def _load(path: Path) -> Part:
    try:
        return Part(json.loads(path.read_text("utf-8")), "the file")
    except OSError as error:
        raise UnfitError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # of the decoding, or of the JSON
        raise UnfitError(f"{path} is not JSON: {error}") from error


def _run(part: Part) -> Run:
    commit = part.get("commit")
    try:
        date = datetime.fromisoformat(part["date"].text())
    except ValueError as error:
        raise UnfitError(f"{part.where}.date must be a date: {error}") from error
    return Run(
        date=date,
        command=part["command"].text(),
        commit=commit.text() if commit else None,
        system=part["system"].text(),
        python=part["python"].text(),
        sqlite=part["sqlite"].text(),
        seconds=part["seconds"].number(),
        passed=int(part["passed"].number()),
    )


def _test(part: Part) -> Test:
    return Test(
        name=part["name"].text(),
        outcome=part["outcome"].text(),
        struck={name: int(count) for name, count in part["struck"].numbers().items()},
        measured=part["measured"].numbers(),
    )
