"""CONTRIBUTING.md names commands that there are, and all of them."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from azoth_dlq.cli import azoth_dlq
from tests.house.checkout import ROOT, settings

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# Programs that the extras bring, by the name of what is installed.
OF_PYTHON = {"python", "python3", "pip", "."}
NEEDS_SCRIPTS = pytest.mark.skipif(
    not (ROOT / ".ci").is_dir(), reason="an sdist has no scripts of CI"
)


# The scripts of CI that do what a session does, for those that it does not run by name.
BY_SCRIPT = {
    ".ci/tests": ["tests", "attacks"],
    ".ci/run": ["lint", "types", "c_tests", "benchmarks"],
    ".ci/docs": ["docs"],
    ".ci/packages": ["packaging"],
}


def _sessions() -> set[str]:
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {one.name for one in functions if any(map(_is_session, one.decorator_list))}


def _is_session(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).startswith("nox.session")


def _commands() -> list[list[str]]:
    lines = re.findall(r"^\$ ([^#\n]+)", TEXT, re.MULTILINE)
    return [part.split() for line in lines for part in line.split(" && ")]


def test_every_task_is_named_and_there_is_no_other() -> None:
    named = {words[2] for words in _commands() if words[:2] == ["nox", "-s"]}
    assert named | {"tests"} == _sessions()
    assert len(named) > 10


@NEEDS_SCRIPTS
def test_ci_runs_every_task() -> None:
    files = (ROOT / ".github" / "workflows").glob("*.yml")
    workflows = "\n".join(path.read_text(encoding="utf-8") for path in files)
    by_name = set(re.findall(r"session: (\w+)", workflows))
    assert [script for script in BY_SCRIPT if f" {script}" not in workflows] == []
    assert by_name | {name for names in BY_SCRIPT.values() for name in names} == _sessions()


@NEEDS_SCRIPTS
def test_every_program_that_is_named_is_there() -> None:
    extras = settings()["project"]["optional-dependencies"]
    installed = {re.split(r"[<>=\[]", one)[0] for one in [*extras["dev"], *extras["test"]]}
    for program, *_ in _commands():
        is_ours = program.startswith(".ci/") and (ROOT / program).is_file()
        assert is_ours or program in installed | OF_PYTHON, program


def test_every_module_that_is_named_is_there() -> None:
    modules = re.findall(r"python -m ([\w.]+)", TEXT)
    assert len(modules) > 2
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_what_is_asked_of_no_command_is_asked_of_none() -> None:
    """The contract names each command's module."""
    contracts: list[dict[str, Any]] = settings()["tool"]["importlinter"]["contracts"]
    (modules,) = (one["modules"] for one in contracts if one["type"] == "independence")
    callbacks = [azoth_dlq.commands[name].callback for name in azoth_dlq.commands]
    assert sorted(modules) == sorted(one.__module__ for one in callbacks if one is not None)


@NEEDS_SCRIPTS
def test_hooks_and_ci_have_the_linters_of_the_task() -> None:
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for linter in ("ruff", "cython-lint", "lint-imports", "reuse", "mypy"):
        assert f'session.run("{linter}"' in noxfile
        assert f"entry: {linter}" in hooks
        assert f"check {linter}" in gate
