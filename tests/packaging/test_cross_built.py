"""Wheels for other machines: what they are made of, and that they run."""

from __future__ import annotations

import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.debian import base_packages
from tests.packaging.environment import output_of
from tests.packaging.readme import DEMO, steady

MACHINES = {"x86_64": "Advanced Micro Devices X86-64", "aarch64": "AArch64"}
LIBRARIES = {
    "many": {"libc.so.6", "libm.so.6", "libpthread.so.0"},
    "musl": {"libc.so"},
}
OF_THE_LINKER = {"_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__cxa_finalize"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these wheels are for Linux")


def _names_of_musl() -> set[str]:
    """A symbol of musl has no version to tell it by; Zig has a list of them."""
    zig = find_spec("ziglang")
    if zig is None or zig.origin is None:
        pytest.skip("ziglang is not installed: pip install '.[packaging]'")
    text = Path(zig.origin).with_name("lib").joinpath("libc", "musl", "libc.S").read_text("utf-8")
    return set(re.findall(r"^\.(?:globl|weak) (\w+)", text, re.MULTILINE))


def _linux_wheels(wheels: list[Path]) -> list[tuple[Path, str, str]]:
    """With their libc, as tags have it, and their machine."""
    found = []
    for wheel in wheels:
        match = re.search(r"(many|musl)linux_\d+_\d+_(x86_64|aarch64)\.whl", wheel.name)
        if match is None:
            pytest.skip("these wheels are for this machine alone")
        found.append((wheel, match[1], match[2]))
    return found


def test_a_wheel_asks_for_nothing_but_libc_and_python(wheels: list[Path], tmp_path: Path) -> None:
    for wheel, libc, machine in _linux_wheels(wheels):
        folder = tmp_path / wheel.stem
        with ZipFile(wheel) as archive:
            archive.extractall(folder)
        modules = sorted(folder.rglob("*.so"))
        assert len(modules) > 10
        suffix = f"-{machine}-linux-{'gnu' if libc == 'many' else 'musl'}.so"
        assert [module.name for module in modules if not module.name.endswith(suffix)] == []
        for module in modules:
            header, dynamic, symbols = (
                output_of("readelf", "--wide", option, module, cwd=folder)
                for option in ("--file-header", "--dynamic", "--dyn-syms")
            )
            assert f"Machine: {MACHINES[machine]}" in re.sub(" +", " ", header)
            assert set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)) <= LIBRARIES[libc]
            undefined = set(re.findall(r" UND (\S+)", symbols))
            others = {name for name in undefined if not re.match(r"_?Py", name)} - OF_THE_LINKER
            if libc == "many":
                assert [name for name in others if "@GLIBC_" not in name] == []
            else:
                assert others <= _names_of_musl()


def test_the_wheel_for_aarch64_runs(wheels: list[Path], unpacked: Path, tmp_path: Path) -> None:
    """By qemu-user, on Debian's own CPython for that machine."""
    emulator = shutil.which("qemu-aarch64")
    if emulator is None:
        pytest.skip("there is no qemu-aarch64: apt-get install qemu-user")
    found = [
        wheel
        for wheel, libc, machine in _linux_wheels(wheels)
        if (libc, machine) == ("many", "aarch64") and "-cp311-" in wheel.name
    ]
    if not found:
        pytest.skip("Debian's CPython is 3.11, and there is no wheel for it")
    root = base_packages("arm64", tmp_path, "python3")
    site = tmp_path / "site"
    with ZipFile(found[0]) as archive:
        archive.extractall(site)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--target")
    output_of(*pip, site, "click", "rich", cwd=tmp_path)
    python = (emulator, "-L", root, "-E", f"PYTHONPATH={site}", root / "usr/bin/python3.11")
    printed = output_of(*python, "-c", "import platform; print(platform.machine())", cwd=tmp_path)
    assert printed == "aarch64\n"
    printed = output_of(*python, "-m", "azoth_dlq", "demo", cwd=tmp_path)
    assert steady(printed) == steady(DEMO.shown(unpacked))
