"""Changing many letters: which, whether that is meant, and in chunks that let others write."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from azoth_dlq import clock
from azoth_dlq.chunks import taking_turns
from azoth_dlq.cli.database import queue_of
from azoth_dlq.cli.letters import listing, read_letter, space_of
from azoth_dlq.cli.numbers import ID
from azoth_dlq.cli.output import (
    counted,
    json_option,
    print_json,
    print_lines,
    say,
    stdout_reserved,
)
from azoth_dlq.cli.signals import Received, ending_in_order
from azoth_dlq.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from azoth_dlq.filters import LetterFilter
    from azoth_dlq.queue import DeadLetterQueue

_IDS_A_TRANSACTION: Final = 1000
_MISSING_SHOWN: Final = 10


class Change(NamedTuple):
    """What is done to letters: the queue's verb, and the words that tell it."""

    verb: Callable[[DeadLetterQueue, Sequence[int]], int]
    done: str  # requeued
    announced: str  # will be moved …
    elsewhere: str  # what to do about ids of the other space
    parked: bool


class Choice(NamedTuple):
    """Which letters: ids, or those that fit a filter, or `every` one; `yes`: asking is needless."""

    ids: Sequence[int]
    wanted: LetterFilter
    every: bool
    yes: bool

    def check(self) -> None:
        """Errors: click.UsageError."""
        filtered = not self.wanted.is_empty
        ways = {"ids": bool(self.ids), "a filter": filtered, "--all": self.every}
        given = [name for name, is_given in ways.items() if is_given]
        if not given:
            raise _wrong("no letters are given: give ids or a filter, or --all for every one")
        if len(given) > 1:
            raise _wrong(f"{' and '.join(given)} cannot go together; give one of them")


@dataclass
class Outcome:
    """What was done and committed, the ids that were not there, those of the first of them that are
    among the other space, and what ended it early."""

    done: int = 0
    missing: list[int] = field(default_factory=list)
    elsewhere: list[int] = field(default_factory=list)
    trouble: str | None = None
    exit_code: int = 0


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the ids, `--all`, `--yes` and `--json` to a command."""
    for decorate in (
        json_option,
        click.option("--yes", is_flag=True, help="Go on without asking."),
        click.option("--all", "every", is_flag=True, help="Every letter, whatever it is."),
        click.argument("ids", metavar="[ID]...", nargs=-1, type=ID),
    ):
        command = decorate(command)
    return command


def change_letters(database: str, change: Change, choice: Choice, *, as_json: bool) -> int:
    """Do it, and tell what was done; the exit code."""
    choice.check()
    with queue_of(database) as dlq:
        if choice.ids:
            ids: Sequence[int] = list(dict.fromkeys(choice.ids))
        else:
            ids = dlq.store.find(choice.wanted, clock.now(), parked=change.parked)
            announced = _announced(dlq, len(ids), database, change)
            if not (choice.yes or _is_terminal()):
                raise _wrong(f"{announced}; this is no terminal, so pass --yes to go on")
            say(announced)
            if ids and not (choice.yes or _agreed()):
                raise click.ClickException("nothing was changed")
        outcome = _carry_out(dlq, change, ids, given=bool(choice.ids))
        if outcome.trouble is None:
            outcome.elsewhere = _elsewhere(dlq, change, outcome.missing[:_MISSING_SHOWN])
    _print(outcome, database, change, as_json=as_json)
    return outcome.exit_code


def _wrong(message: str) -> click.UsageError:
    return click.UsageError(message, click.get_current_context())


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _announced(dlq: DeadLetterQueue, letters: int, database: str, change: Change) -> str:
    figures = dlq.store.figures()
    total = figures.parked if change.parked else figures.dead
    space = counted(total, space_of(change.parked))
    return f"{letters:,} of {space} in {database} {change.announced}"


def _agreed() -> bool:
    # Of older click, a part of the prompt goes to stdout.
    with stdout_reserved():
        return click.confirm("Go on?", err=True)


def _carry_out(dlq: DeadLetterQueue, change: Change, ids: Sequence[int], *, given: bool) -> Outcome:
    """Change the letters, a transaction a chunk; what was committed stays, whatever comes."""
    outcome = Outcome()
    work = _change_given if given else _change_found
    with ending_in_order(_go_on_to_the_chunks_end) as received:
        try:
            work(dlq, change, _in_turn(ids, received), outcome)
        except KeyboardInterrupt:
            outcome.trouble = "interrupted; what was done is committed"
            outcome.exit_code = received.exit_code
        except StorageError as error:
            if not outcome.done:
                raise
            outcome.trouble = f"{error}; what was done before is committed"
            outcome.exit_code = 1
    return outcome


def _go_on_to_the_chunks_end() -> None:
    """A signal is looked at between two chunks."""


def _in_turn(ids: Sequence[int], received: Received) -> Iterator[Sequence[int]]:
    """The ids in chunks, with pauses in which other writers get their turn.

    Errors: KeyboardInterrupt, where a signal came while a chunk was in hand.
    """
    starts = range(0, len(ids), _IDS_A_TRANSACTION)
    for chunk in taking_turns(ids[start : start + _IDS_A_TRANSACTION] for start in starts):
        if received.numbers:
            raise KeyboardInterrupt
        yield chunk


def _change_found(
    dlq: DeadLetterQueue, change: Change, chunks: Iterator[Sequence[int]], outcome: Outcome
) -> None:
    """Nobody asked by name for those that are gone meanwhile."""
    for ids in chunks:
        outcome.done += change.verb(dlq, ids)


def _change_given(
    dlq: DeadLetterQueue, change: Change, chunks: Iterator[Sequence[int]], outcome: Outcome
) -> None:
    for ids in chunks:
        with dlq.store.together():
            missing = [row_id for row_id in ids if not change.verb(dlq, [row_id])]
        outcome.done += len(ids) - len(missing)
        outcome.missing += missing
        outcome.exit_code = 1 if outcome.missing else 0


def _elsewhere(dlq: DeadLetterQueue, change: Change, missing: list[int]) -> list[int]:
    """Those of the ids that the other space has."""
    found = (read_letter(dlq.store, row_id, parked=not change.parked) for row_id in missing)
    return [letter.id for letter in found if letter is not None]


def _missing(outcome: Outcome, database: str, change: Change) -> str:
    number = len(outcome.missing)
    shown = ", ".join(map(str, outcome.missing[:_MISSING_SHOWN]))
    more = ", …" if number > _MISSING_SHOWN else ""
    verb = "is" if number == 1 else "are"
    message = f"{number:,} of the ids {verb} not among the {space_of(change.parked)}: {shown}{more}"
    if not outcome.elsewhere:
        return f"{message}; `{listing(database, parked=change.parked)}` shows the ids"
    known = ", ".join(map(str, outcome.elsewhere))
    return f"{message}; among the {space_of(not change.parked)}: {known} ({change.elsewhere})"


def _print(outcome: Outcome, database: str, change: Change, *, as_json: bool) -> None:
    space = space_of(change.parked)
    if as_json:
        done, missing = outcome.done, outcome.missing
        print_json({"database": database, change.done: done, "missing": missing})
    else:
        print_lines(f"{counted(outcome.done, space)} {change.done}")
    if outcome.missing:
        say(_missing(outcome, database, change))
    if outcome.trouble is not None:
        say(outcome.trouble)
