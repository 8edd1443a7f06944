"""docs/performance.md: what `python -m benchmarks.document` makes of a run, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks import machine, subjects
from benchmarks.document import plots
from benchmarks.document.__main__ import main
from benchmarks.document.page import GROWTH_PLOT, PHASES_PLOT, beside_the_limit, growth, page
from benchmarks.document.results import Results, read
from benchmarks.measured import Measured

ROOT = Path(__file__).parents[1]
RECORDED = Path(__file__).parent / "recorded" / "benchmarks.json"
Change = Callable[[dict[str, Any]], object]


def recorded() -> dict[str, Any]:
    run: dict[str, Any] = json.loads(RECORDED.read_text("utf-8"))
    return run


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Change], Path]:
    """The file of a run that differs from the recorded one."""

    def of(change: Change) -> Path:
        run = recorded()
        change(run)
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(run), "utf-8")
        return path

    return of


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def row(text: str, beginning: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {beginning}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


# Figures


@pytest.mark.parametrize(
    ("value", "goals", "is_short"),
    [
        (0.9, (0.9, None), False),
        (0.89, (0.9, None), True),
        (90.0, (None, 90), False),
        (90.1, (None, 90), True),
        (7.0, (None, None), False),
    ],
)
def test_a_figure_is_short_where_it_misses_its_goal(
    value: float, goals: tuple[float | None, float | None], is_short: bool
) -> None:
    at_least, at_most = goals
    measured = Measured(name="n", value=value, at_least=at_least, at_most=at_most)
    assert measured.is_short is is_short


def test_details_are_told_with_their_units() -> None:
    details = {"C_loop_us": 1234.5, "scan_ms": 0.12345, "inserts": 7, "at 2,500_ns": 3}
    measured = Measured(name="n", value=1, details=details)
    assert measured.made_of == "C loop 1,234 µs, scan 0.123 ms, inserts 7, at 2,500 3 ns"


# The document


def test_every_figure_is_told_and_the_short_ones_are_marked() -> None:
    run = recorded()
    text = page(read(RECORDED))
    names_in_rows = {"simplebroker / drain": "simplebroker 8.7.2"}
    marked = 0
    for benchmark in run["benchmarks"]:
        of_subject = section(text, benchmark["group"])
        for figure in benchmark["extra_info"]["figures"]:
            cells = row(of_subject, names_in_rows.get(figure["name"], figure["name"]))
            value = figure["value"]
            assert any(cell.startswith(f"{value:.3g}") for cell in cells), figure["name"]
            short = value < figure.get("at_least", value) or value > figure.get("at_most", value)
            assert ("**SHORT**" in cells) is short
            marked += short
    assert marked > 0
    assert text.count("| **SHORT** |") == marked


def test_what_falls_short_is_said_at_the_beginning() -> None:
    text = page(read(RECORDED))
    in_short = section(text, "In short")
    assert "5 of 9 figures with a goal fall short of it:" in in_short
    assert "- select: fifo, rows in order, ns: 250, should be at most 90\n" in in_short
    assert "1.08 times (batch handler, ids in order) to 4.23 times (a failure, ids in" in in_short


def test_the_c_loop_that_is_bound_and_what_failed_are_told_at_the_beginning(
    changed: Callable[[Change], Path],
) -> None:
    def bind(run: dict[str, Any]) -> None:
        """There is another loop in place of the one that the batch handler was set beside."""
        for figure in (each["extra_info"]["figures"][0] for each in run["benchmarks"]):
            if figure["name"].startswith("batch handler"):
                figure |= {"name": f"batch: {subjects.BOUND_C_LOOP} / drain", "value": 0.5}

    told = " ".join(section(page(read(changed(bind))), "In short").split())
    assert "takes, and 2.00 times (batch) to 2.00 times (batch) what one takes that is" in told
    assert "**Benchmarks that failed: 1**" in told


def test_where_none_falls_short_it_says_so(changed: Callable[[Change], Path]) -> None:
    def without_goals(run: dict[str, Any]) -> None:
        for benchmark in run["benchmarks"]:
            for figure in benchmark["extra_info"]["figures"]:
                figure.pop("at_least", None)
                figure.pop("at_most", None)
        run["benchmarks"][0]["extra_info"]["figures"][0]["at_most"] = 1e6

    text = page(read(changed(without_goals)))
    assert "0 of 1 figures with a goal fall short of it.\n" in text
    assert "| **SHORT** |" not in text


def test_what_did_not_run_is_named() -> None:
    text = page(read(RECORDED))
    missing = section(text, "Benchmarks that did not run")
    assert "`benchmarks/test_import.py::test_import`" in missing
    assert "- 2 skipped: takes long; --large runs it\n" in missing
    assert "- 1 skipped: could not import 'huey.storage'" in missing
    assert "- 14 left out on the command line\n" in missing
    assert section(text, "Memory").rstrip().endswith("Not measured in this run.")


def test_a_subject_that_is_not_known_is_told_too(changed: Callable[[Change], Path]) -> None:
    path = changed(lambda run: run["benchmarks"][0].update(group=None))
    assert "select: fifo" in section(page(read(path)), "Others")


def test_the_machine_and_the_versions_are_told_but_not_its_name() -> None:
    run = read(RECORDED)
    text = page(run)
    facts = section(text, "The machine and the run")
    for told in (
        *("AMD EPYC, 2 logical cores, of a virtual machine", "23.5 GiB", "ext4", "CPython 3.11.7"),
        *(
            "2026-11-29 12:02 UTC",
            "SQLite | 3.40.1",
            "12.2.0, `-O2`",
            "`pytest benchmarks --quick`",
        ),
        *("Debian GNU/Linux 12 (bookworm), Linux 6.18.44 x86_64", "0.1.0, commit a4d277f00000"),
    ):
        assert told in facts
    assert "a-host" not in text


def test_what_is_not_known_of_the_machine_stops_nothing(changed: Callable[[Change], Path]) -> None:
    path = changed(lambda run: run.update(machine_info={}, commit_info=None))
    facts = section(page(read(path)), "The machine and the run")
    assert row(facts, "memory")[1] == row(facts, "SQLite")[1] == "not known"


def test_a_run_that_measures_little_says_so(changed: Callable[[Change], Path]) -> None:
    warned = page(read(RECORDED))
    assert "**This run was made with `--quick`**" in warned
    assert "a load of 3 on 2 cores" in warned
    quiet = changed(lambda run: run["run"].update(quick=False, large=True, load=[0.5, 3.0]))
    text = page(read(quiet))
    assert "This run was made with" not in text
    assert "a load of" not in text
    assert "$ pytest benchmarks --large --benchmark-json results.json\n" in text


def test_peers_growth_and_phases_have_tables_of_their_own() -> None:
    text = page(read(RECORDED))
    peer = row(section(text, "Other queues in SQLite"), "simplebroker")
    assert peer == ["simplebroker 8.7.2", "198", "46", "4.31 (4.12 to 4.9)", "at least 1", "yes"]
    assert row(section(text, "Growth with the number of letters"), "5,000") == [
        "5,000",
        "37.5",
        "23",
    ]
    phases = section(text, "Drains beside the C loop")
    drain, c_loop = (row(phases, f"batch handler, ids in order: {who} |") for who in WHO)
    assert drain[1:] == [
        "6.85",
        "0.562",
        "9.91 + 1.9",
        "12.6",
        "1.75",
        "4.54",
        "0",
        "0.801",
        "38.9",
    ]
    assert c_loop[1:] == ["7.26", "", "10.7", "12", "5.42", "", "", "", "35.3"]


WHO = "drain", "C loop"


# What is refused


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not JSON"),
        ("[]", "the file must be an object, is []"),
        ("{}", "the file has no `benchmarks`"),
        ('{"benchmarks": 3}', "the file.benchmarks must be a list, is 3"),
        ('{"benchmarks": [], "machine_info": {}}', "the file has no `run`"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    text: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, "utf-8")
    assert main([str(path), "--into", str(tmp_path / "docs")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {path} ")
    assert why in told
    assert not (tmp_path / "docs").exists()


def test_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json"), "--into", str(tmp_path / "docs")]) == 2
    assert "none.json cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda run: run["benchmarks"][1]["extra_info"]["figures"][0].update(value="1"),
            "benchmarks[1].extra_info.figures[0].value must be a finite number, is '1'",
        ),
        (
            lambda run: run["benchmarks"][0]["extra_info"]["figures"][0].update(value=float("nan")),
            "figures[0].value must be a finite number, is nan",
        ),
        (
            lambda run: run["benchmarks"][0]["extra_info"]["figures"][0].update(at_most=10**400),
            "figures[0].at_most must be a finite number, is 1000",
        ),
        (lambda run: run["benchmarks"][0].pop("fullname"), "benchmarks[0] has no `fullname`"),
        (lambda run: run["run"].update(quick=1), "run.quick must be true or false, is 1"),
        (
            lambda run: run["run"].update(letters=True),
            "run.letters must be a finite number, is True",
        ),
        (lambda run: run.update(datetime="today"), "datetime must be a date, is 'today'"),
        (
            lambda run: [benchmark.update(extra_info={}) for benchmark in run["benchmarks"]],
            "has no figures",
        ),
    ],
)
def test_a_run_that_is_not_whole_is_refused(
    change: Change,
    why: str,
    changed: Callable[[Change], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(changed(change)), "--into", str(tmp_path / "docs")]) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()


def test_without_matplotlib_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([str(RECORDED), "--into", str(tmp_path / "docs")]) == 1
    assert "pip install '.[bench]'" in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()


# Plots


@pytest.fixture
def results() -> Results:
    """Of the recorded run, where there is matplotlib."""
    pytest.importorskip("matplotlib")
    return read(RECORDED)


DRAWN: list[Callable[[Results], str]] = [
    lambda results: plots.growth(growth(results)),
    lambda results: plots.phases(beside_the_limit(results)),
]


@pytest.mark.parametrize("drawn", DRAWN, ids=["growth", "phases"])
def test_a_plot_is_the_same_for_the_same_figures(
    results: Results, drawn: Callable[[Results], str]
) -> None:
    svg = drawn(results)
    assert svg == drawn(results)
    assert "<dc:date>" not in svg
    assert len(svg) < 50_000


def test_plots_show_what_was_measured(results: Results) -> None:
    texts = [_texts(drawn(results)) for drawn in DRAWN]
    assert {"drain", "C loop", "2,500", "20,000", "µs a letter"} <= texts[0]
    assert {"batch handler, ids in order: drain", "a failure, ids in order: C loop"} <= texts[1]
    assert {"plan", "checkpoint", "fetch and handlers (C loop)"} <= texts[1]


def _texts(svg: str) -> set[str]:
    root = ET.fromstring(svg)  # noqa: S314 -- our own
    return {text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")}


def test_the_document_and_its_plots_are_written_beside_each_other(
    changed: Callable[[Change], Path], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    docs = tmp_path / "docs"
    assert main([str(RECORDED), "--into", str(docs)]) == 0
    shown = re.findall(r"!\[[^\]]+\]\((.*?)\)", (docs / "performance.md").read_text("utf-8"))
    assert {path.name for path in docs.iterdir()} == {"performance.md", *shown}
    assert set(shown) == {GROWTH_PLOT, PHASES_PLOT}
    without_growth = changed(
        lambda run: [each["extra_info"].pop("growth", None) for each in run["benchmarks"]]
    )
    assert main([str(without_growth), "--into", str(docs)]) == 0
    assert not (docs / GROWTH_PLOT).exists()
    assert GROWTH_PLOT not in (docs / "performance.md").read_text("utf-8")


# Together with the benchmarks


def test_what_a_run_of_the_benchmarks_writes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    chosen = "test_delays or test_fifo_by_hand or (test_memory and 2000)"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "benchmarks", "--quick", "-k", chosen),
            *("-p", "no:cacheprovider", "--benchmark-json", str(file)),
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "XDIST" not in name},
        check=False,  # a busy machine may miss a floor
        capture_output=True,
        text=True,
    )
    assert file.exists(), done.stdout + done.stderr
    results = read(file)
    drain, kernel = results.figures
    assert kernel.name == "delays: backoff over a buffer, ns"
    assert kernel.at_most == 2
    assert drain.lowest is not None
    (phases,) = (each.phases for each in results.benchmarks if each.phases)
    us = sum(phases["drain"].values())
    assert us == pytest.approx(drain.details["drain_us"], rel=0.2)
    assert results.run.quick
    assert results.run.deselected > 0
    assert set(results.run.skipped.values()) == {"Skipped: takes long; --large runs it"}
    assert row(page(results), "SQLite")[1] != "not known"


def test_the_file_system_is_that_of_the_innermost_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "with space" / "files"
    files.mkdir(parents=True)
    mounts = tmp_path / "mounts"
    named = str(files.parent.resolve()).replace(" ", "\\040")
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/a rw\n"
        f"23 22 8:2 / {named} rw shared:1 - xfs /dev/b rw\n"
        f"24 22 8:3 / {named} rw - btrfs /dev/c rw\n"
        f"25 22 8:4 / {named}/beside rw - tmpfs none rw\n",
        "utf-8",
    )
    monkeypatch.setattr(machine, "MOUNTS", mounts)
    assert machine.surroundings(files)["file_system"] == "btrfs"
    assert machine.surroundings(tmp_path)["file_system"] == "ext4"
