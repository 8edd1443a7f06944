"""`--handlers`: each path that leads to no registry is told, and nothing is touched."""

from __future__ import annotations

import sys

import pytest

from tests.attacks import Attack
from tests.cli.conftest import Workplace, error_line

# Python itself puts the current directory before all others for `python -m` alone.
AS_SCRIPT = [sys.executable, "-P", "-m", "azoth_dlq"]
LEAVES_A_TRACE = "open({trace!r}, 'a').write(__name__ + ' ')\n"


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


# What is imported, and what is not


def drain_as_script(workplace: Workplace, path: str) -> int:
    arguments = ("drain", "projection.db", "--handlers", path)
    return workplace.run(*arguments, program=AS_SCRIPT).returncode


def imported(workplace: Workplace) -> list[str]:
    """The modules that left a trace."""
    trace = workplace.folder / "trace"
    return trace.read_text().split() if trace.exists() else []


def plant(workplace: Workplace, *names: str) -> None:
    """Modules that leave a trace, in the current directory."""
    line = LEAVES_A_TRACE.format(trace=str(workplace.folder / "trace"))
    for name in names:
        path = workplace.folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(line + (path.read_text() if path.exists() else ""))


def test_a_file_named_like_a_module_of_pythons_is_not_imported(
    workplace: Workplace, attack: Attack
) -> None:
    workplace.make("ok", "fails")
    (workplace.folder / "settings.toml").write_text("max_retries = 3")
    names = sorted(name for name in sys.stdlib_module_names if not name.startswith("_"))
    plant(workplace, *names, "click", "azoth_dlq")
    workplace.add_handler("import json, secrets, wave\n")
    assert drain_as_script(workplace, "handlers:registry") == 0
    assert drain_as_script(workplace, "handlers:registri") == 2
    given = ("projection.db", "--handlers", "handlers:registry", "--config", "settings.toml")
    for command, *more in (("drain", "--now", "-v"), ("tune", "--now", "--budget", "1")):
        workplace.run(command, *given, *more, program=AS_SCRIPT)
    assert imported(workplace) == []
    attack.struck("planted module with the name of one of Python's", len(names))


def test_only_what_is_given_is_imported(workplace: Workplace) -> None:
    workplace.make("ok")
    (workplace.folder / "bank").mkdir()
    (workplace.folder / "bank" / "handlers.py").write_text("from handlers import registry\n")
    plant(workplace, "bank.__init__", "bank.handlers", "bank.other", "bank.__main__")
    plant(workplace, "other", "conftest", "setup", "sitecustomize", "registry", "__main__")
    assert drain_as_script(workplace, "bank.handlers:registry") == 0
    assert imported(workplace) == ["bank", "bank.handlers"]


def test_an_import_writes_nothing_but_what_python_keeps_beside_a_module(
    workplace: Workplace,
) -> None:
    workplace.make("ok")
    before = set(workplace.folder.rglob("*"))
    assert drain_as_script(workplace, "handlers:registry") == 0
    made = set(workplace.folder.rglob("*")) - before
    cached = {path for path in made if path.parent.name == "__pycache__"}
    assert {path.name.split(".")[0] for path in cached} <= {"handlers"}
    assert {path.name for path in made - cached} <= {"__pycache__", "projection.db-azoth"}


def test_a_handler_that_changes_the_directory_imports_from_the_first_one(
    workplace: Workplace,
) -> None:
    workplace.make("moves")
    plant(workplace, "elsewhere.late")
    workplace.module("late", "RIGHT = True\n")
    workplace.add_handler(
        "@registry.handler('moves')\ndef moves(conn, event_id, payload):\n"
        "    import os\n    os.chdir('elsewhere')\n    import late\n    assert late.RIGHT\n"
    )
    done = workplace.run(
        "drain", str(workplace.database), "--handlers", "handlers:registry", "-v", program=AS_SCRIPT
    )
    assert "succeeded  1" in done.stdout, done.stderr
    assert imported(workplace) == []


def test_no_variable_of_the_environment_is_taken_for_an_option(workplace: Workplace) -> None:
    workplace.make("ok")
    plant(workplace, "evil")
    before = workplace.run("status", "projection.db", "--json").stdout
    for prefix in ("AZOTH_DLQ", "AZOTH_DLQ_DRAIN", "AZOTH_DLQ_STATUS", "AZOTH", "AZOTH-DLQ"):
        for name, value in (("HANDLERS", "evil:registry"), ("CONFIG", "none.toml")):
            workplace.environment[f"{prefix}_{name}"] = value
        workplace.environment[f"{prefix}_MAX_RETRIES"] = "1"
    after = workplace.run("status", "projection.db", "--json").stdout
    at = slice(after.index('"dead_letters"'), after.index('"oldest_age"'))
    assert before[at] == after[at]
    assert '"max_retries": 5' in after
    line = error_line(workplace.run("drain", "projection.db"), 2)
    assert "--handlers" in line
    assert imported(workplace) == []
