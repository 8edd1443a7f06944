"""A command on a pseudo-terminal that is its own, and the screen that a person sees."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyte

from tests.cli.conftest import Workplace
from tests.conftest import heeding_interrupts

PATIENCE = 30.0  # seconds
# What a shell does with a job: it has the terminal until it stops or ends. SIGUSR1 continues it in
# the foreground, SIGUSR2 in the background.
SHELL = """
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD})
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.execv(sys.executable, [sys.executable, "-m", "azoth_dlq", *sys.argv[1:]])
while True:
    number = signal.sigwait({signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD})
    if number == signal.SIGCHLD:
        pid, status = os.waitpid(job, os.WUNTRACED | os.WNOHANG)
        if pid and not os.WIFSTOPPED(status):
            sys.exit(os.waitstatus_to_exitcode(status))
        if pid:
            os.tcsetpgrp(0, os.getpid())
            print("(stopped)", flush=True)
    else:
        if number == signal.SIGUSR1:
            os.tcsetpgrp(0, job)
        os.kill(-job, signal.SIGCONT)
"""


class Terminal:
    """What is typed there, and what is seen; `raw` is all that was written."""

    def __init__(self, columns: int, lines: int) -> None:
        self.side, self.theirs = os.openpty()
        self.raw = ""
        self._screen = pyte.HistoryScreen(columns, lines, history=1000)
        self._stream = pyte.Stream(self._screen)
        self._bytes = b""
        self._resize(columns, lines)
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self, workplace: Workplace, *arguments: str, as_job: bool = False, **options: Any
    ) -> None:
        """Have the command control it; `as_job`: a shell that started it does."""
        theirs = self.theirs

        def control() -> None:
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        program = ["-c", SHELL] if as_job else ["-m", "azoth_dlq"]
        settings = {"stdin": theirs, "stdout": theirs, "stderr": theirs, **options}
        with heeding_interrupts():
            self.process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=workplace.folder,
                env={"TERM": "xterm-256color", **workplace.environment},
                preexec_fn=control,  # noqa: PLW1509 -- this process has no other threads then
                **settings,
            )

    def resume_job(self, *, behind: bool = False) -> None:
        """Have the shell continue it, in the foreground or `behind`, in the background."""
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR2 if behind else signal.SIGUSR1)

    def resize(self, columns: int, lines: int) -> None:
        self._resize(columns, lines)
        self._screen.resize(lines, columns)

    def _resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.side, text.encode())

    def read(self, seconds: float = 0.05) -> None:
        """What was written by now."""
        until = time.monotonic() + seconds
        os.set_blocking(self.side, False)
        while time.monotonic() < until:
            try:
                part = os.read(self.side, 65536)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            except OSError:
                return
            text = part.decode(errors="replace")
            self.raw += text
            self._stream.feed(text)

    @property
    def lines(self) -> list[str]:
        """Of the screen, without the empty ones at its end."""
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def scrolled(self) -> str:
        """What has left the screen at its top, and the screen."""
        width = self._screen.columns
        above = [
            "".join(line[x].data for x in range(width)).rstrip()
            for line in self._screen.history.top
        ]
        return "\n".join([*above, *self.lines])

    @property
    def is_cursor_seen(self) -> bool:
        return not self._screen.cursor.hidden

    @property
    def echoes(self) -> bool:
        """Whether it is as a shell left it: what is typed is seen, and comes line by line."""
        modes = termios.tcgetattr(self.theirs)[3]
        return bool(modes & termios.ECHO) and bool(modes & termios.ICANON)

    def until(self, condition: Callable[[], object]) -> None:
        ends_at = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < ends_at, self.text
            assert self.process is not None
            self.read()

    def shows(self, *texts: str) -> None:
        """Wait for them all to be on the screen."""
        self.until(lambda: all(text in self.text for text in texts))

    def end(self) -> int:
        """Wait for the command; its exit code."""
        assert self.process is not None
        ends_at = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < ends_at, self.text
            self.read()
        self.read(0.1)
        return self.process.returncode

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.side)  # a job that goes on is hung up
        os.close(self.theirs)


@contextlib.contextmanager
def terminal(columns: int = 100, lines: int = 24) -> Iterator[Terminal]:
    opened = Terminal(columns, lines)
    try:
        yield opened
    finally:
        opened.close()
