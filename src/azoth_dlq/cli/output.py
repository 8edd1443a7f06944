"""What commands print: documents and tables on stdout, messages on stderr."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.cli.times import LogFormatter
from azoth_dlq.engine.failure import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import timedelta

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, and nothing else, on stdout."
)
verbose_option: Callable[[Any], Any] = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Show the log, each failure and its error, in the place of the live view.",
)
live_option: Callable[[Any], Any] = click.option(
    "--no-live",
    is_flag=True,
    help="Plain lines on a terminal, too, where else a view is drawn in place.",
)
_LONGEST_LINE = 1000  # characters
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def say(message: str) -> None:
    """Print a message on stderr, in one line."""
    if sys.stderr is None:
        return
    with suppress(OSError):
        print(f"azoth-dlq: {one_line(message)}", file=sys.stderr, flush=True)  # noqa: T201 -- click's echo needs an open stderr


def say_at_once(message: str) -> None:
    """The same from a signal handler, or a thread: whatever is being printed, it waits for no
    lock."""
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):  # it is closed
        line = f"azoth-dlq: {one_line(message)}\n"
        os.write(sys.stderr.fileno(), line.encode(sys.stderr.encoding, "backslashreplace"))


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on stdout."""
    click.echo(json.dumps(document, indent=2))


def print_json_list(head: dict[str, Any], name: str, items: Iterable[dict[str, Any]]) -> None:
    """Print one JSON document on stdout: the head, and behind it a list, item by item."""
    # As `json.dumps` indents it, but without holding all of it.
    click.echo(f'{json.dumps(head, indent=2)[:-2]},\n  "{name}": [', nl=False)
    separator = "\n"
    for item in items:
        text = json.dumps(item, indent=2).replace("\n", "\n    ")
        click.echo(f"{separator}    {text}", nl=False)
        separator = ",\n"
    click.echo("]\n}" if separator == "\n" else "\n  ]\n}")


def print_lines(*lines: str) -> None:
    """Print lines on stdout; control characters are shown, not obeyed."""
    for line in lines:
        click.echo(one_line(line))


def print_table(rows: Sequence[tuple[str, int | str, str]]) -> None:
    """Print rows of a name, a figure and a remark, the figures right-aligned."""
    shown = [(name, _figure(figure), remark) for name, figure, remark in rows]
    names = max(len(name) for name, _, _ in shown)
    figures = max(len(figure) for _, figure, _ in shown)
    for name, figure, remark in shown:
        print_lines(f"  {name:<{names}}  {figure:>{figures}}   {remark}".rstrip())


def print_ranking(heading: str, rows: Sequence[tuple[str, int]]) -> None:
    """Print texts, each after its number of letters, below a heading."""
    figures = max([len("letters"), *(len(_figure(number)) for _, number in rows)])
    print_lines(f"  {'letters':>{figures}}   {heading}")
    for text, number in rows:
        print_lines(f"  {_figure(number):>{figures}}   {first_line(text)}")


def first_line(text: str) -> str:
    """The first line of a text, as much of it as a person reads, with a sign where there is
    more."""
    shown = text[:_LONGEST_LINE]
    lines = shown.splitlines() or [""]
    return lines[0] if len(lines) == 1 and len(shown) == len(text) else f"{lines[0]} …"


def cut(text: str, width: int) -> str:
    """The text, at most so wide."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def terminal_width() -> int:
    """How wide stdout is; without a bound where it is no terminal."""
    import shutil  # noqa: PLC0415 -- it loads compression, which few commands need

    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if is_terminal else sys.maxsize


def counted(number: int, things: str) -> str:
    """How many of `things`, a plural in -s: `1 dead letter`, `2,000 dead letters`."""
    return f"{number:,} {things.removesuffix('s') if number == 1 else things}"


def command_line(*parts: object) -> str:
    """A command of this program as it is typed: `azoth-dlq list 'my letters.db'`."""
    return " ".join(["azoth-dlq", *(_quoted(str(part)) for part in parts)])


def duration_text(duration: timedelta) -> str:
    """A duration for people, in its two largest units: `2 h 5 min`."""
    rest = max(int(duration.total_seconds()), 0)
    parts = []
    for seconds, unit in _UNITS:
        number, rest = divmod(rest, seconds)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"


def keep_log_quiet() -> None:
    """Leave the package's log to whoever else listens."""
    logging.getLogger("azoth_dlq").addHandler(logging.NullHandler())


def show_log(*, letters: bool = True) -> None:
    """Show the package's log on stderr, with what becomes of single letters or without."""
    logger = logging.getLogger("azoth_dlq")
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter())
    if not letters:
        handler.addFilter(lambda record: record.name != "azoth_dlq.letters")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


@contextmanager
def stdout_reserved() -> Iterator[None]:
    """What others write to stdout, be it a handler or a program that it starts, goes to stderr."""
    if sys.stdout is None or sys.stderr is None:
        yield
        return
    ours, stdout = sys.stdout, sys.stdout.fileno()
    ours.flush()
    kept = os.dup(stdout)
    os.dup2(sys.stderr.fileno(), stdout)
    try:
        yield
    finally:
        if ours.closed:
            ours = open(stdout, "w", encoding=ours.encoding, errors=ours.errors, closefd=False)  # noqa: SIM115 -- it stays open
        ours.flush()
        os.dup2(kept, stdout)
        os.close(kept)
        sys.stdout = ours


def _quoted(text: str) -> str:
    if sys.platform == "win32":
        return f'"{text}"' if " " in text else text
    return shlex.quote(text)


def _figure(figure: int | str) -> str:
    return figure if isinstance(figure, str) else f"{figure:,}"
