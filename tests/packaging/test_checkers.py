"""What tools say that look at distributions."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.packaging.environment import output_of


@pytest.mark.parametrize(
    "command",
    [
        ["twine", "check", "--strict"],
        ["check-wheel-contents"],
        ["pydistcheck", "--inspect"],
    ],
    ids=lambda command: command[0],
)
def test_nothing_is_found(command: list[str], dist: Path, sdist: Path, wheels: list[Path]) -> None:
    _need(command[0])
    files = wheels if command[0] == "check-wheel-contents" else [sdist, *wheels]
    output_of(*command, *files, cwd=dist)


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel looks at Linux wheels")
def test_a_linux_wheel_is_what_its_name_says(dist: Path, wheels: list[Path]) -> None:
    """It needs nothing of the system but what every one of that tag has."""
    _need("auditwheel")
    for wheel in wheels:
        if "-linux_" in wheel.name:
            pytest.skip("these wheels are for this machine alone")
        # Libraries of this machine say nothing of another.
        command = ["auditwheel", "show", "--json", "--ldpaths", str(dist), str(wheel)]
        found = json.loads(output_of(*command, cwd=dist))
        assert found["sym_tag"] in wheel.name, found
        assert set(found["external_libs"]) <= {"libc.so"}, found  # musl, which its loader knows so


def _need(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: pip install '.[packaging]'")
