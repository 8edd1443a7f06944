"""Changing many letters: which, whether that is meant, and in chunks that let others write."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from azoth_dlq.acting import Act, checked_name
from azoth_dlq.chunks import taking_turns
from azoth_dlq.cli.database import queue_of
from azoth_dlq.cli.filters import telling_options
from azoth_dlq.cli.letters import MISSING_SHOWN, listing, missing_text, read_letter, space_of
from azoth_dlq.cli.output import (
    command_line,
    counted,
    first_line,
    json_option,
    print_json,
    print_lines,
    say,
    stdout_reserved,
)
from azoth_dlq.cli.signals import Received, ending_in_order
from azoth_dlq.errors import ConfigError, StorageError
from azoth_dlq.groups import group_letters

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator, Sequence

    from azoth_dlq.cli.filters import Wanted
    from azoth_dlq.groups import LetterGroup
    from azoth_dlq.store.base import Store

_GROUPS_SHOWN: Final = 5


class Change(NamedTuple):
    """What is done to letters: the verb of the audit, how it is done to some ids (step by step,
    coming back before each transaction), and the words that tell it."""

    action: str
    steps: Callable[[Store, Act, array[int]], Iterator[None]]
    done: str  # requeued
    announced: str  # will be moved …
    elsewhere: str  # what to do about ids of the other space
    does_more: bool = False  # also where no letter fits


class Consent(NamedTuple):
    """How far it may go: `every` letter is meant where nothing narrows; `yes`: asking is needless;
    `dry_run`: nothing is done; `by`: who does it (None: the login name)."""

    every: bool
    yes: bool
    dry_run: bool
    by: str | None

    def check(self, wanted: Wanted) -> None:
        """Errors: click.UsageError."""
        if self.every and not wanted.is_empty:
            raise wrong("--all cannot go together with ids or a filter; give one of them")
        if wanted.is_empty and not self.every:
            raise wrong("no letters are given: give ids or a filter, or --all for every one")


class Task(NamedTuple):
    """What is to be done to which letters of a file."""

    database: str
    change: Change
    wanted: Wanted
    consent: Consent


class Matched(NamedTuple):
    """The letters that fit, as frozen now, and the groups that most of them are of."""

    ids: array[int]
    groups: list[LetterGroup]
    text: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "matched": len(self.ids),
            "groups": [
                {"fingerprint": g.fingerprint, "count": g.count, "template": g.template}
                for g in self.groups
            ],
        }


@dataclass
class Outcome:
    """What was done and committed, the ids that were given and not there, those of the first of
    them that are among the other space, and what ended it early."""

    done: int = 0
    missing: list[int] = field(default_factory=list)
    elsewhere: list[int] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    trouble: str | None = None
    exit_code: int = 0


def _name(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    try:
        return None if name is None else checked_name(name)
    except ConfigError as error:
        message = str(error).removeprefix("by=")  # click names the option
        raise click.BadParameter(message, context, option) from None


by_option: Callable[[Any], Any] = click.option(
    "--as",
    "by",
    metavar="NAME",
    callback=_name,
    help="Who does it, for `audit`; by default the login name.",
)
yes_option: Callable[[Any], Any] = click.option("--yes", is_flag=True, help="Go on without asking.")
dry_run_option: Callable[[Any], Any] = click.option(
    "--dry-run", is_flag=True, help="Only say which letters are meant."
)


def consent_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--all`, `--dry-run`, `--yes` and `--as`, which come as `consent`, and `--json`."""

    @wraps(command)
    def consenting(*, every: bool, yes: bool, dry_run: bool, by: str | None, **rest: Any) -> int:
        done: int = command(consent=Consent(every, yes, dry_run, by), **rest)
        return done

    every = click.option("--all", "every", is_flag=True, help="Every letter, whatever it is.")
    decorated: Callable[..., Any] = consenting
    for decorate in (json_option, by_option, yes_option, dry_run_option, every):
        decorated = decorate(decorated)
    return decorated


def change_letters(task: Task, *, as_json: bool) -> int:
    """Do it, and tell what was done; the exit code."""
    _, change, wanted, consent = task
    consent.check(wanted)
    with queue_of(task.database) as dlq:
        act = Act(dlq.store, change.action, wanted.filter, consent.by)
        matched = look_at(dlq.store, act, task.database, change.announced)
        outcome = Outcome(missing=wanted.missing_from(matched.ids))
        if not consent.dry_run and (matched.ids or change.does_more):
            if wanted.is_filtered or consent.every:
                agree(matched, yes=consent.yes)
            _carry_out(change.steps(dlq.store, act, matched.ids), act, outcome)
            if outcome.trouble is None:
                act.details["left_alone"] = len(matched.ids) - act.done
        outcome.details = act.details
        outcome.exit_code = outcome.exit_code or int(bool(outcome.missing))
        if outcome.trouble is None:
            shown = outcome.missing[:MISSING_SHOWN]
            outcome.elsewhere = _elsewhere(dlq.store, shown, parked=wanted.parked)
    _print(outcome, matched, task, as_json=as_json)
    return outcome.exit_code


def look_at(store: Store, act: Act, database: str, announced: str) -> Matched:
    """Find the letters, and say on stderr which: how many, and of which groups."""
    with telling_options():
        ids = act.freeze()
    total = counted(store.count(parked=act.parked), space_of(act.parked))
    text = f"{len(ids):,} of {total} in {database} {announced}"
    groups = group_letters(store, ids, parked=act.parked, limit=_GROUPS_SHOWN).groups
    say(text)
    for line in _group_lines(groups, len(ids)):
        say(line)
    return Matched(ids, groups, text)


def print_matched(matched: Matched, database: str, *, as_json: bool) -> None:
    """Print what a dry run found."""
    if as_json:
        print_json({"database": database, **matched.as_dict(), "dry_run": True})
    else:
        print_lines(f"Without --dry-run, {matched.text}")


def _group_lines(groups: Sequence[LetterGroup], total: int) -> Iterator[str]:
    width = len(f"{total:,}")
    for group in groups:
        template = first_line(group.template)
        yield f"  {group.count:>{width},}  {group.share:>4.0%}  {group.fingerprint}  {template}"
    rest = total - sum(group.count for group in groups)
    if rest:
        yield f"  {rest:>{width},}  {rest / total:>4.0%}  of other groups"


def agree(matched: Matched, *, yes: bool) -> None:
    """Ask whether to go on. Errors: click.UsageError where nobody can be asked, ClickException."""
    if yes:
        return
    if not is_terminal():
        raise wrong(f"{matched.text}; this is no terminal, so pass --yes to go on")
    # Of older click, a part of the prompt goes to stdout.
    with stdout_reserved():
        if not click.confirm("Go on?", err=True):
            raise click.ClickException("nothing was changed")


def is_terminal() -> bool:
    """Whether somebody can be asked."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def wrong(message: str) -> click.UsageError:
    return click.UsageError(message, click.get_current_context())


def _carry_out(steps: Iterator[None], act: Act, outcome: Outcome) -> None:
    """Change the letters, a transaction a step; what was committed stays, whatever comes."""
    with ending_in_order(_go_on_to_the_steps_end) as received:
        try:
            take_turns(steps, received)
        except KeyboardInterrupt:
            outcome.trouble = "interrupted; what was done is committed"
            outcome.exit_code = received.exit_code
        except StorageError as error:
            if not act.done:
                raise
            outcome.trouble = f"{error}; what was done before is committed"
            outcome.exit_code = 1
        outcome.done = act.done


def _go_on_to_the_steps_end(_number: int) -> None:
    """A signal is looked at between two steps."""


def take_turns(steps: Iterator[None], received: Received) -> None:
    """Take all steps, with pauses in which other writers get their turn.

    Errors: KeyboardInterrupt before the next one, where a signal came.
    """
    for _ in taking_turns(steps):
        if received.numbers:
            raise KeyboardInterrupt


def _elsewhere(store: Store, missing: list[int], *, parked: bool) -> list[int]:
    """Those of the ids that the other space has."""
    found = (read_letter(store, row_id, parked=not parked) for row_id in missing)
    return [letter.id for letter in found if letter is not None]


def _details(outcome: Outcome, task: Task) -> Iterator[str]:
    found = outcome.details
    if "attempts" in found:
        yield f"{counted(found['attempts'], 'records')} of attempts {task.change.done}"
    if "export" in found:
        way = command_line("import", task.database, found["export"])
        yield f"they are written to {found['export']}; `{way}` takes them back"
    if found.get("left_alone"):
        letters = counted(found["left_alone"], "letters")
        yield f"{letters} left alone: changed meanwhile, gone, or in the hands of a handler"


def _missing(outcome: Outcome, task: Task) -> str:
    parked = task.wanted.parked
    message = missing_text(outcome.missing, space_of(parked))
    if not outcome.elsewhere:
        return f"{message}; `{listing(task.database, parked=parked)}` shows the ids"
    known = ", ".join(map(str, outcome.elsewhere))
    return f"{message}; among the {space_of(not parked)}: {known} ({task.change.elsewhere})"


def _print(outcome: Outcome, matched: Matched, task: Task, *, as_json: bool) -> None:
    change = task.change
    if task.consent.dry_run:
        print_matched(matched, task.database, as_json=as_json)
    elif as_json:
        print_json(
            {
                "database": task.database,
                **matched.as_dict(),
                change.done: outcome.done,
                **outcome.details,
                "missing": outcome.missing,
            }
        )
    else:
        print_lines(f"{counted(outcome.done, space_of(task.wanted.parked))} {change.done}")
        for told in _details(outcome, task):
            print_lines(told)
    if outcome.missing:
        say(_missing(outcome, task))
    if outcome.trouble is not None:
        say(outcome.trouble)
