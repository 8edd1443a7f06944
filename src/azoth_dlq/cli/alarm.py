"""What a monitor is told by the exit code of `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from azoth_dlq.cli.numbers import HOW_MANY
from azoth_dlq.durations import from_microseconds, parse_duration
from azoth_dlq.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from azoth_dlq.status import Status

NOTHING, DUE, PARKED = 0, 3, 4
EXIT_CODES: Final = {
    NOTHING: "done; with --exit-code also: nothing is due, nothing is parked",
    DUE: "with --exit-code: letters are due, more or older than is allowed",
    PARKED: "with --exit-code: permanent failures, more than are allowed; also where letters are "
    "due",
}


class Bounds(NamedTuple):
    """What is no reason for an alarm; of due letters, their number and age must both be beyond."""

    due: int = 0
    parked: int = 0
    oldest_due: timedelta | None = None

    def exit_code(self, status: Status) -> int:
        if status.permanent_failures > self.parked:
            return PARKED
        age = status.oldest_due_age
        is_old = self.oldest_due is None or (age is not None and age > self.oldest_due)
        return DUE if status.due > self.due and is_old else NOTHING


def parsed_duration(context: click.Context, option: click.Parameter, text: str | None) -> Any:
    """The duration that an option was given. Errors: click.BadParameter."""
    if text is None:
        return None
    name = str(option.name)
    try:
        return from_microseconds(parse_duration(text, name, minimum=0))
    except ConfigError as error:
        # click names the option.
        raise click.BadParameter(str(error).removeprefix(f"{name}="), context, option) from None


def alarm_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--exit-code` and its bounds to a command."""
    for decorate in (
        click.option(
            "--oldest-due-above",
            metavar="DURATION",
            callback=parsed_duration,
            help="With --exit-code: 3 only where the oldest due letter failed longer ago.",
        ),
        click.option(
            "--parked-above",
            metavar="N",
            type=HOW_MANY,
            help="With --exit-code: 4 only above N permanent failures.  [default: 0]",
        ),
        click.option(
            "--due-above",
            metavar="N",
            type=HOW_MANY,
            help="With --exit-code: 3 only above N due letters.  [default: 0]",
        ),
        click.option(
            "--exit-code",
            "by_exit_code",
            is_flag=True,
            help="For monitors: exit with 3 where letters are due, 4 where some are parked.",
        ),
    ):
        command = decorate(command)
    return command


def bounds_of(
    *,
    by_exit_code: bool,
    due_above: int | None,
    parked_above: int | None,
    oldest_due_above: timedelta | None,
) -> Bounds | None:
    """The bounds that were given, None without `--exit-code`. Errors: click.UsageError."""
    given = (due_above, parked_above, oldest_due_above)
    if not by_exit_code:
        if any(bound is not None for bound in given):
            message = "--due-above, --parked-above and --oldest-due-above go with --exit-code"
            raise click.UsageError(message, click.get_current_context())
        return None
    return Bounds(due_above or 0, parked_above or 0, oldest_due_above)
