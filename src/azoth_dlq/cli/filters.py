"""Options that say which letters are meant: an option for each field of `LetterFilter`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from azoth_dlq.durations import from_microseconds, parse_duration
from azoth_dlq.errors import ConfigError
from azoth_dlq.filters import LetterFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_INTEGER: Final = re.compile(r"[0-9]{1,19}")


class _Option(NamedTuple):
    flag: str
    field: str
    metavar: str
    help: str


_OPTIONS: Final = (
    _Option(
        "--error",
        "error",
        "TEXT",
        "TEXT is in their first error, error_message (ASCII in any case)",
    ),
    _Option("--type", "event_type", "TYPE", "events of this type: what is before the first colon"),
    _Option("--older-than", "min_age", "DURATION", "failed at least so long ago"),
    _Option("--newer-than", "max_age", "DURATION", "failed at most so long ago"),
    _Option("--min-retry-count", "min_retry_count", "N", "attempted at least N times"),
    _Option("--max-retry-count", "max_retry_count", "N", "attempted at most N times"),
)

parked_option: Callable[[Any], Any] = click.option(
    "--parked", is_flag=True, help="Of the permanent failures, whose ids are their own."
)


def filter_options(command: _Command) -> _Command:
    """Add an option for each condition of a filter to a command."""
    for option in reversed(_OPTIONS):
        command = click.option(
            option.flag,
            option.field,
            metavar=option.metavar,
            help=f"Only letters that fit: {option.help}.",
            callback=_checked,
        )(command)
    return command


def filter_of(conditions: Mapping[str, Any]) -> LetterFilter:
    """Make the filter of the options that were given. Errors: click.UsageError."""
    try:
        return LetterFilter(**conditions)
    except ConfigError as error:
        # Each is allowed by itself, so two of them leave nothing.
        message = str(error)
        for option in _OPTIONS:
            message = message.replace(option.field, option.flag)
        raise click.UsageError(message, click.get_current_context()) from None


def _checked(context: click.Context, option: click.Parameter, text: str | None) -> Any:
    """The value of one condition, refused where `LetterFilter` refuses it."""
    if text is None:
        return None
    field = str(option.name)
    try:
        value = _value(field, text)
        LetterFilter(**{field: value})
    except ConfigError as error:
        # click names the option.
        message = str(error).removeprefix(f"{field}=")
        raise click.BadParameter(message, context, option) from None
    return value


def _value(field: str, text: str) -> Any:
    if field.endswith("_age"):
        return from_microseconds(parse_duration(text, field))
    if field.endswith("_count") and _INTEGER.fullmatch(text):
        return int(text)
    return text
