"""Where functions begin and end, in Python, Cython and C as this repository writes them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Function(NamedTuple):
    """`lines`: from its first line to its last, without decorators and what stands above."""

    name: str
    lines: int


def functions(path: Path) -> list[Function]:
    text = path.read_text(encoding="utf-8")
    if path.suffix in {".py", ".pyi"}:
        return list(_of_python(text))
    return list(_of_cython(text) if path.suffix in {".pyx", ".pxd"} else _of_c(text))


def _of_python(text: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(node.name, (node.end_lineno or 0) - node.lineno + 1)


def _of_cython(text: str) -> Iterator[Function]:
    """A function goes on for as long as lines are indented further than its first."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        begun = re.match(r"( *)(?:cdef|cpdef|def|async def) [^=]*?(\w+)\(", line)
        if begun is None:
            continue
        indent, name = begun.groups()
        last = number
        for after in range(number + 1, len(lines)):
            if not lines[after].strip():
                continue
            if not lines[after].startswith((f"{indent} ", f"{indent})")):
                break
            last = after
        yield Function(name, last - number + 1)


def _of_c(text: str) -> Iterator[Function]:
    """Its name, parameters and braces begin at the left edge."""
    first, name = 0, ""
    for number, line in enumerate(text.splitlines()):
        begun = re.match(r"\w[^=;]*?(\w+)\([^;]*$", line)
        if begun is not None:
            first, name = number, begun[1]
        elif line == "}" and name:
            yield Function(name, number - first + 1)
            name = ""
