"""The documents of docs/ whose commands are run: their programs, their commands, what they print.

A block ```python whose first line is `# NAME` is a file; one ```console is played in a shell, in a
folder of the document's own. `<!-- files of OTHER.md -->` takes the files of another document, too,
`<!-- FILE as NAME -->` a copy of one.
Of a block ```console differs only the first lines count. A question, `[y/N]: `, is answered as the
document has it, on a terminal. `python -m tests.documents [FILE …]` plays them, or all, and writes
what was printed into them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent.parent / "docs"
# Those whose commands take hours, and the one whose files are the README's.
_NOT_PLAYED = {"handlers.md", "performance.md", "reliability.md"}
_BLOCK = re.compile(r"^( *)```(python|console)( differs)?\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_FILES_OF = re.compile(r"<!-- files of (\S+) -->")
_COPY = re.compile(r"<!-- (\S+) as (\S+) -->")
_QUESTION = "[y/N]: "
_FOLDER = "/srv/shop"
_PROGRESS = "azoth-dlq: draining: "  # where it takes long
_PATIENCE = 120  # seconds

# What differs from run to run.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( \+00:00|Z)?")
_SPAN = re.compile("from … to …")  # where it is not all of one second
_DURATION = re.compile(r"\b\d+(\.\d+)? (d|h|min|s)\b( \d+ (h|min|s)\b)?")
_SPEED = re.compile(r"\(.* letters a second\)")
_BARS = re.compile(r"\|[ ▁▂▃▄▅▆▇█]*\|.*")
_SECONDS = re.compile(r'(?<=age": )[\d.e-]+|(?<=duration": )[\d.e-]+|(?<=age_seconds)\S* [\d.]+')
_RANDOM = re.compile(r'(?<=":)"[0-9a-f]{16,48}"')
_NAME = re.compile(r"(?<=azoth-dlq-tune-)[0-9a-f]+")
_MASKS = (_TIME, _SPEED, _DURATION, _BARS, _SECONDS, _RANDOM, _NAME)


class Step(NamedTuple):
    """A command of a document, what it prints there, and whether that differs each time."""

    command: str
    lines: list[str]
    differs: bool


def documents() -> list[Path]:
    """All that are played."""
    found = (path for path in sorted(DOCS.rglob("*.md")) if path.name not in _NOT_PLAYED)
    return [path for path in found if next(steps(path.read_text("utf-8")), None)]


def steps(text: str) -> Iterator[Step]:
    """The commands of a document, in order."""
    for match in _BLOCK.finditer(text):
        if match[2] == "console":
            yield from _steps_of(match)


def _steps_of(match: re.Match[str]) -> Iterator[Step]:
    for part in re.split(r"^\$ ", textwrap.dedent(match[4]), flags=re.MULTILINE)[1:]:
        command, *lines = part.splitlines()
        while command.endswith("\\"):
            command += f"\n{lines.pop(0)}"
        yield Step(command, lines, bool(match[3]))


def steady(step: Step) -> list[str]:
    """What it prints, without what differs from run to run."""
    found = []
    lines = [line for line in step.lines if not line.startswith(_PROGRESS)]
    for line in lines[:1] if step.differs else lines:
        text = line
        for mask in _MASKS:
            text = mask.sub("…", text)
        text = _SPAN.sub("at …", text)
        if step.differs:
            text = re.sub(r"[\d,.]+", "…", text)
        found.append(re.sub(r" {2,}", "  ", text).rstrip())
    return found


def played(document: Path, folder: Path) -> str:
    """The document with what its commands print in `folder`, one after the other."""
    text = document.read_text("utf-8")
    _write_files(document, folder)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "TZ": "UTC",
        "LOGNAME": "night-shift",
        "PYTHONIOENCODING": "utf-8",
    }

    def play(match: re.Match[str]) -> str:
        if match[2] != "console":
            return match[0]
        lines = []
        for step in _steps_of(match):
            printed = _printed(step, folder, environment)
            lines += [f"$ {step.command}", *(_elsewhere(line, folder) for line in printed)]
        block = [f"```console{match[3] or ''}", *lines, "```"]
        return "\n".join(f"{match[1]}{line}".rstrip() for line in block)

    return _BLOCK.sub(play, text)


def _elsewhere(line: str, folder: Path) -> str:
    """A line as if the folder were that of a reader."""
    return line.replace(str(folder.resolve()), _FOLDER).replace(str(folder), _FOLDER)


def _write_files(document: Path, folder: Path) -> None:
    text = document.read_text("utf-8")
    for other in _FILES_OF.findall(text):
        _write_files(document.parent / other, folder)
    for file, name in _COPY.findall(text):
        shutil.copy(document.parent / file, folder / name)
    for match in _BLOCK.finditer(text):
        name = textwrap.dedent(match[4]).partition("\n")[0].removeprefix("# ")
        if match[2] == "python" and name.endswith(".py"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(textwrap.dedent(match[4]), "utf-8")


def _printed(step: Step, folder: Path, environment: dict[str, str]) -> list[str]:
    if step.command.startswith("export "):
        name, _, value = step.command.removeprefix("export ").partition("=")
        environment[name] = shlex.split(value)[0]
        return []
    answers = [line.partition(_QUESTION)[2] for line in step.lines if _QUESTION in line]
    return (_answered if answers else _run)(step.command, answers, folder, environment)


def _run(command: str, _: list[str], folder: Path, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=_PATIENCE,
        check=False,
    )
    return done.stdout.splitlines()


def _answered(
    command: str, answers: list[str], folder: Path, environment: dict[str, str]
) -> list[str]:
    """Of a command on a terminal, where the answers are typed ahead and not echoed."""
    import termios  # noqa: PLC0415 -- Windows has none

    side, theirs = os.openpty()
    modes = termios.tcgetattr(theirs)
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, modes)
    os.write(side, "".join(f"{answer}\n" for answer in answers).encode())
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**environment, "TERM": "dumb", "COLUMNS": "200"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    printed = b""
    with contextlib.suppress(OSError), contextlib.closing(os.fdopen(side, "rb", 0)) as terminal:
        while part := terminal.read(65536):
            printed += part
    process.wait(_PATIENCE)
    text = printed.decode().replace("\r\n", "\n")
    for answer in answers:
        text = re.sub(re.escape(_QUESTION) + r"(?!\w*\n)", f"{_QUESTION}{answer}\n", text, count=1)
    return text.splitlines()


def main(names: list[str]) -> None:
    """Write what is printed into the documents named, or into all."""
    for document in [Path(name).absolute() for name in names] or documents():
        with tempfile.TemporaryDirectory() as scratch:
            document.write_text(played(document, Path(scratch)), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
