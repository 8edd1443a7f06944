"""The command line in children of one process, so that a command costs milliseconds: run as
`python -m tests.crash.commands`, it forks one for each order, a line of JSON."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

from azoth_dlq import cli
from tests.crash.server import Server, serve

_PATIENCE_SECONDS = 30  # after which a child that hangs is killed
HANDLERS = """
from azoth_dlq import EventHandlerRegistry

registry = EventHandlerRegistry()

@registry.handler("ok")
def ok(conn, event_id, payload):
    conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

@registry.handler("fails")
def fails(conn, event_id, payload):
    raise ValueError("not today")
"""


class Done(NamedTuple):
    status: int  # negative: the signal that killed it
    stdout: str
    stderr: str


class Commands(Server):
    """Runs them in a folder, which gets a module of handlers."""

    def __init__(self) -> None:
        super().__init__("commands")

    def run(self, folder: Path, *arguments: str) -> Done:
        handlers = folder / "handlers.py"
        if not handlers.exists():
            handlers.write_text(HANDLERS)
        self.ask([str(folder), *arguments])
        status, _ = self.answer()
        stdout, stderr = (
            (folder / name).read_text("utf-8", "replace") for name in ("stdout", "stderr")
        )
        return Done(status, stdout, stderr)


def _be(folder: str, *arguments: str) -> NoReturn:
    """Be the process of a command, in the folder."""
    signal.alarm(_PATIENCE_SECONDS)
    os.chdir(folder)
    sys.path.insert(0, folder)
    for number, name in ((0, os.devnull), (1, "stdout"), (2, "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_CREAT | os.O_TRUNC | os.O_WRONLY
        os.dup2(os.open(name, flags), number)
    code = cli.main(list(arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    for name in cli.azoth_dlq.commands:
        cli.azoth_dlq.commands[name]  # imported once for all children
    serve(lambda order: _be(*order))


if __name__ == "__main__":
    main()
