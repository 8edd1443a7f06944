"""All tasks, each in an environment of its own: `nox -s NAME`; `nox -l` lists them.

`nox` alone runs the suite on every supported CPython that is installed.
"""

import subprocess
from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.14t", "3.15"]
SANITIZED = {
    "build-dir": "build/sanitizers",
    "cmake.build-type": "Debug",
    "cmake.define.AZOTH_DLQ_SANITIZE": "ON",
    "install.strip": "false",
}
TRACED = {
    "build-dir": "build/coverage",
    "cmake.build-type": "Debug",
    "cmake.define.AZOTH_DLQ_COVERAGE": "ON",
}
MEASURED_IN_BYTES = [
    "tests/engine/test_leaks.py",
    "tests/engine/test_memory.py",
    "tests/kernels/test_safety.py",
]
NO_MEMORY = "WARNING: AddressSanitizer failed to allocate"
ASAN_OPTIONS = "detect_leaks=0:allocator_may_return_null=1"  # CPython keeps much to the end
# What a test shares with itself in another thread: connections, which belong to one thread, and
# handlers that write down their calls.
SHARED_FIXTURES = ["conn", "given", "handler", "path", "plain_scene", "queue", "scene"]
SHARED_FUNCTIONS = ["signal.signal", "tracemalloc.start"]
VALGRIND = "valgrind;--quiet;--error-exitcode=99;--leak-check=full"


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Builds and installs the package in a clean environment and runs the tests."""
    session.install(".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, the directions of imports, licences; what hooks of git look at, too."""
    _install_tools(session, "cython-lint", "import-linter", "reuse", "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("cython-lint", "src")
    session.run("lint-imports", env={"PYTHONPATH": "src"})
    session.run("reuse", "lint")


@nox.session
def types(session: nox.Session) -> None:
    """The types of all that is Python, and each stub against its compiled module."""
    session.install(".[dev]")
    session.run("mypy")
    stubs = sorted(path.relative_to("src").with_suffix("") for path in Path("src").rglob("*.pyi"))
    session.run("stubtest", *(".".join(stub.parts) for stub in stubs))


@nox.session
def c_tests(session: nox.Session) -> None:
    """The C tests, and the corpora of the fuzz targets, with sanitizers."""
    _run_c_tests(session, "build/c_tests", "-DAZOTH_DLQ_SANITIZE=ON")


@nox.session(python="3.11")
def coverage(session: nox.Session) -> None:
    """Which lines of Python and Cython the suite does not run; fails below the floor. Linux.

    CPython 3.11 is the last whose compiled modules coverage.py follows line by line.
    """
    session.install("scikit-build-core>=1.1", "cython-cmake>=0.3")
    _install_tools(session, "cmake", "coverage", "cython", "ninja")
    session.install("--no-build-isolation", "-e", ".[test]", *_options(TRACED))
    # Processes of tests find the plugin, and the sources of compiled modules, wherever they run.
    (packages,) = Path(session.virtualenv.location).glob("lib/python*/site-packages")
    checkout = Path.cwd()
    (packages / "a0_checkout.pth").write_text(f"{checkout}\n{checkout / 'src'}\n")
    session.run("coverage", "erase")
    # Processes that attacks kill have nothing to tell; what is measured in bytes, nothing true.
    left_out = [f"--ignore={path}" for path in MEASURED_IN_BYTES]
    suite = ["pytest", "-n", "auto", "-m", "not attack", *left_out]
    # Traced, calls take several times as long, and tests of time fail: other tasks hold to those.
    session.run("coverage", "run", "-m", *suite, success_codes=[0, 1])
    session.run("python", "-m", "tests.cython_lines")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, into build/docs; a warning fails it."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "-n", "docs", "build/docs")


@nox.session
def packaging(session: nox.Session) -> None:
    """The sdist and a wheel made from it: what is in them, and that they install and run."""
    session.install(".[packaging]")
    session.run(".ci/packages", external=True)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Each figure beside something else in the same run, with small files."""
    session.install(".[test,bench]")
    session.run("pytest", "benchmarks", "--quick", *session.posargs)


@nox.session
def attacks(session: nox.Session) -> None:
    """The attacks on what is promised, as long as docs/reliability.md has them; an hour or two."""
    session.install(".[test]")
    options = ["--long", "-n", "auto", "--dist", "worksteal", "--attacks-json", "attacks.json"]
    session.run("pytest", "-m", "attack", *options, *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13", "3.14", "3.15"])
def sanitizers(session: nox.Session) -> None:
    """The tests with AddressSanitizer and UndefinedBehaviorSanitizer in all that is compiled;
    Linux, GCC."""
    session.install(".[test]", *_options(SANITIZED))
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


@nox.session
def valgrind(session: nox.Session) -> None:
    """The C tests, and the corpora of the fuzz targets, under valgrind."""
    options = ["-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_TEST_LAUNCHER={VALGRIND}"]
    _run_c_tests(session, "build/valgrind", *options)


@nox.session(python=PYTHONS)
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


def _install_tools(session: nox.Session, *names: str) -> None:
    """In the versions that the `dev` extra asks for, without the package."""
    extras = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    session.install(*(tool for tool in extras["dev"] if tool.partition(">=")[0] in names))


def _options(settings: dict[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-C", f"{name}={value}")]


def _run_c_tests(session: nox.Session, build: str, *options: str) -> None:
    session.install("cmake>=3.29", "ninja>=1.10")
    session.run("cmake", "-S", "csrc", "-B", build, "-G", "Ninja", *options)
    session.run("cmake", "--build", build)
    session.run("ctest", "--test-dir", build, "--output-on-failure", *session.posargs)


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
