"""The command line: `azoth-dlq COMMAND …`, each command in a module of its own.

A command is imported when it is called for: who asks for the status needs nothing that drains.
"""

from __future__ import annotations

import atexit
import errno
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from traceback import extract_tb
from typing import TYPE_CHECKING, Final, NoReturn

import click

from azoth_dlq.cli.help import Commands
from azoth_dlq.cli.output import say
from azoth_dlq.cli.signals import end_by_signal, ignore, put_back
from azoth_dlq.errors import AzothError

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
# Where no file is named, it was stdout that could not be written.
_OF_OUTPUT: Final = frozenset({errno.EBADF, errno.EFBIG, errno.EIO, errno.ENOSPC})
# What the commands are for; each is in the module of its name, or in that of `_ELSEWHERE`.
_HEADINGS: Final = {
    "Look": ("status", "groups", "list", "show", "audit"),
    "Replay": ("drain", "run"),
    "Act on letters": ("requeue", "edit", "discard", "purge"),
    "Move": ("export", "import"),
    "Begin and tune": ("demo", "tune", "completion"),
}
_ELSEWHERE: Final = {"export": "exporting", "import": "importing", "list": "listing"}
_NAMES: Final = tuple(name for names in _HEADINGS.values() for name in names)


class _Commands(Mapping[str, click.Command]):
    """The commands by name."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in _NAMES:
            raise KeyError(name)
        module = import_module(f"{__name__}.{_ELSEWHERE.get(name, name)}")
        command: click.Command = module.command
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


@click.group(
    cls=Commands,
    headings=_HEADINGS,
    commands=_Commands(),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="""\b
    DB is the SQLite file with the letters. It may be left out where AZOTH_DLQ_DB names it:
      export AZOTH_DLQ_DB=projection.db
      azoth-dlq show 17

    DURATION is seconds, or a number with its unit: 90s, 15m, 2h, 3d, 1h30m. Times are shown in
    local time (TZ) with the offset from UTC, with --utc in UTC; --json has them in UTC.

    \b
    Exit codes: 0 done; 1 stopped by failures, or an error; 2 wrong usage; 130 interrupted;
    of status --exit-code, for monitors, also 3 letters are due, 4 letters are parked

    \b
    Completion, in the file that your shell reads when it starts; see azoth-dlq completion --help:
      eval "$(azoth-dlq completion bash)"
    """,
)
@click.version_option(package_name="azoth-dlq", message="%(prog)s %(version)s")
@click.pass_context
def azoth_dlq(context: click.Context) -> None:
    """Replay dead letters kept in SQLite: fast, in order, nothing lost, nothing twice.

    \b
    Try it:
      azoth-dlq demo
      azoth-dlq status azoth-demo.db

    azoth-dlq COMMAND --help has the options, examples and exit codes of each command.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def run_process() -> NoReturn:
    """Be the process of a command."""
    atexit.register(ignore)  # what is registered first is called last
    try:
        code = _run(None)
        end_by_signal(code)
    except KeyboardInterrupt:  # another one, while the first was told
        os._exit(INTERRUPTED)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments (default: those of the process) name; its exit code.

    Errors are told in one line on stderr.
    """
    with put_back():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    if hasattr(sys.stdout, "reconfigure"):
        # Texts from files may hold what the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = azoth_dlq.main(arguments, prog_name="azoth-dlq", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        say(_with_way_out(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED
    except AzothError as error:
        say(str(error))
        return FAILED
    except OSError as error:
        say(_trouble_of(error))
        _discard_output()
        return FAILED
    except Exception as error:  # noqa: BLE001 -- nobody at a terminal is helped by a traceback
        say(_unexpected(error))
        return FAILED
    return DONE if code is None else int(code)


def _with_way_out(error: click.ClickException) -> str:
    message = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return message
    return f"{message.rstrip('.')}; see {context.command_path} --help"


def _trouble_of(error: OSError) -> str:
    if error.filename:
        return f"{error.strerror}: {error.filename}"
    if error.errno in _OF_OUTPUT:
        return f"stdout cannot be written: {error.strerror}; what was done before stays"
    return str(error)


def _unexpected(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory; what was committed before stays"
    frame = extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename}, line {frame.lineno}"
    return f"unexpected {type(error).__name__}: {error} ({place}); please report it as a defect"


def _discard_output() -> None:
    """Keep Python from writing again, at its end, what could not be written."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
