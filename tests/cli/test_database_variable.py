"""AZOTH_DLQ_DB names the file where DB is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Workplace, error_line

HANDLERS = ("--handlers", "handlers:registry")


@pytest.fixture
def named(workplace: Workplace) -> Workplace:
    """The variable names a file with two dead letters and a parked one; `other.db` has one."""
    workplace.make("ok", "fails")
    workplace.park()
    here, there = workplace.database, workplace.folder / "other.db"
    workplace.database = there
    workplace.make("ok")
    workplace.database = here
    workplace.environment["AZOTH_DLQ_DB"] = "projection.db"
    return workplace


def document(workplace: Workplace, *arguments: str) -> dict[str, Any]:
    done = workplace.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@pytest.mark.parametrize("command", ["status", "list"])
def test_a_command_of_one_argument_takes_the_file_of_the_variable(
    named: Workplace, command: str
) -> None:
    assert document(named, command)["database"] == "projection.db"
    assert document(named, command, "other.db")["database"] == "other.db"


def test_show_takes_what_reads_as_an_id_for_one(named: Workplace) -> None:
    assert document(named, "show", "2")["event_type"] == "fails"
    assert document(named, "show", "other.db", "1")["database"] == "other.db"
    assert "no letter is given" in error_line(named.run("show", "other.db"), 2)


@pytest.mark.parametrize(
    ("arguments", "database", "parked"),
    [
        (("1",), "projection.db", 0),
        (("--yes", "--all"), "projection.db", 0),
        (("projection.db", "1"), "projection.db", 0),
        (("other.db", "--all", "--yes"), "other.db", 1),
    ],
)
def test_requeue_takes_numbers_for_ids(
    named: Workplace, arguments: tuple[str, ...], database: str, parked: int
) -> None:
    if database == "other.db":
        named.database = named.folder / "other.db"
        named.park()
        named.database = named.folder / "projection.db"
    done = document(named, "requeue", *arguments)
    assert (done["database"], done["requeued"]) == (database, 1)
    assert named.count("permanent_failures") == parked


def test_discard_takes_numbers_for_ids_whatever_files_there_are(named: Workplace) -> None:
    (named.folder / "1").write_bytes((named.folder / "other.db").read_bytes())
    done = document(named, "discard", "1", "2")
    assert (done["database"], done["discarded"]) == ("projection.db", 2)
    done = document(named, "discard", "./1", "1")
    assert (done["database"], done["discarded"]) == ("./1", 1)


def test_without_the_variable_the_first_argument_is_the_file(named: Workplace) -> None:
    del named.environment["AZOTH_DLQ_DB"]
    (named.folder / "other.db").rename(named.folder / "2024")
    assert document(named, "discard", "2024", "1")["discarded"] == 1
    assert "Missing argument 'DB'" in error_line(named.run("status"), 2)
    assert "no letter is given" in error_line(named.run("show", "2"), 2)


def test_an_empty_variable_names_nothing(named: Workplace) -> None:
    named.environment["AZOTH_DLQ_DB"] = ""
    assert "Missing argument 'DB'" in error_line(named.run("status"), 2)


def test_a_drain_takes_the_file_of_the_variable(named: Workplace) -> None:
    assert document(named, "drain", *HANDLERS)["attempted"] == 2
    assert document(named, "drain", "other.db", *HANDLERS)["attempted"] == 1


def test_a_run_takes_the_file_of_the_variable(named: Workplace) -> None:
    done = named.run("run", *HANDLERS, "--no-enabled", "-v")
    assert done.returncode == 0, done.stderr
    named.environment["AZOTH_DLQ_DB"] = "nowhere.db"
    done = named.run("run", *HANDLERS)
    assert (done.returncode, "there is no file 'nowhere.db'" in done.stderr) == (1, True)


def test_tune_takes_the_file_of_the_variable(named: Workplace) -> None:
    named.environment["AZOTH_DLQ_DB"] = "nowhere.db"
    done = named.run("tune", *HANDLERS, "--budget", "5")
    assert (done.returncode, "there is no file 'nowhere.db'" in done.stderr) == (1, True)


def test_a_file_whose_name_looks_like_an_option_is_a_file(named: Workplace) -> None:
    Path(named.folder / "other.db").rename(named.folder / "--json")
    named.environment["AZOTH_DLQ_DB"] = "--json"
    assert document(named, "status")["dead_letters"] == 1


def test_too_many_arguments_are_still_too_many(named: Workplace) -> None:
    assert "unexpected extra argument" in error_line(named.run("status", "a.db", "b.db"), 2)
