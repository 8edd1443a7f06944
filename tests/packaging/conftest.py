"""The sdist and the wheels that are looked at: `--packages FOLDER`, which `.ci/packages` builds."""

from __future__ import annotations

import shutil
import tarfile
import venv
from pathlib import Path

import pytest
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

from tests.packaging.environment import Environment, system_without_build_tools


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--packages", type=Path, help="test the sdist and the wheels of this folder")


@pytest.fixture(scope="session")
def dist(request: pytest.FixtureRequest) -> Path:
    folder: Path | None = request.config.getoption("--packages", None)
    if folder is None:
        pytest.skip("no --packages: .ci/packages builds what is looked at")
    return folder.resolve()


@pytest.fixture(scope="session")
def sdist(dist: Path) -> Path:
    [found] = dist.glob("*.tar.gz")
    return found


@pytest.fixture(scope="session")
def wheels(dist: Path) -> list[Path]:
    found = sorted(dist.glob("*.whl"))
    assert found
    return found


@pytest.fixture(scope="session")
def wheel(wheels: list[Path]) -> Path:
    """The one for this interpreter."""
    ours = set(sys_tags())
    [found] = [path for path in wheels if ours & parse_wheel_filename(path.name)[3]]
    return found


@pytest.fixture(scope="session")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who has just unpacked the sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [found] = folder.iterdir()
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A clean environment with the wheel and what its tests need. On its PATH there is no compiler
    and no build tool."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    system = system_without_build_tools(tmp_path_factory.mktemp("system") / "bin")
    environment = Environment(folder, system)
    for tool in ("cc", "gcc", "clang", "cl", "cmake", "ninja", "git"):
        assert shutil.which(tool, path=environment.path) is None
    options = ["--quiet", "--only-binary", ":all:"]
    environment.run("-m", "pip", "install", *options, f"{wheel}[test]", cwd=folder)
    return environment
