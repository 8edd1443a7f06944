"""`python -m benchmarks.document results.json` writes docs/performance.md and its plots.

The results: `pytest benchmarks --benchmark-json results.json`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.document import plots
from benchmarks.document.checked import UnfitError
from benchmarks.document.page import GROWTH_PLOT, PHASES_PLOT, beside_the_limit, growth, page
from benchmarks.document.results import read

DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.document",
        description="Writes docs/performance.md and its plots from a run of the benchmarks.",
    )
    parser.add_argument("results", type=Path, help="what --benchmark-json wrote")
    parser.add_argument("--into", type=Path, default=DOCS, help="another folder than docs/")
    asked = parser.parse_args(arguments)
    try:
        write(asked.results, asked.into)
    except UnfitError as error:
        return _refused(str(error), 2)
    except plots.NoMatplotlibError as error:
        return _refused(str(error), 1)
    except OSError as error:
        return _refused(f"{asked.into} cannot be written: {error}", 1)
    return 0


def write(results_file: Path, folder: Path) -> None:
    """All of it or, where the results are unfit, nothing. A plot of what was not measured goes."""
    results = read(results_file)
    points, bars = growth(results), beside_the_limit(results)
    made = {
        GROWTH_PLOT: plots.growth(points) if points else None,
        PHASES_PLOT: plots.phases(bars) if bars else None,
        "performance.md": page(results),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        if text is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_text(text, "utf-8", newline="\n")


def _refused(why: str, code: int) -> int:
    print(f"error: {why}", file=sys.stderr)  # noqa: T201 -- the answer
    return code


if __name__ == "__main__":
    sys.exit(main())
