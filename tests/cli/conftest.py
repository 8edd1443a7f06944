"""A folder to run real `azoth-dlq` processes in, with a database and modules of handlers."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

import pytest

from azoth_dlq import DeadLetterQueue
from tests import forked
from tests.cli.views import HANDLERS as VIEWED
from tests.conftest import heeding_interrupts
from tests.fork_server import Order

if TYPE_CHECKING:
    from tests.cli.terminals import Terminal

HANDLERS = """
from azoth_dlq import EventHandlerRegistry

registry = EventHandlerRegistry()

@registry.handler("ok")
def ok(conn, event_id, payload):
    conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

@registry.handler("fails")
def fails(conn, event_id, payload):
    raise ValueError(f"event {event_id} failed")
"""
INTERRUPTED = (
    "azoth-dlq: interrupted; what was done is committed, and letters whose calls were cut off will "
    "be called again"
)
# Waits in its call for as many seconds as the payload says.
SLOW_HANDLER = """
import pathlib, time
@registry.handler("slow")
def slow(conn, event_id, payload):
    conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
    pathlib.Path("began").touch()
    time.sleep(float(payload))
"""
# Imports everything first: the folder of the interpreter may be closed to others.
AS_NOBODY = """
import encodings.ascii, getpass, json, os, pathlib, pwd, shutil, sys
from azoth_dlq import *
from azoth_dlq import acting, cli, demo, groups
from azoth_dlq.store.sqlite import values
list(cli.azoth_dlq.commands.values())
nobody = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(nobody.pw_gid)
os.setuid(nobody.pw_uid)
sys.exit(cli.main(sys.argv[1:]))
"""
DEFAULTS = {
    "event_id": 7,
    "error_message": "boom",
    "failed_at": "2020-01-01 00:00:00",
    "retry_count": 0,
    "last_retry_at": None,
}
INSERT = (
    "INSERT INTO dead_letter_queue "
    "(event_id, event_bytes, error_message, failed_at, retry_count, last_retry_at) VALUES "
    "(:event_id, :event_bytes, :error_message, :failed_at, :retry_count, :last_retry_at)"
)
PARK = (
    "INSERT INTO permanent_failures (event_id, event_bytes, error_message, failed_at, "
    "retry_count, azoth_dead_letter_id, azoth_reason) VALUES "
    "(:event_id, :event_bytes, :error_message, :failed_at, :retry_count, 1, 'poison')"
)


class Workplace:
    """The current folder of the processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "projection.db"
        self.environment = {**forked.users_environment(), "TZ": "UTC"}
        self.module("handlers", HANDLERS)

    def module(self, name: str, source: str) -> None:
        (self.folder / f"{name}.py").write_text(textwrap.dedent(source))

    def add_handler(self, source: str) -> None:
        """Add to the module of handlers."""
        with (self.folder / "handlers.py").open("a") as module:
            module.write(source)

    def make(self, *kinds: str, **columns: Any) -> None:
        """A database with a letter of each kind (`type` or `type:payload`), long due."""
        with DeadLetterQueue.open(self.database) as queue:
            queue.connection.execute("CREATE TABLE IF NOT EXISTS effects (event_id INTEGER)")
        events = [kind if ":" in kind else f"{kind}:x" for kind in kinds]
        self._insert([{"event_bytes": event.encode(), **columns} for event in events])

    def add(self, **columns: Any) -> None:
        """Insert one letter as another program would."""
        self._insert([{"event_bytes": b"ok:x", **columns}])

    def park(self, **columns: Any) -> int:
        """Insert one permanent failure, as if of the dead letter 1; its id."""
        row = {"event_bytes": b"ok:x", **DEFAULTS, **columns}
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(PARK, row).lastrowid or 0

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            for row in rows:
                connection.execute(INSERT, {**DEFAULTS, **row})

    def execute(self, statement: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def count(self, table: str) -> int:
        statement = f"SELECT count(*) FROM {table}"  # noqa: S608 -- a name of our own
        return int(self.execute(statement)[0][0])

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        settings: dict[str, Any] = {
            "cwd": self.folder,
            "env": self.environment,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "encoding": "utf-8",
            **options,
        }
        command = settings.pop("program", [sys.executable, "-m", "azoth_dlq"])
        with heeding_interrupts():
            return subprocess.Popen([*command, *arguments], **settings)

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """`options` of Popen: then what its children say is waited for, too."""
        done = self._run_anew(*arguments, **options) if options else self._run(*arguments)
        assert "Traceback" not in (done.stderr or "")
        return done

    def _run_anew(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, **options) as process:
            stdout, stderr = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        order = Order("azoth_dlq", list(arguments), str(self.folder), self.environment)
        with _text_file() as stdout, _text_file() as stderr:
            process = forked.start(order, stdout, stderr)
            try:
                code = process.wait(timeout=60)
            finally:
                process.kill()  # where it hangs
            for said in (stdout, stderr):
                said.seek(0)
            return subprocess.CompletedProcess(arguments, code, stdout.read(), stderr.read())

    def drain(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run(
            "drain", "projection.db", "--handlers", "handlers:registry", *arguments, **options
        )

    def start_slow(self, command: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command that calls handlers; its slow handler has been called."""
        self.add_handler(SLOW_HANDLER)
        process = self.start(
            command, "projection.db", "--handlers", "handlers:registry", *arguments, **options
        )
        until((self.folder / "began").exists, process)
        return process

    def report(self, *arguments: str) -> dict[str, Any]:
        """The report of a drain that is done."""
        done = self.drain("--json", *arguments)
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def as_user(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run as somebody whom file modes bind."""
        if os.name == "nt":
            pytest.skip("Windows has no file modes that bind the owner")
        if os.geteuid() != 0:
            return self.run(*arguments)
        command = [sys.executable, "-c", AS_NOBODY, *arguments]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )


def _text_file() -> IO[str]:
    return TemporaryFile("w+", encoding="utf-8")


def last_error_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The same, of a command that said before which letters it matched."""
    assert done.returncode == code, done
    assert done.stdout == ""
    *said, line = done.stderr.splitlines()
    assert said[0].startswith("azoth-dlq: ")
    assert " of " in said[0]
    return line


def error_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on stderr of a command that printed nothing else."""
    assert done.returncode == code, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("azoth-dlq: ")
    return lines[0]


def until(happened: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something that a running process does."""
    deadline = time.monotonic() + 30
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.fixture
def open_workplace() -> Iterator[Workplace]:
    """A workplace that every user of the machine can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield Workplace(folder)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.fixture
def screen() -> Iterator[Terminal]:
    """A terminal of the usual size."""
    from tests.cli.terminals import terminal  # noqa: PLC0415 -- Windows has none

    with terminal() as opened:
        yield opened


@pytest.fixture
def thousand(workplace: Workplace) -> Workplace:
    """Letters that are called outside, one of five in vain; and one that is not due."""
    workplace.add_handler(VIEWED)
    workplace.make(*["calls"] * 1000)
    workplace.execute("UPDATE dead_letter_queue SET event_id = id")
    workplace.add(failed_at="2999-01-01 00:00:00")
    return workplace
