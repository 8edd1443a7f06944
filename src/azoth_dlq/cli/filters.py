"""Which letters are meant: ids and ranges as arguments, and an option for each other field of
`LetterFilter`; the same for every command."""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from azoth_dlq.acting import find
from azoth_dlq.cli.instants import parse_instant
from azoth_dlq.cli.output import duration_text
from azoth_dlq.durations import from_microseconds, parse_duration
from azoth_dlq.errors import ConfigError
from azoth_dlq.filters import LetterFilter
from azoth_dlq.ids import TEXT_FORMS, IdRanges, parse_ids

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from azoth_dlq.store.base import Letters

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_INTEGER: Final = re.compile(r"[0-9]{1,19}")
_BETWEEN_IDS: Final = re.compile(r"[\s,]+")
FROM_STDIN: Final = "-"
_READ_BYTES: Final = 2**20
_LONGEST_ID: Final = 100  # characters


class _Option(NamedTuple):
    flag: str
    field: str
    metavar: str
    help: str

    @property
    def parameter(self) -> str:
        """A name of its own: settings are named as fields are."""
        return f"of_{self.field}"


_OPTIONS: Final = (
    _Option(
        "--group",
        "group",
        "FINGERPRINT",
        "of this group of `groups`; its first four digits or more do",
    ),
    _Option(
        "--error",
        "error",
        "TEXT",
        "TEXT is in their first error, their latest, or the reason that they were parked for "
        "(ASCII in any case)",
    ),
    _Option("--type", "event_type", "TYPE", "events of this type: what is before the first colon"),
    _Option("--older-than", "min_age", "DURATION", "failed at least so long ago"),
    _Option("--newer-than", "max_age", "DURATION", "failed at most so long ago"),
    _Option("--since", "since", "TIME", "failed then or later"),
    _Option("--until", "until", "TIME", "failed then or earlier"),
    _Option("--min-retry-count", "min_retry_count", "N", "attempted at least N times"),
    _Option("--max-retry-count", "max_retry_count", "N", "attempted at most N times"),
    _Option("--parked-for", "min_parked_age", "DURATION", "parked at least so long ago"),
)
_FLAGS: Final = {"due": "--due"} | {option.field: option.flag for option in _OPTIONS}
_FIELDS: Final = {"ids": "ids", "due": "due"} | {one.parameter: one.field for one in _OPTIONS}
CONDITIONS: Final = tuple(_FIELDS)  # what a command gets, by name

parked_option: Callable[[Any], Any] = click.option(
    "--parked", is_flag=True, help="Of the permanent failures, whose ids are their own."
)


def conditions_text(given: Mapping[str, Any]) -> str:
    """What `LetterFilter.as_dict` gives, for people: `type refund, older than 2 h, due`."""
    return ", ".join(_condition_text(name, value) for name, value in given.items())


def _condition_text(field: str, value: Any) -> str:
    if field == "due":
        return "due" if value else "not due"
    name = _FLAGS.get(field, field).lstrip("-").replace("-", " ")
    if field.endswith("_age") and isinstance(value, int | float):
        return f"{name} {duration_text(timedelta(seconds=value))}"
    return f"{name} {value}"


class _Ids(click.ParamType):  # type: ignore[type-arg]  # older click takes none
    """An id, a range of ids, or `-` for those on stdin."""

    name = "ids"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> range | str:
        if isinstance(value, range) or value == FROM_STDIN:
            return value  # type: ignore[no-any-return]  # that is what it is
        try:
            return parse_ids(str(value))
        except ConfigError:
            self.fail(f"{str(value)!r}: must be {TEXT_FORMS}, or - for ids on stdin", param, ctx)


ids_argument: Callable[[Any], Any] = click.argument("ids", metavar="[ID]...", nargs=-1, type=_Ids())


def filter_options(*, by_parking: bool = False) -> Callable[[_Command], _Command]:
    """Add the ids and an option for each condition of a filter to a command. `by_parking`:
    `--older-than` counts from when a letter was parked."""

    def decorate(command: _Command) -> _Command:
        command = click.option(
            "--due/--not-due",
            "due",
            default=None,
            help="Only letters that a drain would attempt now, or only those that wait for their "
            "time, by the settings of the last drain.",
        )(command)
        for option in reversed(_OPTIONS):
            if by_parking and option.flag == "--older-than":
                continue
            more = ["--older-than"] if by_parking and option.flag == "--parked-for" else []
            command = click.option(
                option.flag,
                *more,
                option.parameter,
                metavar=option.metavar,
                help=f"Only letters that fit: {option.help}.",
                callback=_checked,
            )(command)
        decorated: _Command = ids_argument(command)
        return decorated

    return decorate


class Wanted(NamedTuple):
    """Which letters are meant, and the ids that were given one by one."""

    filter: LetterFilter
    named: list[int]

    @property
    def parked(self) -> bool:
        return bool(self.filter.parked)

    @property
    def is_empty(self) -> bool:
        """Whether nothing narrows."""
        return self.filter.is_empty

    @property
    def is_filtered(self) -> bool:
        """Whether anything but ids narrows."""
        return not replace(self.filter, ids=None).is_empty

    def missing_from(self, found: Sequence[int]) -> list[int]:
        """The ids that were given one by one and are not in `found`, which ascends; none, where a
        filter narrowed them."""
        return [] if self.is_filtered else [one for one in self.named if not _has(found, one)]


def _has(ascending: Sequence[int], letter_id: int) -> bool:
    place = bisect_left(ascending, letter_id)
    return place < len(ascending) and ascending[place] == letter_id


def wanted_of(conditions: Mapping[str, Any], *, parked: bool = False) -> Wanted:
    """Which letters the ids and options mean that were given. Errors: click.UsageError."""
    given = list(_given_ids(conditions["ids"]))
    ids = IdRanges(given) if conditions["ids"] else None
    with telling_options():  # each is allowed by itself, and two of them may leave nothing
        named = {_FIELDS[name]: value for name, value in conditions.items()}
        wanted = LetterFilter(**{**named, "ids": ids, "parked": parked})
    return Wanted(wanted, list(dict.fromkeys(one for one in given if isinstance(one, int))))


def find_letters(store: Letters, wanted: Wanted, now: int) -> array[int]:
    """The ids of those letters, ascending. Errors: click.UsageError, StorageError."""
    with telling_options():
        return find(store, wanted.filter, now)


@contextmanager
def telling_options() -> Iterator[None]:
    """Have an error that names a field of a filter name its option. Errors: click.UsageError."""
    try:
        yield
    except ConfigError as error:
        message = str(error)
        for field, flag in _FLAGS.items():
            message = re.sub(rf"\b{field}(?==|, which)", flag, message)
        raise click.UsageError(message, click.get_current_context()) from None


def _given_ids(arguments: Sequence[range | str]) -> Iterator[int | range]:
    """Of the arguments and, where one of them says so, of stdin."""
    for argument in arguments:
        for ids in [argument] if isinstance(argument, range) else _ids_on_stdin():
            yield ids.start if ids.stop - ids.start == 1 else ids


def _ids_on_stdin() -> Iterator[range]:
    """Ids and ranges between blanks, commas and line ends. Errors: click.UsageError."""
    if sys.stdin is None:
        return
    number, rest = 1, ""
    while part := sys.stdin.buffer.read(_READ_BYTES):
        *lines, last = (rest + part.decode("utf-8", "replace")).split("\n")
        for line in lines:
            yield from _ids_in(line, number)
            number += 1
        rest = _BETWEEN_IDS.split(last)[-1]  # it may go on in the next part
        if len(rest) > _LONGEST_ID:
            raise _no_id(rest, number)
        yield from _ids_in(last[: len(last) - len(rest)], number)
    yield from _ids_in(rest, number)


def _ids_in(line: str, number: int) -> Iterator[range]:
    for text in filter(None, _BETWEEN_IDS.split(line)):
        try:
            yield parse_ids(text)
        except ConfigError:
            raise _no_id(text, number) from None


def _no_id(text: str, number: int) -> click.UsageError:
    message = f"stdin, line {number}: {text[:40]!r}: must be {TEXT_FORMS}"
    return click.UsageError(message, click.get_current_context())


def _checked(context: click.Context, option: click.Parameter, text: str | None) -> Any:
    """The value of one condition, refused where `LetterFilter` refuses it."""
    if text is None:
        return None
    field = _FIELDS[str(option.name)]
    try:
        value = _value(field, text)
        LetterFilter(**{field: value})
    except ConfigError as error:
        # click names the option.
        message = str(error).removeprefix(f"{field}=")
        raise click.BadParameter(message, context, option) from None
    return value


def _value(field: str, text: str) -> Any:
    if field in ("since", "until"):
        return parse_instant(text, field)
    if field.endswith("_age"):
        return from_microseconds(parse_duration(text, field))
    if field.endswith("_count") and _INTEGER.fullmatch(text):
        return int(text)
    return text
