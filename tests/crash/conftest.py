"""A file in either journal mode, and a server of processes whose changes to files fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.faults import Forker, build_shim
from tests.crash.processes import DlqFile


@pytest.fixture(params=["wal", "delete"])
def dlq_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DlqFile]:
    file = DlqFile.make(tmp_path / "projection.db", request.param)
    yield file
    for program in file.programs:
        program.kill()


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def forker(shim: Path) -> Iterator[Forker]:
    with Forker(shim) as started:
        yield started
