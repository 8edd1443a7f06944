"""What the benchmarks share: sizes, files, the C limit, and how figures are told and held to."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from azoth_dlq import DlqReplayConfig
from benchmarks import machine
from benchmarks.measured import Measured
from benchmarks.outage import make_outage

LIMIT_SOURCE = Path(__file__).parent / "limit" / "limit.c"
LIMIT_GROUP = 50_000


class Began(NamedTuple):
    """What a run began with."""

    at: float
    load: float | None
    commit: Mapping[str, object]


BEGAN = pytest.StashKey[Began]()


class Taken(NamedTuple):
    """Seconds, and those of each phase where they are known."""

    seconds: float
    phases: Mapping[str, float] = {}


Contender = Callable[[Path], Taken]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("azoth-dlq")
    group.addoption("--quick", action="store_true", help="small files, and floors that must hold")
    group.addoption("--large", action="store_true", help="also files of a million letters and more")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "large: needs --large")
    commit = config.hook.pytest_benchmark_generate_commit_info(config=config)
    config.stash[BEGAN] = Began(time.monotonic(), machine.load(), commit)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--large"):
        for item in items:
            if item.get_closest_marker("large"):
                item.add_marker(pytest.mark.skip(reason="takes long; --large runs it"))


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    files = config.getoption("basetemp") or tempfile.gettempdir()
    machine_info.update(machine.surroundings(Path(files)))


def pytest_benchmark_update_commit_info(
    config: pytest.Config, commit_info: dict[str, object]
) -> None:
    """That which was measured, whatever has been committed since."""
    commit_info.update(config.stash[BEGAN].commit)


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """How the run was made, and what is missing in it."""
    began = config.stash[BEGAN]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter else {}
    output_json["run"] = {
        "quick": config.getoption("--quick"),
        "large": config.getoption("--large"),
        "letters": letters_of(config),
        "rounds": rounds_of(config),
        "seconds": time.monotonic() - began.at,
        "load": [began.load, machine.load()],
        "failed": [report.nodeid for what in ("failed", "error") for report in stats.get(what, ())],
        "skipped": {report.nodeid: report.longrepr[2] for report in stats.get("skipped", ())},
        "deselected": len(stats.get("deselected", ())),
    }


def letters_of(config: pytest.Config) -> int:
    return 20_000 if config.getoption("--quick") else 100_000


def rounds_of(config: pytest.Config) -> int:
    return 3 if config.getoption("--quick") else 5


@pytest.fixture(scope="session")
def letters(request: pytest.FixtureRequest) -> int:
    """How many there are in a file."""
    return letters_of(request.config)


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
    letters: int,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Callable[..., dict[str, list[float]]]:
    """Runs contenders in turn, each on a fresh copy of the file; the seconds of each. The first is
    the one that pytest-benchmark lists. Phases are told in µs a letter."""

    def run(
        contenders: Mapping[str, Contender], *, in_order: bool = True, rounds: int | None = None
    ) -> dict[str, list[float]]:
        numbers = itertools.count()
        taken: dict[str, list[Taken]] = {name: [] for name in contenders}

        def once() -> None:
            for name, contender in contenders.items():
                path = tmp_path / f"copy{next(numbers)}.db"
                shutil.copyfile(outages[in_order], path)
                taken[name].append(contender(path))
                for left in tmp_path.glob("copy*"):
                    left.unlink()

        benchmark.pedantic(once, rounds=rounds or rounds_of(request.config))
        benchmark.extra_info["phases"] = {
            name: {
                phase: us_a_letter([one.phases[phase] for one in all_of_it], letters)
                for phase in all_of_it[0].phases
            }
            for name, all_of_it in taken.items()
        }
        return {name: [one.seconds for one in all_of_it] for name, all_of_it in taken.items()}

    return run


Figure = Callable[..., None]


@pytest.fixture
def figure(
    benchmark: Any, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Figure:
    """Tells a ratio (or the ratios of all rounds), what it should be (`at_least` or `at_most`), and
    what it was made of. With --quick it must reach the `floor` (not exceed it, where it should be
    at most so much)."""
    is_quick = request.config.getoption("--quick")

    def tell(
        name: str,
        found: float | Sequence[float],
        *,
        floor: float | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
        **details: float,
    ) -> None:
        ratios = found if isinstance(found, Sequence) else [found]
        measured = Measured(
            name=name,
            value=statistics.median(ratios),
            lowest=min(ratios) if len(ratios) > 1 else None,
            highest=max(ratios) if len(ratios) > 1 else None,
            at_least=at_least,
            at_most=at_most,
            details=details,
        )
        benchmark.extra_info.setdefault("figures", []).append(measured.as_dict())
        asked = f", {measured.asked}" if measured.asked else ""
        more = f": {measured.made_of}" if details else ""
        with capsys.disabled():
            print(f"\n{name}: {measured.found}{asked}{' SHORT' * measured.is_short}{more}")  # noqa: T201 -- the result
        if is_quick and floor is not None:
            is_enough = measured.value <= floor if at_most is not None else measured.value >= floor
            assert is_enough, name

    return tell


def ratios(seconds: list[float], by: list[float]) -> list[float]:
    """Of two contenders, round by round."""
    return [a / b for a, b in zip(seconds, by, strict=True)]


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

    def of(
        mode: str = "call", *arguments: str, letters: int, config: DlqReplayConfig | None = None
    ) -> Contender:
        """`config`: with groups as long as those of a drain, and as much of the file cached."""
        seconds = config.max_transaction_time.total_seconds() if config else 0.0
        cache_size = config.cache_size or 0 if config else 0
        bounds = [str(LIMIT_GROUP), str(seconds), str(cache_size // 1024)]

        def loop(path: Path) -> Taken:
            command = [str(program), str(path), *bounds, mode, *arguments]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            told = json.loads(done.stdout)
            if told["source_id"] != ours:
                pytest.skip(f"cc links SQLite {told['source_id']}, and Python has {ours}")
            assert told["letters"] == letters
            return Taken(told["seconds"], told["phases"])

        return loop

    return of
