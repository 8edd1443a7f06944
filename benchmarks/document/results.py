"""What pytest-benchmark wrote of a run of these benchmarks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.document.checked import Part, UnfitError
from benchmarks.measured import Measured

COMMAND = "pytest benchmarks --benchmark-json FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """`phases` by contender, then by phase, in µs a letter; `growth`: µs a letter by contender, for
    each number of letters."""

    name: str
    subject: str
    figures: tuple[Measured, ...]
    phases: Mapping[str, Mapping[str, float]]
    growth: Mapping[int, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How it was made, and what is missing in it."""

    date: datetime
    commit: str | None
    has_changes: bool
    quick: bool
    large: bool
    letters: int
    rounds: int
    seconds: float
    load: tuple[float, ...]
    failed: tuple[str, ...]
    skipped: Mapping[str, str]
    deselected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    run: Run
    machine: Part
    benchmarks: tuple[Benchmark, ...]

    @property
    def figures(self) -> list[Measured]:
        return [figure for benchmark in self.benchmarks for figure in benchmark.figures]

    def about(self, subject: str) -> list[Benchmark]:
        return [benchmark for benchmark in self.benchmarks if benchmark.subject == subject]


def read(path: Path) -> Results:
    """Errors: `UnfitError`."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UnfitError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # of the decoding, or of the JSON
        raise UnfitError(f"{path} is not JSON: {error}") from error
    try:
        results = _results(Part(value, "the file"))
    except UnfitError as error:
        raise UnfitError(f"{path} was not made by `{COMMAND}`: {error}") from error
    if not results.figures:
        raise UnfitError(f"{path} has no figures: no benchmark of that run came to its end")
    return results


def _results(whole: Part) -> Results:
    benchmarks = tuple(_benchmark(part) for part in whole["benchmarks"].elements())
    return Results(run=_run(whole), machine=whole["machine_info"], benchmarks=benchmarks)


def _benchmark(part: Part) -> Benchmark:
    group, told = part.get("group"), part["extra_info"]
    figures, phases, growth = (told.get(name) for name in ("figures", "phases", "growth"))
    return Benchmark(
        name=part["fullname"].text(),
        subject=group.text() if group else "Others",
        figures=tuple(_figure(each) for each in figures.elements()) if figures else (),
        phases={name: each.numbers() for name, each in phases.members()} if phases else {},
        growth={
            int(each["letters"].number()): each["us"].numbers()
            for each in (growth.elements() if growth else ())
        },
    )


def _figure(part: Part) -> Measured:
    optional = {name: part.get(name) for name in ("lowest", "highest", "at_least", "at_most")}
    return Measured(
        name=part["name"].text(),
        value=part["value"].number(),
        details=part["details"].numbers(),
        **{name: each.number() for name, each in optional.items() if each},
    )


def _run(whole: Part) -> Run:
    run, commit = whole["run"], whole.get("commit_info")
    commit_id = commit.get("id") if commit else None
    has_changes = commit.get("dirty") if commit else None
    return Run(
        date=_date(whole["datetime"]),
        commit=_commit(commit_id.text()) if commit_id else None,
        has_changes=has_changes.truth() if has_changes else False,
        quick=run["quick"].truth(),
        large=run["large"].truth(),
        letters=int(run["letters"].number()),
        rounds=int(run["rounds"].number()),
        seconds=run["seconds"].number(),
        load=tuple(each.number() for each in run["load"].elements() if each.value is not None),
        failed=tuple(each.text() for each in run["failed"].elements()),
        skipped={name: why.text() for name, why in run["skipped"].members()},
        deselected=int(run["deselected"].number()),
    )


def _commit(told: str) -> str | None:
    """Where there is no repository, pytest-benchmark has a word instead."""
    is_hash = len(told) >= 12 and set(told) <= set("0123456789abcdef")
    return told[:12] if is_hash else None


def _date(part: Part) -> datetime:
    try:
        return datetime.fromisoformat(part.text())
    except ValueError as error:
        raise UnfitError(f"{part.where} must be a date, is {part.value!r}") from error
