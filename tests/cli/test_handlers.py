"""`--handlers`: each path that leads to no registry is told, and nothing is touched."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Workplace, error_line


def refused(workplace: Workplace, path: str) -> str:
    workplace.make("ok")
    before = workplace.database.read_bytes()
    line = error_line(workplace.run("drain", "projection.db", "--handlers", path), 2)
    assert workplace.database.read_bytes() == before
    assert "--handlers" in line
    return line


@pytest.mark.parametrize(
    "path", ["handlers", "handlers:", ":registry", "", "a..b:c", ".a:b", "1:2"]
)
def test_a_malformed_path_is_refused(workplace: Workplace, path: str) -> None:
    assert "must be package.module:attribute, such as" in refused(workplace, path)


@pytest.mark.parametrize("path", ["handlers.py:registry", "./handlers:registry", "a\\b:registry"])
def test_the_path_of_a_file_is_refused(workplace: Workplace, path: str) -> None:
    assert "is the path of a file" in refused(workplace, path)


def test_the_current_directory_is_importable_for_a_script(workplace: Workplace) -> None:
    """Python itself puts it in the path of `python -m` alone."""
    workplace.make("ok")
    workplace.environment["PYTHONSAFEPATH"] = "1"
    assert workplace.report()["succeeded"] == 1


def test_a_module_that_is_not_there_is_named(workplace: Workplace) -> None:
    assert "there is no module handlres in" in refused(workplace, "handlres:registry")


def test_the_missing_part_of_a_dotted_path_is_named(workplace: Workplace) -> None:
    (workplace.folder / "bank").mkdir()
    (workplace.folder / "bank" / "__init__.py").touch()
    line = refused(workplace, "bank.handlers:registry")
    assert "there is no module bank.handlers in" in line
    assert "there is no module banc (of banc.handlers)" in refused(workplace, "banc.handlers:x")


def test_a_plain_module_is_no_package(workplace: Workplace) -> None:
    assert "handlers.more" in refused(workplace, "handlers.more:registry")


def test_a_module_that_imports_a_missing_one_names_that(workplace: Workplace) -> None:
    workplace.module("broken", "\nimport not_installed_anywhere\n")
    line = refused(workplace, "broken:registry")
    assert "importing broken needs a module that is not there" in line
    assert "not_installed_anywhere" in line
    assert "broken.py, line 2" in line


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1\nint('z')\n", "raised ValueError: invalid literal"),
        ("x = 1\nraise SystemExit(0)\n", "raised SystemExit: 0"),
        ("x = 1\nx = = 2\n", "raised SyntaxError: "),
        ("import os\nfrom os import no_such_name\n", "raised ImportError: cannot import name"),
        ("x = 1\nclass E(Exception): __str__ = None; \nraise E\n", "its __str__ raised TypeError"),
    ],
)
def test_a_module_that_raises_is_told_with_its_line(
    workplace: Workplace, source: str, told: str
) -> None:
    workplace.module("broken", source)
    line = refused(workplace, "broken:registry")
    assert f"importing broken {told}" in line or told in line
    assert f"broken.py, line {source.count(chr(10))}" in line


def test_a_line_break_in_an_error_stays_in_one_line(workplace: Workplace) -> None:
    workplace.module("broken", "raise ValueError('a\\nb\\x1b[0m')")
    assert r"ValueError: a\x0ab\x1b[0m" in refused(workplace, "broken:registry")


def test_a_missing_attribute_suggests_a_near_one(workplace: Workplace) -> None:
    line = refused(workplace, "handlers:registyr")
    assert "handlers has no attribute registyr; did you mean registry?" in line


def test_a_missing_attribute_suggests_what_is_a_registry(workplace: Workplace) -> None:
    assert "did you mean registry?" in refused(workplace, "handlers:zzz")


def test_a_near_name_that_is_no_registry_is_not_suggested(workplace: Workplace) -> None:
    workplace.add_handler("from azoth_dlq import Snooze\nclass Holder:\n    registri = registry\n")
    line = refused(workplace, "handlers:snoze")
    assert "has no attribute snoze; did you mean registry?" in line
    assert "did you mean registri?" in refused(workplace, "handlers:Holder.zzz")


def test_where_there_is_no_registry_none_is_suggested(workplace: Workplace) -> None:
    workplace.module("none", "from azoth_dlq import Snooze\n")
    line = refused(workplace, "none:Snoze")
    assert "none has no attribute Snoze" in line
    assert "did you mean" not in line


def test_what_is_no_registry_is_refused_by_its_type(workplace: Workplace) -> None:
    assert "handlers:ok is of type function; it must be" in refused(workplace, "handlers:ok")


def test_a_registry_without_handlers_is_refused_before_it_fails_every_letter(
    workplace: Workplace,
) -> None:
    workplace.module("empty", "from azoth_dlq import *\nregistry = EventHandlerRegistry()")
    assert "empty:registry has no handlers" in refused(workplace, "empty:registry")


def test_the_attribute_may_be_dotted(workplace: Workplace) -> None:
    workplace.make("ok")
    workplace.module("app", "import handlers\nclass App:\n    registry = handlers.registry\n")
    done = workplace.run("drain", "projection.db", "--handlers", "app:App.registry")
    assert done.returncode == 0
    assert workplace.count("effects") == 1
