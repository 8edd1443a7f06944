"""Every exception from what linters and type checkers ask for has its reason beside it."""

from __future__ import annotations

import re

import pytest

from tests.house.checkout import ROOT, shown, sources

EXCEPTION = re.compile(r"# (?:noqa|type: ignore|cython-lint|pragma: no)")
WITH_REASON = re.compile(
    r"# noqa: [A-Z]+[0-9]+(?:, [A-Z]+[0-9]+)* -- \S"
    r"|# type: ignore\[[a-z-]+(?:, ?[a-z-]+)*\](?=  # [^ ])"
)
# An entry of `ignore` or `per-file-ignores` in pyproject.toml.
ENTRY = re.compile(r'^  "[A-Z]+\d*",(.*)$', re.MULTILINE)


def has_reason(line: str) -> bool:
    return len(EXCEPTION.findall(line)) == len(WITH_REASON.findall(line))


def test_every_exception_in_code_has_its_reason() -> None:
    lines = [
        (f"{shown(path)}:{number}", line)
        for path in sources(".py", ".pyi", ".pyx", ".pxd")
        if path.name != "test_lint_exceptions.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if EXCEPTION.search(line)
    ]
    assert len(lines) > 200
    assert [place for place, line in lines if not has_reason(line)] == []


def test_every_rule_that_is_left_out_has_its_reason() -> None:
    _, _, ruff = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\nignore = [")
    entries = ENTRY.findall(ruff)
    assert len(entries) > 10
    assert all(re.match(r" +# \w", reason) for reason in entries)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = 1  # noqa: S608 -- a name of our own", True),
        ("x = 1  # noqa: S608", False),
        ("x = 1  # noqa", False),
        ("x = 1  # type: ignore[misc]  # that is the point", True),
        ("x = 1  # type: ignore[misc]", False),
        ("x = 1  # type: ignore[misc]  # noqa: S608", False),
        ("x = 1  # type: ignore[misc]  # noqa: SLF001 -- made for tests", True),
        ("x = 1  # type: ignore", False),
        ("x = 1  # pragma: no cover", False),
    ],
)
def test_a_reason_is_told_from_none(line: str, expected: bool) -> None:
    assert has_reason(line) is expected
