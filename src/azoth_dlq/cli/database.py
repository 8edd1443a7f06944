"""The file that a command works on: named by DB or by AZOTH_DLQ_DB, there, with dead letters."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.cli.help import VARIABLE
from azoth_dlq.errors import StorageError
from azoth_dlq.queue import DeadLetterQueue
from azoth_dlq.store.sqlite import SqliteStore, open_for_looking
from azoth_dlq.store.sqlite.faults import BUSY_CODES, explained, primary_code
from azoth_dlq.store.sqlite.migrations import inspect

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence

# Shells complete it to files; whether there is one that can be read is told below.
FILE = click.Path(readable=False)


class _Database(click.Argument):
    """DB, the first argument, which may be left out where VARIABLE names the file.

    Taken as left out: where there are fewer arguments than the command requires; where others of
    any number follow it (ids, say) and the first of those given reads as one of them. So the type
    of such arguments must refuse what is the path of a file.
    """

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        parse = parser.parse_args

        def parse_args(args: list[str]) -> Any:
            parsed = parse(list(args))
            path = os.environ.get(VARIABLE)
            # What is completed may be DB all the same.
            if path and not ctx.resilient_parsing and _is_left_out(ctx, *parsed[:2]):
                # One that looks like an option stays a path.
                shown = os.path.join(".", path) if path.startswith("-") else path  # noqa: PTH118 -- as below
                return parse([shown, *args])
            return parsed

        parser.parse_args = parse_args


def _is_left_out(ctx: click.Context, values: Mapping[str, Any], left: Sequence[str]) -> bool:
    arguments = [param for param in ctx.command.params if isinstance(param, click.Argument)]
    given: list[str] = []
    for argument in arguments:
        value = values.get(str(argument.name))
        given += [value] if isinstance(value, str) else value if isinstance(value, tuple) else []
    given += left
    if len(given) < sum(argument.required for argument in arguments):
        return True
    return any(_reads(given[0], argument) for argument in arguments[1:] if argument.nargs == -1)


def _reads(text: str, argument: click.Argument) -> bool:
    try:
        argument.type.convert(text, argument, None)
    except click.BadParameter:
        return False
    return True


database_argument: Callable[[Any], Any] = click.argument(
    "database", metavar="DB", type=FILE, cls=_Database
)


@contextmanager
def queue_of(path: str, *, wait: float = 0) -> Iterator[DeadLetterQueue]:
    """The queue in a file, to work on; `wait` seconds, and a few at least, for one that is locked.
    Errors: StorageError."""
    _check_file(path)
    with _opened(path, monotonic() + wait) as dlq:
        _check_tables(dlq.connection, path)
        dlq.letters(0)  # a table that lacks columns is refused before anything is written
        yield dlq


def _opened(path: str, until: float) -> DeadLetterQueue:
    while True:
        try:
            return DeadLetterQueue.open(path)  # waits for a few seconds that no signal ends
        except StorageError as error:
            is_locked = primary_code(error.__cause__ or error) in BUSY_CODES
            if not is_locked or monotonic() >= until:
                raise


@contextmanager
def readable_store_of(path: str, **options: Any) -> Iterator[SqliteStore]:
    """The letters in a file, which is only read; options as of `open_for_looking`.
    Errors: StorageError."""
    _check_file(path)
    with closing(open_for_looking(path, **options)) as connection:
        _check_tables(connection, path)
        yield SqliteStore(connection)


def _check_file(path: str) -> None:
    try:
        os.stat(path)  # noqa: PTH116 -- an empty path must stay one: as a Path it is "."
    except (FileNotFoundError, NotADirectoryError):
        raise StorageError(f"there is no file {path!r}; check the path") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be opened: {error.strerror}") from None


def _check_tables(connection: sqlite3.Connection, path: str) -> None:
    with explained(path):
        schema = inspect(connection)
    if not schema.has_queue:
        raise StorageError(
            f"{path} has no table dead_letter_queue, so it holds no dead letters; check the path"
        )
