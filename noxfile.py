"""The suite on every supported CPython that is installed: `nox`."""

import nox

nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13", "3.14", "3.15"])
def tests(session: nox.Session) -> None:
    """Builds and installs the package in a clean environment and runs the tests."""
    session.install(".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)
