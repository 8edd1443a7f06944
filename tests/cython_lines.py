"""The plugin of coverage.py for lines of Cython, with those that stand in `.pxd` files.

`python -m tests.cython_lines` deletes data that cannot be combined: of processes that were killed
as they wrote it, which have lines and not yet whose they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coverage import CoverageData
from coverage.exceptions import DataError
from Cython import Coverage

SOURCE = Path(__file__).parents[1] / "src"
Cython: Any = Coverage  # it has no types


class Plugin(Coverage.Plugin):
    """What is defined in a `.pxd` file is compiled into each module that uses it: its lines are
    those of all of them."""

    def file_reporter(self, filename: str) -> Any:
        if not filename.endswith(".pxd"):
            return Cython.Plugin.file_reporter(self, filename)
        name = Path(filename).relative_to(SOURCE).as_posix()
        code: dict[int, str] = {}
        for generated in SOURCE.rglob("*.c"):
            lines = Cython.Plugin._parse_cfile_lines(self, str(generated))  # noqa: SLF001 -- no other way to them
            code |= lines.get(name, {})
        return Cython.CythonModuleReporter(None, filename, name, code, frozenset())


def coverage_init(registry: Any, _options: object) -> None:
    plugin = Plugin()
    registry.add_configurer(plugin)
    registry.add_file_tracer(plugin)


def _is_torn(path: Path) -> bool:
    data = CoverageData(basename=str(path))
    try:
        data.read()
    except DataError:
        return True
    compiled = [name for name in data.measured_files() if name.endswith((".pyx", ".pxd"))]
    return not all(data.file_tracer(name) for name in compiled)


if __name__ == "__main__":
    for found in filter(_is_torn, Path.cwd().glob(".coverage.*")):
        found.unlink()
