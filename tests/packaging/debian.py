"""Debian systems in folders: nothing but its base and some packages."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.packaging.environment import output_of

RELEASE = "bookworm"  # its CPython is 3.11


def bare_debian(folder: Path, *packages: str) -> Path:
    """A system of this machine's kind to change root to, with these packages. Skips where there can
    be none."""
    if os.geteuid() != 0:
        pytest.skip("to change its root, a process must be root's")
    root = folder / "debian"
    _debootstrap(f"--include={','.join(packages)}", RELEASE, str(root))
    certificates = os.environ.get("PIP_CERT", "")
    if certificates:  # pip is told to trust it
        (root / certificates[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(certificates, root / certificates[1:])
    return root


def base_packages(architecture: str, folder: Path, *packages: str) -> Path:
    """What the packages of another machine hold, unpacked and not set up. Skips where there can be
    none."""
    root = folder / architecture
    include = f"--include={','.join(packages)}"
    _debootstrap("--foreign", f"--arch={architecture}", include, RELEASE, str(root))
    for package in sorted((root / "var" / "cache" / "apt" / "archives").glob("*.deb")):
        output_of("dpkg-deb", "--extract", package, root, cwd=folder)
    return root


def _debootstrap(*arguments: str) -> None:
    program = shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("there is no debootstrap: apt-get install debootstrap")
    output_of(program, "--variant=minbase", *arguments, cwd=Path.cwd())
