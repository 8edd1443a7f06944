"""The figures of a subject as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.document import markdown
from benchmarks.document.results import Benchmark
from benchmarks.measured import Measured, readable, unit, words

# Of a drain and of the C loop, which reads within its calls, and whose commits empty the log, too.
PHASES = (
    *("plan", "open", "fetch", "handlers", "calls"),
    *("write", "commit", "checkpoint", "yield", "other"),
)
NAMES_IN_C = {"writes": "write", "commits": "commit"}
CONTENDERS = "drain", "C loop"
_HEAD = ["", "figure", "should be", "holds"]
_TEXTS = 0, 2, 3


def figures(measured: Sequence[Measured]) -> str:
    """What they were made of stands in columns where it is the same of all."""
    made_of = list(measured[0].details)
    if any(list(figure.details) != made_of for figure in measured):
        rows = ([*_cells(figure), figure.made_of] for figure in measured)
        return markdown.table([*_HEAD, "made of"], rows, texts=(*_TEXTS, len(_HEAD)))
    columns = map(_column, made_of)
    rows = ([*_cells(figure), *map(readable, figure.details.values())] for figure in measured)
    return markdown.table([*_HEAD, *columns], rows, texts=_TEXTS)


def growth(measured: Sequence[Measured], points: Mapping[int, Mapping[str, float]]) -> list[str]:
    """The figures, and below them what they were made of: µs a letter, by number of letters."""
    contenders = list(dict.fromkeys(name for us in points.values() for name in us))
    rows = (
        [f"{letters:,}", *(readable(us[name]) if name in us else "" for name in contenders)]
        for letters, us in sorted(points.items())
    )
    head = ["letters", *(f"{name}, µs a letter" for name in contenders)]
    return [
        markdown.table(_HEAD, map(_cells, measured), texts=_TEXTS),
        markdown.table(head, rows, texts=()),
    ]


def peers(measured: Sequence[Measured], versions: Mapping[str, str]) -> str:
    """µs an item, of each queue and of the drain that took turns with it."""

    def row(figure: Measured) -> list[str]:
        name = figure.name.partition(" / ")[0]
        us = (figure.details.get(f"{which}_us") for which in ("peer", "drain"))
        numbers = ("" if each is None else readable(each) for each in us)
        named = f"{name} {versions.get(name, '')}".strip()
        return [named, *numbers, *_cells(figure)[1:]]

    head = ["queue", "its µs an item", "drain beside it, µs", "ratio", *_HEAD[2:]]
    return markdown.table(head, map(row, measured), texts=(0, 4, 5))


def phases(benchmarks: Iterable[Benchmark]) -> str:
    """µs a letter by phase, the drain above the C loop."""
    rows = []
    for benchmark in benchmarks:
        for contender in CONTENDERS:
            taken = by_phase(benchmark.phases[contender])
            both = " + ".join(
                readable(taken[name]) for name in ("fetch", "handlers", "calls") if name in taken
            )
            rest = [readable(taken[name]) if name in taken else "" for name in PHASES[5:]]
            beginning = [readable(taken[name]) if name in taken else "" for name in PHASES[:2]]
            sum_of_all = readable(sum(taken.values()))
            rows.append([f"{label(benchmark)}: {contender}", *beginning, both, *rest, sum_of_all])
    head = ["µs a letter", *PHASES[:2], "fetch + handlers", *PHASES[5:], "sum"]
    return markdown.table(head, rows, texts=(0,))


def with_phases(benchmarks: Iterable[Benchmark]) -> list[Benchmark]:
    """Those of which the phases of both contenders are known."""
    return [
        benchmark
        for benchmark in benchmarks
        if benchmark.figures and all(benchmark.phases.get(name) for name in CONTENDERS)
    ]


def by_phase(taken: Mapping[str, float]) -> dict[str, float]:
    """By the names of PHASES, in their order; what is not among them is other."""
    renamed: dict[str, float] = {}
    for told, us in taken.items():
        name = NAMES_IN_C.get(told, told)
        name = name if name in PHASES else "other"
        renamed[name] = renamed.get(name, 0.0) + us
    return {name: renamed[name] for name in PHASES if name in renamed}


def label(benchmark: Benchmark) -> str:
    return benchmark.figures[0].name.partition(": ")[0]


def _column(detail: str) -> str:
    return ", ".join(filter(None, (words(detail), unit(detail))))


def _cells(figure: Measured) -> list[str]:
    verdict = ("**SHORT**" if figure.is_short else "yes") if figure.asked else ""
    return [figure.name, figure.found, figure.asked, verdict]
