"""The kernels under libFuzzer: each answers whatever it is given as a slow computation does that is
plainly right (`csrc/fuzz/`), and reads and writes nothing beside what is its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import sanitizers
from tests.attacks import Attack

_SOURCE = Path(__file__).parents[2] / "csrc"
_KERNELS = ("backoff", "eligibility", "match", "order", "template", "timestamp", "utf8")
_LONGEST = {"eligibility": 900, "order": 800}
_TARGET = "int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n == ~0ul; }"


def _run(*command: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    surroundings = sanitizers.environment_without()
    surroundings["ASAN_OPTIONS"] = "detect_leaks=0"  # no kernel allocates, and it may not be traced
    return subprocess.run(
        command, check=False, capture_output=True, text=True, input=stdin, env=surroundings
    )


def _find_clang(folder: Path) -> str:
    """Skips the test where there is none with libFuzzer."""
    clang = shutil.which("clang")
    if clang is None or not _SOURCE.is_dir() or not shutil.which("cmake"):
        pytest.skip("libFuzzer needs Clang, CMake and the sources of the kernels")
    flags = ("-fsanitize=fuzzer,address,undefined", "-x", "c", "-")
    if _run(clang, *flags, "-o", folder / "probe", stdin=_TARGET).returncode != 0:
        pytest.skip("this Clang comes without libFuzzer (in Debian, libclang-rt-dev has it)")
    return clang


@pytest.fixture(scope="session")
def fuzzers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs."""
    folder = tmp_path_factory.mktemp("fuzzers")
    options = "-DAZOTH_DLQ_FUZZ=ON", f"-DCMAKE_C_COMPILER={_find_clang(folder)}"
    targets = [f"fuzz_{kernel}" for kernel in _KERNELS]
    for done in (
        _run("cmake", "-S", _SOURCE, "-B", folder, *options),
        _run("cmake", "--build", folder, "--target", *targets),
    ):
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "fuzz"


@pytest.mark.parametrize("kernel", _KERNELS)
def test_a_kernel_answers_whatever_it_is_given_as_a_slow_computation_does(
    fuzzers: Path, kernel: str, attack: Attack, tmp_path: Path
) -> None:
    found = tmp_path / "found"  # what takes a new way through the kernel
    found.mkdir()
    done = _run(
        fuzzers / f"fuzz_{kernel}",
        f"-max_total_time={attack.size(2, long=600)}",
        f"-max_len={_LONGEST.get(kernel, 200)}",
        f"-artifact_prefix={tmp_path}/",
        "-timeout=60",
        "-print_final_stats=1",
        found,
        _SOURCE / "fuzz" / "corpus" / kernel,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (made,) = re.findall(r"^stat::number_of_executed_units: (\d+)$", done.stderr, re.MULTILINE)
    attack.struck(f"input that libFuzzer made for {kernel}", int(made))
