"""`export` and `import`: letters from one file to another, as their exit codes and lines tell."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Workplace, error_line
from tests.exchange.files import lines_of, stored

CRATE_LOG = Path(__file__).parents[1] / "data" / "dead_letter_queue.jsonl"
DB = "projection.db"


@pytest.fixture
def shop(workplace: Workplace) -> Workplace:
    """Two dead letters and a permanent failure."""
    workplace.make("ok", "fails")
    workplace.park(event_id=8)
    return workplace


def _document(workplace: Workplace, *arguments: str, **options: Any) -> dict[str, Any]:
    done = workplace.run(*arguments, "--json", **options)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_letters_move_to_a_new_file(shop: Workplace) -> None:
    done = shop.run("export", DB, "--output", "letters.jsonl.gz")
    assert done.stdout == (
        "2 dead letters and 1 permanent failure of projection.db written to letters.jsonl.gz\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    done = shop.run("import", "new.db", "letters.jsonl.gz", "--create")
    assert done.stdout == "2 dead letters and 1 permanent failure came into new.db\n"
    assert stored(shop.folder / "new.db") == stored(shop.database)
    done = shop.drain()
    assert done.returncode == 0


def test_only_create_makes_a_file(shop: Workplace) -> None:
    shop.run("export", DB, "--output", "x.jsonl")
    assert "make it by --create" in error_line(shop.run("import", "new.db", "x.jsonl"), 1)
    line = error_line(shop.run("import", "new.db", "x.jsonl", "--create", "--dry-run"), 2)
    assert "--dry-run writes nothing" in line
    assert not (shop.folder / "new.db").exists()
    assert shop.run("import", DB, "x.jsonl", "--create").returncode == 0


def test_a_file_that_cannot_be_read_makes_none(shop: Workplace) -> None:
    (shop.folder / "bad.jsonl").write_text("no\n")
    line = error_line(shop.run("import", "new.db", "bad.jsonl", "--create"), 1)
    assert "bad.jsonl, line 1: it is no JSON" in line
    assert not (shop.folder / "new.db").exists()


def test_by_pipes(shop: Workplace) -> None:
    with (shop.folder / "piped").open("wb") as file:
        done = shop.run("export", DB, "--output", "-", "--gzip", stdout=file)
    assert "2 dead letters and 1 permanent failure of projection.db written" in done.stderr
    with (shop.folder / "piped").open("rb") as file:
        report = _document(shop, "import", "new.db", "-", "--create", stdin=file)
    assert (report["dead_letters"], report["permanent_failures"]) == (2, 1)
    reading, writing = os.pipe()
    with shop.start("export", DB, "--output", "-", stdout=writing) as export:
        os.close(writing)
        report = _document(shop, "import", "other.db", "-", "--create", stdin=reading)
        os.close(reading)
        assert export.wait() == 0
    assert stored(shop.folder / "other.db") == stored(shop.folder / "new.db")


def test_documents(shop: Workplace) -> None:
    report = _document(shop, "export", DB, "--output", "x.jsonl", "--parked")
    duration = report.pop("duration")
    assert duration > 0
    assert report == {
        "database": DB,
        "file": "x.jsonl",
        "dead_letters": 0,
        "permanent_failures": 1,
        "resumed": 0,
        "restarted": None,
    }
    report = _document(shop, "import", DB, "x.jsonl", "--dry-run")
    assert report.pop("duration") > 0
    assert report == {
        "database": DB,
        "file": "x.jsonl",
        "format": "azoth-dlq",
        "dead_letters": 0,
        "permanent_failures": 0,
        "here": 1,
        "before": 0,
        "gone": 0,
        "skipped": 1,
        "dry_run": True,
    }


def test_what_is_left_out_is_told_and_the_way_to_have_it(shop: Workplace) -> None:
    shop.run("export", DB, "--output", "x.jsonl")
    shop.run("discard", DB, "1")
    done = shop.run("import", DB, "x.jsonl")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "0 dead letters and 0 permanent failures came into projection.db",
        "       2 left out: here already",
        "       1 left out: gone from projection.db, and may have been replayed",
    ]
    assert (
        "`azoth-dlq import projection.db x.jsonl --again` takes those that are gone" in done.stderr
    )
    done = shop.run("import", DB, "x.jsonl", "--again", "--dry-run")
    assert "1 dead letter and 0 permanent failures would come into projection.db" in done.stdout
    assert shop.count("dead_letter_queue") == 1
    assert _document(shop, "import", DB, "x.jsonl", "--again")["dead_letters"] == 1
    assert shop.count("dead_letter_queue") == 2


def test_the_log_of_the_crate(shop: Workplace) -> None:
    report = _document(shop, "import", DB, str(CRATE_LOG))
    assert (report["format"], report["dead_letters"]) == ("azoth event log", 7)
    assert _document(shop, "import", DB, str(CRATE_LOG))["before"] == 7


def test_looking_is_enough_to_export(shop: Workplace) -> None:
    """Also a file that cannot be written."""
    if os.name == "nt":
        pytest.skip("Windows has no file modes that bind the owner")
    shop.folder.chmod(0o755)
    before = shop.database.read_bytes()
    shop.run("export", DB, "--output", "x.jsonl")
    assert shop.database.read_bytes() == before


def test_a_table_for_people(shop: Workplace) -> None:
    shop.add(error_message="=1+1")
    done = shop.run("export", DB, "--output", "-", "--format", "csv", "--dead")
    rows = done.stdout.splitlines()
    assert rows[0].startswith("table,id,dead_letter_id,event_id,event_type")
    assert len(rows) == 4
    assert ",'=1+1," in rows[3]
    assert "payload" not in rows[0]
    done = shop.run("export", DB, "--output", "x.csv.gz", "--format", "csv", "--payload")
    assert b",utf-8,ok:x\r\n" in gzip.decompress((shop.folder / "x.csv.gz").read_bytes())


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["export", DB], 2, "Missing option '--output'"),
        (["export", DB, "--output", "x", "--dead", "--parked"], 2, "cannot go together"),
        (["export", DB, "--output", "-", "--json"], 2, "both are written to stdout"),
        (["export", DB, "--output", "x", "--payload"], 2, "--payload is for --format csv"),
        (["export", DB, "--output", "x", "--format", "xml"], 2, "'xml' is not one of"),
        (["export", DB, "--output", "handlers.py"], 1, "or overwrite it (--force)"),
        (["export", DB, "--output", DB, "--force"], 1, "belongs to the database itself"),
        (["export", DB, "--output", "none/x"], 1, "none/x cannot be written: No such file"),
        (["export", "none.db", "--output", "x"], 1, "there is no file 'none.db'"),
        (["import", DB, "none.jsonl"], 1, "none.jsonl cannot be read: No such file"),
        (["import", DB, "handlers.py"], 1, "handlers.py, line 2: it is no JSON"),
        (["import", DB, DB], 1, "projection.db, line 1: "),
        (["import", DB], 2, "Missing argument 'FILE'"),
    ],
)
def test_wrong_usage_and_errors_are_told_in_one_line(
    shop: Workplace, arguments: list[str], code: int, told: str
) -> None:
    assert told in error_line(shop.run(*arguments), code)
    assert stored(shop.database)


def test_output_that_is_closed_ends_it(shop: Workplace) -> None:
    for _ in range(12):
        shop.make(*["ok:" + "x" * 5000] * 20)
    reading, writing = os.pipe()
    with shop.start("export", DB, "--output", "-", stdout=writing) as export:
        os.close(writing)
        os.read(reading, 100)
        os.close(reading)
        _, stderr = export.communicate(timeout=60)
    assert (export.returncode, stderr) == (1, "")


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send SIGINT to one process")
def test_an_interrupted_export_is_gone_on_with(shop: Workplace) -> None:

    shop.make(*[f"ok:{n}" for n in range(30_000)])
    with shop.start("export", DB, "--output", "x.jsonl") as export:
        partial = shop.folder / "x.jsonl.partial"
        deadline = 30 * 100
        while not (partial.exists() and partial.stat().st_size > 10**6) and deadline:
            deadline -= 1
            try:
                export.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
        export.send_signal(signal.SIGINT)
        _, stderr = export.communicate(timeout=60)
    assert (export.returncode, stderr) == (
        130,
        "azoth-dlq: interrupted; the same command goes on with what is written\n",
    )
    done = shop.run("export", DB, "--output", "x.jsonl")
    assert "of them by an export that was interrupted" in done.stdout
    assert len(lines_of(shop.folder / "x.jsonl")) == 30_003 + 2
