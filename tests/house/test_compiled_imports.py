"""Compiled modules, which import-linter cannot read, import as its first contract has it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.house.checkout import ROOT, settings, shown

PACKAGE = ROOT / "src" / "azoth_dlq"
IMPORT = re.compile(r"^from azoth_dlq\.(\w+)(?:\.[\w.]+)? c?import", re.MULTILINE)
# A value that is compiled; it has no module for import-linter.
COMPILED = {"_event"}


def layers() -> list[set[str]]:
    """From those above to those below."""
    contract = settings()["tool"]["importlinter"]["contracts"][0]
    return [set(re.split(r" [:|] ", layer)) for layer in contract["layers"]]


def layer_of(name: str) -> int:
    names = layers()
    if name in COMPILED:
        name = "types"
    (layer,) = (number for number, layer in enumerate(names) if name in layer)
    return layer


def imported(path: Path) -> set[str]:
    return set(IMPORT.findall(path.read_text(encoding="utf-8")))


def test_compiled_modules_import_what_stands_below() -> None:
    paths = [*PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd")]
    upwards = [
        f"{shown(path)} imports azoth_dlq.{name}"
        for path in paths
        for name in imported(path)
        if layer_of(name) < layer_of(path.relative_to(PACKAGE).with_suffix("").parts[0])
    ]
    assert sum(len(imported(path)) for path in paths) > 20
    assert upwards == []


def test_an_import_is_found_in_either_form(tmp_path: Path) -> None:
    path = tmp_path / "one.pyx"
    path.write_text(
        "from azoth_dlq.kernels.csrc cimport (\n    a,\n)\nfrom azoth_dlq.errors import B\n"
    )
    assert imported(path) == {"kernels", "errors"}
    assert layer_of("errors") < layer_of("kernels")
