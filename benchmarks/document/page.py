"""The document."""

from __future__ import annotations

from collections import Counter

from benchmarks import subjects
from benchmarks.document import facts, markdown, tables, words
from benchmarks.document.results import Benchmark, Results
from benchmarks.measured import readable

GROWTH_PLOT = "performance-growth.svg"
PHASES_PLOT = "performance-phases.svg"


def page(results: Results) -> str:
    """Markdown, with the plots beside it."""
    run = results.run
    commands = (text.format(command=facts.command(run)) for text in words.REPEAT_COMMANDS)
    sections = [
        "# Performance",
        markdown.paragraphs(words.INTRODUCTION),
        *_in_short(results),
        "## What is measured, and how",
        markdown.paragraphs(words.HOW.format(rounds=run.rounds, letters=run.letters)),
        "## The machine and the run",
        markdown.facts(facts.rows(results)),
        *(section for name in _subjects(results) for section in _about(results, name)),
        *_missing(results),
        "## What the figures do not say",
        markdown.bullets(words.LIMITATIONS.strip().split("\n\n")),
        "## How to repeat it",
        markdown.paragraphs(words.REPEAT),
        markdown.console(*commands),
    ]
    return "\n\n".join(sections) + "\n"


def growth(results: Results) -> dict[int, dict[str, float]]:
    """µs a letter by contender, for each number of letters."""
    measured = (each.growth for each in results.about(subjects.GROWTH))
    return {letters: dict(us) for points in measured for letters, us in points.items()}


def beside_the_limit(results: Results) -> list[Benchmark]:
    """Those whose phases are told."""
    return tables.with_phases(results.about(subjects.LIMIT))


def _in_short(results: Results) -> list[str]:
    asked = [figure for figure in results.figures if figure.asked]
    short = [figure for figure in asked if figure.is_short]
    told = [*_warnings(results), *_beside_the_limit(results)]
    told.append(
        f"{len(short)} of {len(asked)} figures with a goal fall short of it{':' if short else '.'}"
    )
    names = (f"{figure.name}: {figure.found}, should be {figure.asked}" for figure in short)
    return [
        "## In short",
        *map(markdown.paragraphs, told),
        *([markdown.bullets(names)] if short else []),
    ]


def _warnings(results: Results) -> list[str]:
    run, cpus = results.run, facts.usable_cpus(results.machine)
    told = [words.QUICK] if run.quick else []
    if run.failed:
        told.append(words.FAILED.format(count=len(run.failed)))
    if run.load and cpus is not None and run.load[0] > cpus / 2:
        told.append(words.BUSY.format(load=readable(run.load[0]), cpus=cpus))
    return told


def _beside_the_limit(results: Results) -> list[str]:
    free, bound = (_range(results, f": {loop} / drain") for loop in subjects.C_LOOPS)
    told = f"A drain takes {free} what a C loop over the same SQLite library takes"
    beside = f", and {bound} what one takes that is bound as a drain is" if bound else ""
    return [f"{told}{beside}."] if free else []


def _range(results: Results, ending: str) -> str:
    """From the best to the worst of the figures whose names end so; "" where there are none."""
    ratios = [
        (figure.value, figure.name.partition(": ")[0])
        for benchmark in results.about(subjects.LIMIT)
        for figure in benchmark.figures
        if figure.value > 0 and figure.name.endswith(ending)
    ]
    if not ratios:
        return ""
    (least, worst), (most, best) = min(ratios), max(ratios)
    return f"{1 / most:.2f} times ({best}) to {1 / least:.2f} times ({worst})"


def _subjects(results: Results) -> list[str]:
    """Those that are known, and what else there is."""
    found = dict.fromkeys(benchmark.subject for benchmark in results.benchmarks)
    return list(dict.fromkeys((*subjects.SUBJECTS, *found)))


def _about(results: Results, subject: str) -> list[str]:
    measured = [figure for each in results.about(subject) for figure in each.figures]
    sections = [f"## {subject}"]
    if said := subjects.SUBJECTS.get(subject):
        sections.append(markdown.paragraphs(said))
    if not measured:
        return [*sections, "Not measured in this run."]
    points = growth(results)
    if subject == subjects.PEERS:
        sections.append(tables.peers(measured, facts.versions(results.machine)))
    elif subject == subjects.GROWTH and points:
        shows = "The cost of a letter over the number of letters, of the drain and of the C loop"
        sections += [*tables.growth(measured, points), markdown.plot(GROWTH_PLOT, shows)]
    else:
        sections.append(tables.figures(measured))
    if subject == subjects.LIMIT and (phases := beside_the_limit(results)):
        shows = "The time by phase, of each drain and of the C loop beside it"
        sections += [
            markdown.paragraphs(words.PHASES),
            markdown.plot(PHASES_PLOT, shows),
            tables.phases(phases),
        ]
    return sections


def _missing(results: Results) -> list[str]:
    run = results.run
    told = [f"failed, so that figures may be missing above: `{name}`" for name in run.failed]
    reasons = Counter(why.removeprefix("Skipped: ") for why in run.skipped.values())
    told += [f"{count} skipped: {why}" for why, count in reasons.items()]
    if run.deselected:
        told.append(f"{run.deselected} left out on the command line")
    if not told:
        return []
    return ["## Benchmarks that did not run", markdown.bullets(told)]
