"""docs/reliability.md: what `python -m tests.reliability` makes of runs, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.__main__ import PAGE, main
from tests.reliability.page import NONE, OTHERS, page
from tests.reliability.promises import PROMISES
from tests.reliability.results import read
from tests.reliability.words import NONE_FAILED

ROOT = Path(__file__).parents[1]
FIRST = "tests/crash/test_a.py::a"
KILLS = "SIGKILL at a random instant"
WAIT = "longest wait of the writer, s"
RUN = {
    "date": "2026-11-30T01:02:03+00:00",
    "command": "pytest -m attack",
    "commit": "0123456789ab",
    "system": "Linux",
    "python": "3.11.7",
    "sqlite": "3.40.1",
    "seconds": 120.0,
    "passed": 1234,
    "failed": [],
}


def _told(name: str, times: int, *, outcome: str = "passed", wait: float = 0.5) -> dict[str, Any]:
    return {
        "name": f"tests/crash/test_a.py::{name}",
        "outcome": outcome,
        "struck": {KILLS: times},
        "measured": {WAIT: wait},
    }


def _write(path: Path, *tests: dict[str, Any], **run: Any) -> Path:
    path.write_text(json.dumps({"run": {**RUN, **run}, "tests": tests}), "utf-8")
    return path


def test_blows_add_up_and_figures_are_the_largest_over_tests_and_runs(tmp_path: Path) -> None:
    first = _write(tmp_path / "1.json", _told("a", 1_000), _told("b", 30, wait=0.75))
    second = _write(tmp_path / "2.json", _told("c", 4), command="pytest --long")
    text = page(read([first, second]))
    assert f"| {KILLS} | 1,034 |" in text
    assert f"| {WAIT} | 0.75 |" in text
    assert "1 of 14 promises were attacked in these runs, in 1 ways." in " ".join(text.split())
    for command in ("`pytest -m attack`", "`pytest --long`"):
        assert (
            f"| 2026-11-30 | {command} | 0123456789ab | 3.11.7, 3.40.1 | Linux | 1,234 | 0 | 2 |"
            in text
        )


def test_an_attack_that_failed_counts_nothing_and_is_named_at_the_beginning(tmp_path: Path) -> None:
    text = page(
        read([_write(tmp_path / "1.json", _told("a", 7, outcome="failed"), failed=[FIRST])])
    )
    beginning = text.partition("\n## ")[0]
    assert "**Failed in these runs: 1**" in " ".join(beginning.split())
    assert "- `tests/crash/test_a.py::a`" in beginning
    assert f"| {KILLS} | {NONE} |" in text


def test_an_attack_that_failed_and_was_mended_counts_as_it_was_last_made(tmp_path: Path) -> None:
    failed = _told("a", 7, outcome="failed")
    first = _write(tmp_path / "1.json", failed, _told("b", 2), failed=[FIRST])
    second = _write(tmp_path / "2.json", _told("a", 5), date="2026-12-01T00:00:00+00:00")
    # A run that skips it says nothing of it.
    skipped = _told("a", 0, outcome="skipped")
    third = _write(tmp_path / "3.json", skipped, date="2026-12-02T00:00:00+00:00")
    text = page(read([third, second, first]))
    assert f"| {KILLS} | 7 |" in text
    beginning = text.partition("\n## ")[0]
    assert NONE_FAILED in " ".join(beginning.split())
    assert beginning.partition("Failed in one of the runs")[2].count("- `") == 1
    assert "test_a.py::a`" in beginning


def test_an_attack_that_was_skipped_is_named(tmp_path: Path) -> None:
    text = page(read([_write(tmp_path / "1.json", _told("a", 0, outcome="skipped"))]))
    assert "\n- `tests/crash/test_a.py::a`" in text.partition("that these runs skipped\n")[2]


def test_an_attack_of_which_no_promise_speaks_is_told(tmp_path: Path) -> None:
    other = {**_told("a", 7), "struck": {"a new one": 7}}
    text = page(read([_write(tmp_path / "1.json", other)]))
    assert "| a new one | 7 |" in text.partition(f"## {OTHERS}\n")[2]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is not JSON"),
        ("[]", "must be an object"),
        ('{"run": {}, "tests": []}', "has no `date`"),
        (json.dumps({"run": {**RUN, "date": "today"}, "tests": []}), "date must be a date"),
        (json.dumps({"run": RUN, "tests": [{"name": "a"}]}), "has no `outcome`"),
    ],
)
def test_what_no_run_has_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, why: str
) -> None:
    results, into = tmp_path / "attacks.json", tmp_path / "page.md"
    results.write_text(content, "utf-8")
    assert main([str(results), "--into", str(into)]) == 2
    assert why in capsys.readouterr().err
    assert not into.exists()


def test_files_that_are_not_there_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.json")]) == 2
    results = _write(tmp_path / "1.json", _told("a", 1))
    assert main([str(results), "--into", str(tmp_path / "no folder" / "page.md")]) == 1
    assert capsys.readouterr().err.count("error: ") == 2


def test_the_test_of_each_defect_is_there() -> None:
    assert [f.test for p in PROMISES for f in p.found if not (ROOT / f.test).is_file()] == []


def test_the_page_tells_of_every_attack_and_none_failed() -> None:
    text = PAGE.read_text("utf-8")
    assert [promise.title for promise in PROMISES if f"## {promise.title}\n" not in text] == []
    assert NONE not in text
    assert f"## {OTHERS}\n" not in text
    assert NONE_FAILED in " ".join(text.split())
