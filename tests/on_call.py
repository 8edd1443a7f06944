"""The walk-through of docs/on-call.md: its programs, its commands, and what they print.

`python -m tests.on_call` runs it, and writes what was printed into the document.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent / "docs" / "on-call.md"
_BLOCK = re.compile(r"```(python|console)\n(.*?)```", re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+00:00")
_DURATION = re.compile(r"\b\d+(\.\d+)? (d|h|min|s)\b( \d+ (h|min|s)\b)?")
_SPEED = re.compile(r"\(.* letters a second\)")
_BARS = re.compile(r"\|[ ▁▂▃▄▅▆▇█]*\|.*")


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of the document, and the lines below it."""
    for kind, block in _BLOCK.findall(text):
        if kind != "console":
            continue
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            yield command, lines


def steady(lines: list[str]) -> list[str]:
    """Lines without what differs from run to run."""
    found = []
    for line in lines:
        text = _SPEED.sub("", _DURATION.sub("…", _TIME.sub("…", line)))
        found.append(re.sub(r" {2,}", "  ", _BARS.sub("…", text)).rstrip())
    return found


def played(text: str, folder: Path) -> str:
    """The document with what its commands print in `folder`, one after the other."""
    for kind, block in _BLOCK.findall(text):
        if kind == "python":
            name = block.partition("\n")[0].removeprefix("# ")
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(block, "utf-8")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "TZ": "UTC",
        "LOGNAME": "night-shift",
        "PYTHONIOENCODING": "utf-8",
    }

    def play(match: re.Match[str]) -> str:
        if match[1] != "console":
            return match[0]
        lines = []
        for part in re.split(r"^\$ ", match[2], flags=re.MULTILINE)[1:]:
            command = part.splitlines()[0]
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                environment[name] = value
                lines.append(f"$ {command}")
                continue
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                timeout=60,
                check=False,
            )
            lines += [f"$ {command}", *done.stdout.splitlines()]
        return "```console\n" + "\n".join(lines) + "\n```"

    return _BLOCK.sub(play, text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        DOCUMENT.write_text(played(DOCUMENT.read_text("utf-8"), Path(scratch)), "utf-8")
