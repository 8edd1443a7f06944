"""Prints the oldest version that a pyproject.toml allows of each thing it asks for, as constraints
of pip: those of the build, of the package, and of its tests."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

REQUIREMENT = re.compile(r"(?P<name>[\w-]+)(\[\w+\])?>=(?P<version>[\d.]+)(,.*)?")


def oldest(pyproject: Path) -> list[str]:
    """Errors: ValueError of a requirement without a lower bound."""
    settings = tomllib.loads(pyproject.read_text("utf-8"))
    project = settings["project"]
    asked = [
        *settings["build-system"]["requires"],
        *project["dependencies"],
        *project["optional-dependencies"]["test"],
    ]
    found = []
    for requirement in asked:
        match = REQUIREMENT.fullmatch(requirement)
        if match is None:
            trouble = f"{requirement} in {pyproject} has no lower bound"
            raise ValueError(f"{trouble}; write NAME>=VERSION")
        found.append(f"{match['name']}=={match['version']}")
    return found


if __name__ == "__main__":
    print("\n".join(oldest(Path(sys.argv[1]))))
