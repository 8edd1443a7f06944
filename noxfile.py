"""The suite on every supported CPython that is installed: `nox`. Beside it, by `nox -s NAME`, what
looks for errors of memory: `sanitizers`, `valgrind`, `threads`."""

import subprocess
from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests"]

SANITIZED = {
    "build-dir": "build/sanitizers",
    "cmake.build-type": "Debug",
    "cmake.define.AZOTH_DLQ_SANITIZE": "ON",
    "install.strip": "false",
}
NO_MEMORY = "WARNING: AddressSanitizer failed to allocate"
ASAN_OPTIONS = "detect_leaks=0:allocator_may_return_null=1"  # CPython keeps much to the end
# What a test shares with itself in another thread: connections, which belong to one thread, and
# handlers that write down their calls.
SHARED_FIXTURES = ["conn", "given", "handler", "path", "plain_scene", "queue", "scene"]
SHARED_FUNCTIONS = ["signal.signal", "tracemalloc.start"]
VALGRIND = "valgrind;--quiet;--error-exitcode=99;--leak-check=full"


@nox.session(python=["3.11", "3.12", "3.13", "3.14", "3.14t", "3.15"])
def tests(session: nox.Session) -> None:
    """Builds and installs the package in a clean environment and runs the tests."""
    session.install(".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13", "3.14", "3.15"])
def sanitizers(session: nox.Session) -> None:
    """The tests with AddressSanitizer and UndefinedBehaviorSanitizer in all that is compiled;
    Linux, GCC."""
    options = [word for name, value in SANITIZED.items() for word in ("-C", f"{name}={value}")]
    session.install(".[test]", *options)
    reports = Path(session.create_tmp()).resolve() / "reports"  # children run elsewhere
    reports.mkdir(exist_ok=True)
    for report in reports.iterdir():
        report.unlink()
    try:
        session.run("pytest", *session.posargs, env=_sanitized(reports))
    finally:
        # Also those of processes that were to die: their tests don't see of what.
        found = [text for text in map(Path.read_text, reports.iterdir()) if _tells_of_errors(text)]
        for text in found:
            session.warn(text)
    if found:
        session.error(f"reports of the sanitizers: {reports}")


def _tells_of_errors(report: str) -> bool:
    """Not where memory was asked for that nobody has: that is told, and then a MemoryError."""
    return any(NO_MEMORY not in line for line in report.splitlines())


def _sanitized(reports: Path) -> dict[str, str]:
    """What a process needs that loads modules with sanitizers but has none itself."""
    names = ("libasan.so", "libubsan.so")
    found = [_said_by("gcc", f"-print-file-name={name}") for name in names]
    return {
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": f"{ASAN_OPTIONS}:log_path={reports}/address",
        "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={reports}/undefined",
        "PYTHONMALLOC": "malloc",
    }


def _said_by(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 -- gcc
    return done.stdout.strip()


@nox.session
def valgrind(session: nox.Session) -> None:
    """The C tests, and the corpora of the fuzz targets, under valgrind."""
    session.install("cmake>=3.29", "ninja>=1.10")
    build = "build/valgrind"
    options = ["-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_TEST_LAUNCHER={VALGRIND}"]
    session.run("cmake", "-S", "csrc", "-B", build, "-G", "Ninja", *options)
    session.run("cmake", "--build", build)
    session.run("ctest", "--test-dir", build, "--output-on-failure", *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13", "3.14", "3.14t", "3.15"])
def threads(session: nox.Session) -> None:
    """Each test of kernels and values in eight threads at once, but for those that share something;
    then those that start threads themselves."""
    session.install(".[test]", "pytest-run-parallel>=0.10")
    shared = {
        "thread_unsafe_fixtures": SHARED_FIXTURES,
        "thread_unsafe_functions": SHARED_FUNCTIONS,
    }
    options = [word for name, of in shared.items() for word in ("-o", f"{name}={chr(10).join(of)}")]
    session.run("pytest", "--parallel-threads=8", *options, "tests/kernels", "tests/unit")
    session.run("pytest", "tests/kernels/test_safety.py", "tests/engine/test_threads.py")
