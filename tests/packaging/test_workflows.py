"""The workflows of the service and their scripts, as far as they can be tried without it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.packaging.environment import output_of

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / ".ci"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYTHONS = ["cp311", "cp312", "cp313", "cp314", "cp314t", "cp315", "cp315t"]

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="an sdist has no workflows")


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _identifiers(system: str, pyproject: Path) -> subprocess.CompletedProcess[str]:
    """What cibuildwheel would build there by these settings."""
    command = [_tool("cibuildwheel"), "--print-build-identifiers", "--platform", system]
    return subprocess.run(
        [*command, "--config-file", str(pyproject), str(ROOT)],
        env={**os.environ, "CIBW_CACHE_PATH": str(ROOT / "build" / "cibuildwheel")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("system", ["linux", "macos", "windows"])
def test_every_cpython_gets_a_wheel(system: str) -> None:
    done = _identifiers(system, ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stderr
    found = [line.partition("-")[::2] for line in done.stdout.split()]
    kinds = {"linux": ("manylinux", "musllinux"), "macos": ("macosx",), "windows": ("win",)}
    for kind in kinds[system]:
        assert sorted(python for python, tag in found if tag.startswith(kind)) == PYTHONS
    assert len(found) == len(PYTHONS) * len(kinds[system])


def test_a_misspelt_setting_of_wheels_is_refused(tmp_path: Path) -> None:
    settings = (ROOT / "pyproject.toml").read_text("utf-8")
    wrong = tmp_path / "pyproject.toml"
    wrong.write_text(settings.replace("\ntest-command = ", "\ntest-comand = "), "utf-8")
    done = _identifiers("linux", wrong)
    assert done.returncode != 0
    assert "test-comand" in done.stderr


def test_what_a_wheel_is_tested_with_is_there() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    cibuildwheel = settings["tool"]["cibuildwheel"]
    sources = cibuildwheel["test-sources"]
    paths = [word for word in cibuildwheel["test-command"].split() if word.startswith("tests/")]
    assert "tests" in sources
    assert paths
    assert [name for name in [*sources, *paths] if not (ROOT / name).exists()] == []
    assert set(cibuildwheel["test-extras"]) <= set(settings["project"]["optional-dependencies"])


def test_zizmor_finds_nothing() -> None:
    output_of(_tool("zizmor"), "--offline", "--no-progress", "--strict-collection", ".", cwd=ROOT)


def test_actionlint_finds_nothing() -> None:
    output_of(_tool("actionlint"), *WORKFLOWS, cwd=ROOT)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_little_and_runs_what_is_pinned(workflow: Path) -> None:
    text = workflow.read_text("utf-8")
    used = re.findall(r"uses: (\S+)(?: # (\S+))?", text)
    for action, version in used:
        if not action.startswith("./"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
            assert re.fullmatch(r"v\d+\.\d+\.\d+", version)
    checkouts = [action for action, _ in used if action.startswith("actions/checkout@")]
    assert text.count("persist-credentials: false") == len(checkouts)
    assert "\npermissions: {}\n" in text
    granted = set(re.findall(r"^      ([\w-]+): (?:read|write)\b", text, re.MULTILINE))
    assert granted <= {"contents", "id-token"}
    for wide in ("contents: write", "write-all", "read-all", "pull_request_target"):
        assert wide not in text
    assert "://" not in text


def test_each_script_is_run_by_a_workflow() -> None:
    texts = "".join(path.read_text("utf-8") for path in WORKFLOWS)
    scripts = {path for path in SCRIPTS.iterdir() if not path.suffix}
    assert {path.name for path in scripts if f"- run: .ci/{path.name}" not in texts} <= {"packages"}
    assert ".ci/packages" in texts
    for path in scripts:
        assert path.stat().st_mode & 0o111
        assert path.read_text("utf-8").startswith("#!/usr/bin/env bash\n#")


def test_the_oldest_versions_are_those_of_the_lower_bounds(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["one>=1.2"]\n'
        '[project]\ndependencies = ["two[more]>=3"]\n'
        '[project.optional-dependencies]\ntest = ["three>=0.9,<2"]\n'
    )
    program = (sys.executable, SCRIPTS / "oldest.py")
    found = output_of(*program, "pyproject.toml", cwd=tmp_path).split()
    assert found == ["one==1.2", "two==3", "three==0.9"]
    output_of(*program, ROOT / "pyproject.toml", cwd=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="its shell is another")
def test_only_the_release_that_a_tag_names_is_published(tmp_path: Path) -> None:
    _tool("twine")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

    def check(tag: str) -> subprocess.CompletedProcess[str]:
        command = [str(SCRIPTS / "release"), tag, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    wrong = check("v9.9.9")
    assert wrong.returncode == 1
    assert f"the tag must be v{version}" in wrong.stderr
    (tmp_path / f"azoth_dlq-{version}.tar.gz").touch()
    wheel = f"azoth_dlq-{version}-cp311-cp311-win_amd64.whl"
    (tmp_path / wheel).touch()
    for strange in (
        "azoth_dlq-9.9.9-cp311-cp311-win_amd64.whl",
        f"azoth_dlq-{version}-cp311-cp311-win evil.whl",
        f"azoth_dlq-{version.replace('.', 'x')}-cp311-cp311-win_amd64.whl",
        ".hidden",
        f"{wheel}.old",
    ):
        (tmp_path / strange).touch()
        refused = check(f"v{version}")
        assert refused.returncode == 1
        assert "and nothing else; it holds:" in refused.stderr
        (tmp_path / strange).unlink()
    empty = check(f"v{version}")
    assert empty.returncode == 1
    assert empty.stdout.startswith("Checking")  # what it is named is right; it is no package
