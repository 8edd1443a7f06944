"""Processes that fork a child for each order, which costs milliseconds.

A `Server` is the test's side of one. The other is `serve`: an order is a line of JSON, the answer
one of the child's own (it may die without any), and then its exit status.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, Self

from tests.crash.processes import ROOT

_ANSWERS = 100  # a descriptor that a child keeps, whatever it does to its own


class Server:
    """`python -m tests.crash.MODULE`, until it is left; `environment` beside that of the test."""

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.crash.{module}"],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def ask(self, order: object) -> None:
        """Have a child do that, whose answer is to be read before the next."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()

    def answer(self) -> tuple[int, dict[str, Any]]:
        """The child's exit status, negative where a signal killed it, and what it said."""
        assert self._process.stdout is not None
        words: dict[str, Any] = {}
        for line in self._process.stdout:
            if line.startswith("{"):
                words |= json.loads(line)
            if "status" in words:
                return words.pop("status"), words
        raise AssertionError(f"the server ended amid an answer: {words}")


def serve(obey: Callable[[Any], object]) -> None:
    """Have a child do what each line asks for, and answer what that returns."""
    os.dup2(1, _ANSWERS)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _answer(obey(json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        _answer({"status": os.waitstatus_to_exitcode(status)})


def _answer(words: object) -> None:
    os.write(_ANSWERS, f"{json.dumps(words)}\n".encode())
