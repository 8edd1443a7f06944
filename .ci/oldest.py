"""Prints the oldest versions of what a pyproject.toml asks for, as constraints of pip: for the
build, the package and its tests."""

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
            raise ValueError(
                f"{requirement} in {pyproject} has no lower bound; write NAME>=VERSION"
            )
        found.append(f"{match['name']}=={match['version']}")
    return found


if __name__ == "__main__":
    sys.stdout.write("\n".join([*oldest(Path(sys.argv[1])), ""]))
