"""The plots, as SVG: the same text for the same figures."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from benchmarks.document import tables
from benchmarks.document.results import Benchmark

COLORS = {
    "plan": "#4c78a8",
    "open": "#9ecae9",
    "fetch": "#54a24b",
    "handlers": "#b6d7a8",
    "calls": "#88d27a",
    "write": "#f58518",
    "commit": "#e45756",
    "checkpoint": "#b279a2",
    "yield": "#d9d9d9",
    "other": "#79706e",
}
IN_LEGEND = {"calls": "fetch and handlers (C loop)"}
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "azoth-dlq",
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "axes.spines.top": False,
    "axes.spines.right": False,
}


class NoMatplotlibError(Exception):
    """It is not installed."""


def growth(points: Mapping[int, Mapping[str, float]]) -> str:
    """µs a letter over the number of letters, a line a contender."""
    with _matplotlib().rc_context(STYLE):
        figure, axes = _empty(3.2)
        sizes = sorted(points)
        for place, name in enumerate(points[sizes[0]]):
            us = [points[size].get(name) for size in sizes]
            axes.plot(sizes, us, marker="o", label=name, color=("#4c78a8", "#f58518")[place % 2])
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("letters in the file (logarithmic)")
        axes.set_ylabel("µs a letter")
        axes.legend(frameon=False)
        return _svg(figure)


def phases(benchmarks: Sequence[Benchmark]) -> str:
    """µs a letter, stacked by phase: of each drain, and of the C loop below it."""
    with _matplotlib().rc_context(STYLE):
        figure, axes = _empty(1.6 + 0.6 * len(benchmarks))
        bars = [
            (f"{tables.label(benchmark)}: {contender}", tables.by_phase(phases_of[contender]))
            for benchmark in benchmarks
            for phases_of in [benchmark.phases]
            for contender in tables.CONTENDERS
        ]
        places = [-(n // 2 * 2.6 + n % 2) for n in range(len(bars))]
        ends = dict.fromkeys(places, 0.0)
        for phase in tables.PHASES:
            lengths = {
                place: taken[phase]
                for place, (_, taken) in zip(places, bars, strict=True)
                if taken.get(phase)
            }
            if lengths:
                left = [ends[place] for place in lengths]
                name = IN_LEGEND.get(phase, phase)
                axes.barh(
                    [*lengths], [*lengths.values()], 0.9, left=left, color=COLORS[phase], label=name
                )
                ends |= {place: ends[place] + length for place, length in lengths.items()}
        axes.set_yticks(places, [name for name, _ in bars])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("µs a letter")
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
        return _svg(figure)


def _matplotlib() -> Any:
    try:
        importlib.import_module("matplotlib.figure")
        return importlib.import_module("matplotlib")
    except ModuleNotFoundError as error:
        raise NoMatplotlibError(
            f"the plots need matplotlib ({error}): pip install '.[bench]'"
        ) from error


def _empty(height: float) -> tuple[Any, Any]:
    figure = _matplotlib().figure.Figure((8, height), layout="constrained", facecolor="white")
    return figure, figure.subplots()


def _svg(figure: Any) -> str:
    written = StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())
