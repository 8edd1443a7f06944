"""What the benchmarks share: sizes, files, the C limit, and how figures are told and held to."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
import statistics
import subprocess
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any

import pytest

from benchmarks.outage import make_outage

LIMIT_SOURCE = Path(__file__).parent / "limit" / "limit.c"
LIMIT_GROUP = 50_000
Contender = Callable[[Path], float]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("azoth-dlq")
    group.addoption("--quick", action="store_true", help="small files, and floors that must hold")
    group.addoption("--large", action="store_true", help="also files of a million letters and more")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "large: needs --large")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--large"):
        for item in items:
            if item.get_closest_marker("large"):
                item.add_marker(pytest.mark.skip(reason="takes long; --large runs it"))


@pytest.fixture(scope="session")
def letters(request: pytest.FixtureRequest) -> int:
    """How many there are in a file."""
    return 20_000 if request.config.getoption("--quick") else 100_000


@pytest.fixture(scope="session")
def outages(letters: int, tmp_path_factory: pytest.TempPathFactory) -> Mapping[bool, Path]:
    """A file whose ids follow the order of failure (True), and one whose ids don't."""
    folder = tmp_path_factory.mktemp("outages")
    files = {in_order: folder / f"{in_order}.db" for in_order in (True, False)}
    for in_order, path in files.items():
        make_outage(path, in_order=in_order, letters=letters)
    return files


@pytest.fixture
def race(
    benchmark: Any,
    outages: Mapping[bool, Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Callable[..., dict[str, list[float]]]:
    """Runs contenders in turn, each on a fresh copy of the file; the seconds of each. The first is
    the one that pytest-benchmark lists."""

    def run(
        contenders: Mapping[str, Contender], *, in_order: bool = True, rounds: int | None = None
    ) -> dict[str, list[float]]:
        numbers = itertools.count()
        seconds: dict[str, list[float]] = {name: [] for name in contenders}

        def once() -> None:
            for name, contender in contenders.items():
                path = tmp_path / f"copy{next(numbers)}.db"
                shutil.copyfile(outages[in_order], path)
                seconds[name].append(contender(path))
                for left in tmp_path.glob("copy*"):
                    left.unlink()

        benchmark.pedantic(once, rounds=rounds or (2 if request.config.getoption("--quick") else 5))
        return seconds

    return run


Figure = Callable[..., None]


@pytest.fixture
def figure(
    benchmark: Any, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Figure:
    """Tells a ratio, what it should be (`at_least` or `at_most`), and what it was made of. With
    --quick it must reach the `floor` (not exceed it, where it should be at most so much)."""
    is_quick = request.config.getoption("--quick")

    def tell(name: str, ratio: float, *, floor: float | None = None, **details: float) -> None:
        bars: dict[str, float] = {
            bar: details.pop(bar) for bar in ("at_least", "at_most") if bar in details
        }
        told: dict[str, object] = {"name": name, "ratio": ratio, **bars, "details": details}
        benchmark.extra_info.setdefault("figures", []).append(told)
        is_high_enough = ratio >= bars.get("at_least", -inf) and ratio <= bars.get("at_most", inf)
        asked = "".join(f" ({bar.replace('_', ' ')} {value:g})" for bar, value in bars.items())
        more = "".join(f", {what} {value:.3g}" for what, value in details.items())
        with capsys.disabled():
            print(f"\n{name}: {ratio:.3g}{asked}{'' if is_high_enough else ' SHORT'}{more}")  # noqa: T201 -- the result
        if is_quick and floor is not None:
            assert ratio <= floor if "at_most" in bars else ratio >= floor, name

    return tell


def median_ratio(seconds: list[float], by: list[float]) -> float:
    """Of two contenders, round by round."""
    return statistics.median(a / b for a, b in zip(seconds, by, strict=True))


def us_a_letter(seconds: list[float], letters: int) -> float:
    return statistics.median(seconds) / letters * 1e6


@pytest.fixture(scope="session")
def limit(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Contender]:
    """Makes a contender of the C loop; skips where it cannot be built, or would use another SQLite
    than Python does."""
    program = tmp_path_factory.mktemp("limit") / "limit"
    try:
        subprocess.run(
            ["cc", "-O2", "-o", program, LIMIT_SOURCE, "-lsqlite3"],  # noqa: S607 -- the user's compiler
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the C limit needs cc, sqlite3.h and libsqlite3: {error}")
    ((ours,),) = sqlite3.connect(":memory:").execute("SELECT sqlite_source_id()").fetchall()

    def of(mode: str = "call", *arguments: str, letters: int) -> Contender:
        def seconds(path: Path) -> float:
            command = [str(program), str(path), str(LIMIT_GROUP), mode, *arguments]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            told = json.loads(done.stdout)
            if told["source_id"] != ours:
                pytest.skip(f"cc links SQLite {told['source_id']}, and Python has {ours}")
            assert told["letters"] == letters
            return float(told["seconds"])

        return seconds

    return of
