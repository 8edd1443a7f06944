"""What the sdist and the wheels hold."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest
from packaging.utils import parse_wheel_filename

from tests.packaging.environment import output_of

ROOT = Path(__file__).parents[2]
OF_A_BUILD = {".c", ".h", ".o", ".pxd", ".pyx", ".txt", ".cmake", ".ninja"}


def _names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def _compiled(unpacked: Path) -> set[str]:
    """The paths of the compiled modules, without suffix."""
    text = (unpacked / "CMakeLists.txt").read_text("utf-8")
    return {
        f"azoth_dlq/{path}"
        for path in re.findall(r"^azoth_dlq_extension\((.+)\)", text, re.MULTILINE)
    }


def test_the_sdist_holds_all_that_is_worked_with(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()}
    for path in (
        "CMakeLists.txt",
        "LICENSE",
        "README.md",
        "benchmarks/test_kernels.py",
        "csrc/order.c",
        "csrc/tests/test_order.c",
        "docs/on-call.md",
        "examples/notify.py",
        "noxfile.py",
        "pyproject.toml",
        "src/azoth_dlq/kernels/order.pyx",
        "tests/data/azoth-0.2.5.db",
        "tests/kernels/test_order.py",
    ):
        assert PurePosixPath(path) in names
    assert not {name for name in names if name.suffix in {".so", ".pyd", ".pyc", ".db-azoth"}}
    assert not {name.parts[0] for name in names if name.parts} & {".ci", ".git", ".github", "build"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs git's list of files")
def test_the_sdist_holds_nothing_that_only_lies_there(sdist: Path) -> None:
    """Files that git knows, and none that is a link, of which the target would be taken."""
    listed = output_of("git", "ls-files", "--stage", cwd=ROOT).splitlines()
    known = {line.partition("\t")[2]: line[:6] for line in listed}
    assert "120000" not in known.values()
    with tarfile.open(sdist) as archive:
        names = {info.name.partition("/")[2] for info in archive if not info.isdir()}
    assert names - {"PKG-INFO"} <= known.keys()


def test_a_wheel_holds_the_package_and_nothing_of_its_build(
    wheels: list[Path], unpacked: Path
) -> None:
    sources = {path.relative_to(unpacked / "src") for path in (unpacked / "src").rglob("*.py*")}
    modules = {str(path) for path in sources if path.suffix in {".py", ".pyi"}}
    for wheel in wheels:
        names = {name for name in _names(wheel) if ".dist-info/" not in name}
        assert not {name for name in names if PurePosixPath(name).suffix in OF_A_BUILD}
        compiled = {name for name in names if name.endswith((".so", ".pyd"))}
        assert names == modules | compiled | {"azoth_dlq/py.typed"}
        assert {name.partition(".")[0] for name in compiled} == _compiled(unpacked)


def test_each_compiled_module_has_its_stub(wheels: list[Path], unpacked: Path) -> None:
    stubs = {f"{module}.pyi" for module in _compiled(unpacked)}
    assert len(stubs) > 10
    for wheel in wheels:
        assert stubs <= _names(wheel)


def test_a_wheel_is_for_one_cpython(wheels: list[Path]) -> None:
    """None is abi3: loops over tuples are more than twice as slow there."""
    for wheel in wheels:
        for tag in parse_wheel_filename(wheel.name)[3]:
            assert tag.interpreter.startswith("cp3")
            assert tag.abi.removesuffix("t") == tag.interpreter


def test_a_linux_wheel_runs_with_old_libraries(wheels: list[Path]) -> None:
    """glibc 2.28 (of 2018) and musl 1.2 or older."""
    for wheel in wheels:
        platforms = [tag.platform for tag in parse_wheel_filename(wheel.name)[3]]
        if any(name.startswith("linux_") for name in platforms):
            pytest.skip("these wheels are for this machine alone")
        for name in platforms:
            found = re.fullmatch(r"(many|musl)linux_(\d+)_(\d+)_(x86_64|aarch64)", name)
            if found:
                newest = (2, 28) if found[1] == "many" else (1, 2)
                assert (int(found[2]), int(found[3])) <= newest
