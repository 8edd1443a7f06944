"""`azoth-dlq edit`: give a letter another payload; the original stays and can be put back."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from azoth_dlq import clock
from azoth_dlq.cli.bulk import by_option, wrong
from azoth_dlq.cli.database import FILE, database_argument, queue_of
from azoth_dlq.cli.filters import (
    FROM_STDIN,
    filter_options,
    find_letters,
    parked_option,
    wanted_of,
)
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.letters import no_such_letter, read_letter, space_key, space_of
from azoth_dlq.cli.output import command_line, counted, json_option, print_json, print_lines
from azoth_dlq.errors import AzothError, InvalidStateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azoth_dlq.cli.filters import Wanted
    from azoth_dlq.queue import DeadLetterQueue
    from azoth_dlq.types import FailedEvent, PermanentFailure

_NAMED: Final = 5
_LARGEST: Final = 10**9  # bytes, of SQLite's making


@click.command(
    "edit",
    cls=Command,
    short_help="Give a letter another payload, and keep the original.",
    exit_codes={1: "an error, or the letter has gone or changed"},
    see_also=("show", "list", "audit", "requeue"),
    epilog="""\b
    Examples:
      azoth-dlq edit projection.db 17
      azoth-dlq edit projection.db 3 --parked --file repaired.bin
      azoth-dlq show projection.db 17 --json | jq -j .payload | sed s/EUR/USD/ |
        azoth-dlq edit projection.db 17 --stdin
      azoth-dlq edit projection.db 17 --restore

    The whole event is edited, its type before the first colon with it: in $VISUAL or $EDITOR, or as
    --file or --stdin have it, byte for byte. It must be one letter that fits what is given. What it
    was before the first edit stays for as long as the letter, and --restore puts it back. An edit
    is refused where the letter has gone, was changed, or is in the hands of a handler when the
    editor is closed, so that it is never replayed in both forms; what was written then stays in a
    file. `azoth-dlq audit` shows who did it.
    """,
)
@database_argument
@parked_option
@filter_options()
@click.option("--file", "source", metavar="FILE", type=FILE, help="The new event is in this file.")
@click.option("--stdin", "from_stdin", is_flag=True, help="The new event comes on stdin.")
@click.option("--restore", is_flag=True, help="Put back what was before the first edit.")
@by_option
@json_option
def command(  # noqa: PLR0913 -- one keyword an option
    *,
    database: str,
    parked: bool,
    source: str | None,
    from_stdin: bool,
    restore: bool,
    by: str | None,
    as_json: bool,
    **conditions: Any,
) -> int:
    """Give the letter ID in DB another payload, or its original one again."""
    ways = {"--file": source is not None, "--stdin": from_stdin, "--restore": restore}
    given = [flag for flag, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise wrong(f"{' and '.join(given)} cannot go together; give one of them")
    if from_stdin and FROM_STDIN in conditions["ids"]:
        raise wrong("the ids and --stdin cannot both be read from stdin; give the id")
    wanted = wanted_of(conditions, parked=parked)
    if wanted.is_empty:
        raise wrong("no letter is given; give its id, as `list` shows it")
    content = _content(source, from_stdin=from_stdin)
    with queue_of(database) as dlq:
        edit = _Edit(dlq, _the_one(dlq, wanted, database), parked, by)
        if restore:
            done = edit.put_back()
        elif content is not None:
            done = edit.write(content)
        else:
            done = edit.write_by_hand()
        letter_id, letter = edit.letter_id, edit.read()
    size = 0 if letter is None else len(letter.event_bytes)
    if as_json:
        place = {"database": database, "ids_of": space_key(parked), "id": letter_id}
        print_json({**place, "done": done, "event_size": size})
    else:
        way = command_line("edit", database, letter_id, *(["--parked"] if parked else []))
        told = {
            "edited": f"edited, {counted(size, 'bytes')} now; `{way} --restore` puts it back",
            "restored": f"as it was before it was edited: {counted(size, 'bytes')}",
            "unchanged": "unchanged",
        }
        print_lines(f"{letter_id} of the {space_of(parked)} is {told[done]}")
    return 0


def _content(source: str | None, *, from_stdin: bool) -> bytes | None:
    """The new event, where an option tells it. Errors: click.BadParameter."""
    if from_stdin:
        return b"" if sys.stdin is None else sys.stdin.buffer.read()
    if source is None:
        return None
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        message = f"{source} cannot be read: {error.strerror}"
        raise click.BadParameter(message, param_hint="--file") from None
    if len(content) > _LARGEST:
        message = f"{source} has {len(content):,} bytes; an event has {_LARGEST:,} at most"
        raise click.BadParameter(message, param_hint="--file")
    return content


def _the_one(dlq: DeadLetterQueue, wanted: Wanted, database: str) -> int:
    """The letter that fits. Errors: click.ClickException where none does, or several."""
    ids = find_letters(dlq.store, wanted, clock.now())
    if len(ids) == 1:
        return ids[0]
    if not ids and len(wanted.named) == 1 and not wanted.is_filtered:
        way = f"{'leave out' if wanted.parked else 'give'} --parked to edit that one"
        raise no_such_letter(dlq.store, wanted.named[0], database, way=way, parked=wanted.parked)
    some = ", ".join(map(str, ids[:_NAMED])) + (", …" if len(ids) > _NAMED else "")
    fits = f"{len(ids):,} fit: {some}" if ids else "none fits"
    raise click.ClickException(
        f"one letter is edited at a time, and of the {space_of(wanted.parked)} {fits}; give its id"
    )


class _Edit(NamedTuple):
    """Of one letter, by whom; each verb says what the letter is then."""

    dlq: DeadLetterQueue
    letter_id: int
    parked: bool
    by: str | None

    def read(self) -> FailedEvent | PermanentFailure | None:
        return read_letter(self.dlq.store, self.letter_id, parked=self.parked)

    def put_back(self) -> str:
        """Errors: click.ClickException where it was never edited."""
        if not self.dlq.put_back(self.letter_id, parked=self.parked, by=self.by):
            place = f"{self.letter_id} of the {space_of(self.parked)}"
            raise click.ClickException(f"{place} was never edited, so nothing can be put back")
        return "restored"

    def write(self, content: bytes, before: bytes | None = None) -> str:
        """`before`: the event that was edited, which must still be it. Errors: InvalidStateError
        where the letter has gone, is in hand, or was changed."""
        with self.dlq.store.together():
            letter = self.read()
            if letter is None:
                raise InvalidStateError(
                    f"{self.letter_id} is not among the {space_of(self.parked)} any more: it was "
                    "done, moved or deleted meanwhile; nothing was changed"
                )
            if before is not None and letter.event_bytes != before:
                raise InvalidStateError(
                    f"the event of {self.letter_id} was changed by somebody else meanwhile; "
                    "nothing was changed"
                )
            if not content:
                raise InvalidStateError("an event cannot be empty; nothing was changed")
            if letter.event_bytes == content:
                return "unchanged"
            self.dlq.edit(self.letter_id, content, parked=self.parked, by=self.by)
        return "edited"

    def write_by_hand(self) -> str:
        """In the editor. What was written there is kept where it cannot be taken over. Errors:
        click.ClickException."""
        letter = self.read()
        before = b"" if letter is None else letter.event_bytes
        if not _is_text(before):
            raise click.ClickException(
                f"the event of {self.letter_id} is no text that an editor would leave as it is; "
                "write it to a file (`show --json` has it in base64), change that, and give --file"
            )
        path = _file_of(before, self.letter_id)
        try:
            with _editor_alone_interrupted():
                click.edit(filename=str(path))
            done = self.write(_written(path, before), before)
        except (AzothError, OSError, ValueError, click.ClickException) as error:
            told = _message(error)
            try:
                is_kept = _written(path, before) != before
            except OSError:
                told, is_kept = f"the editor left no file ({told})", False
            if is_kept:
                raise click.ClickException(f"{told}; what was written is kept in {path}") from None
            path.unlink(missing_ok=True)
            raise click.ClickException(told) from None
        path.unlink(missing_ok=True)
        return done


def _written(path: Path, before: bytes) -> bytes:
    """What the editor has left. Editors end the last line, whether it was ended before or not."""
    content = path.read_bytes()
    if content.endswith(b"\n") and not before.endswith(b"\n"):
        content = content[:-1].removesuffix(b"\r")
    return content


@contextmanager
def _editor_alone_interrupted() -> Iterator[None]:
    """Ctrl-C is the editor's while it is open."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _file_of(event_bytes: bytes, letter_id: int) -> Path:
    """A file of this user's alone that holds them."""
    descriptor, name = tempfile.mkstemp(prefix=f"azoth-dlq-{letter_id}-", suffix=".txt")
    with os.fdopen(descriptor, "wb") as file:
        file.write(event_bytes)
    return Path(name)


def _message(error: Exception) -> str:
    return error.format_message() if isinstance(error, click.ClickException) else str(error)


def _is_text(event_bytes: bytes) -> bool:
    try:
        text = event_bytes.decode()
    except UnicodeDecodeError:
        return False
    return "\0" not in text and "\r" not in text
