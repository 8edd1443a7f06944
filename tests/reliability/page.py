"""The document."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.document import markdown
from benchmarks.measured import readable
from tests.reliability import words
from tests.reliability.promise import Promise
from tests.reliability.promises import PROMISES
from tests.reliability.results import Results

NONE = "not in these runs"
OTHERS = "Others"


def page(results: Results) -> str:
    """Markdown."""
    sections = [
        "# Reliability",
        markdown.paragraphs(words.INTRODUCTION),
        *_in_short(results),
        *(section for promise in PROMISES for section in _about(promise, results)),
        *_others(results),
        "## What does not hold everywhere",
        markdown.bullets(words.LIMITATIONS.strip().split("\n\n")),
        *_not_done(results),
        "## How to repeat it",
        markdown.paragraphs(words.REPEAT),
        markdown.console(*words.REPEAT_COMMANDS),
        markdown.table(
            (
                "run of",
                "command",
                "commit",
                "Python, SQLite",
                "system",
                "tests that passed",
                "failed",
                "minutes",
            ),
            _runs(results),
            texts=range(5),
        ),
    ]
    return "\n\n".join(sections) + "\n"


def _in_short(results: Results) -> list[str]:
    struck = results.struck
    attacked = [p for p in PROMISES if any(what in struck for what in p.blows)]
    found = sum(len(promise.found) for promise in PROMISES)
    told = (
        f"{len(attacked)} of {len(PROMISES)} promises were attacked in these runs, in "
        f"{len(struck)} ways. Up to now attacks have found {found} defects, which are fixed. "
    )
    failed, mended = results.failed, results.mended
    told += f"**Failed in these runs: {len(failed)}**" if failed else words.NONE_FAILED
    return [
        markdown.paragraphs(told),
        *([_names(failed)] if failed else []),
        *([words.MENDED, _names(mended)] if mended else []),
    ]


def _names(tests: Iterable[str]) -> str:
    return markdown.bullets(f"`{name}`" for name in tests)


def _about(promise: Promise, results: Results) -> Iterable[str]:
    yield f"## {promise.title}"
    yield markdown.paragraphs(promise.text)
    struck, measured = results.struck, results.measured
    times = {what: f"{struck[what]:,}" if what in struck else NONE for what in promise.blows}
    yield markdown.table(("attack", "times"), times.items(), texts=(0,))
    if promise.figures:
        figures = {w: readable(measured[w]) if w in measured else NONE for w in promise.figures}
        yield markdown.table(("measured meanwhile", "largest"), figures.items(), texts=(0,))
    if promise.found:
        yield "Found, fixed, and held since by a test:"
        yield markdown.bullets(f"{found.what} (`{found.test}`)" for found in promise.found)


def _others(results: Results) -> list[str]:
    """What no promise speaks of."""
    known = {what for promise in PROMISES for what in promise.blows}
    rows = [(what, f"{times:,}") for what, times in results.struck.items() if what not in known]
    if not rows:
        return []
    return [f"## {OTHERS}", markdown.table(("attack", "times"), rows, texts=(0,))]


def _not_done(results: Results) -> list[str]:
    names = results.skipped
    return ["## Attacks that these runs skipped", _names(names)] if names else []


def _runs(results: Results) -> Iterable[tuple[str, ...]]:
    for run in results.runs:
        yield (
            f"{run.date:%Y-%m-%d}",
            f"`{run.command}`",
            run.commit or "not known",
            f"{run.python}, {run.sqlite}",
            run.system,
            f"{run.passed:,}",
            f"{len(run.failed):,}",
            f"{run.seconds / 60:.0f}",
        )
