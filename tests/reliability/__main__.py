"""`python -m tests.reliability attacks.json …` writes docs/reliability.md.

The results: `pytest -m attack --long --attacks-json attacks.json`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.document.checked import UnfitError
from tests.reliability.page import page
from tests.reliability.results import read

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability",
        description="Writes docs/reliability.md from runs of the attacks.",
    )
    parser.add_argument("results", type=Path, nargs="+", help="what --attacks-json wrote")
    parser.add_argument("--into", type=Path, default=PAGE, help="another file than that")
    asked = parser.parse_args(arguments)
    try:
        text = page(read(asked.results))
    except UnfitError as error:
        return _refused(str(error), 2)
    try:
        asked.into.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        return _refused(f"{asked.into} cannot be written: {error.strerror}", 1)
    return 0


def _refused(why: str, code: int) -> int:
    print(f"error: {why}", file=sys.stderr)  # noqa: T201 -- the answer
    return code


if __name__ == "__main__":
    sys.exit(main())
