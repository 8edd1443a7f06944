"""`azoth-dlq show`: everything about a letter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

from azoth_dlq import clock
from azoth_dlq.cli.database import database_argument, readable_store_of
from azoth_dlq.cli.filters import (
    filter_options,
    find_letters,
    parked_option,
    wanted_of,
)
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.letters import (
    missing_text,
    no_such_letter,
    read_letter,
    space_key,
    space_of,
    stored_instant_text,
)
from azoth_dlq.cli.numbers import HOW_MANY
from azoth_dlq.cli.output import (
    counted,
    duration_text,
    json_option,
    print_json,
    print_json_list,
    print_lines,
    say,
)
from azoth_dlq.cli.times import instant_text, utc_option
from azoth_dlq.clock import to_datetime
from azoth_dlq.last_drain import settings_of_last_drain
from azoth_dlq.next_attempt import next_attempt
from azoth_dlq.shown import (
    Redact,
    age_of,
    as_it_is,
    letter_as_dict,
    payload_of,
    redacted,
    whole_letter_as_dict,
)
from azoth_dlq.types import FailedEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azoth_dlq.kernels.eligibility import Rules
    from azoth_dlq.store.base import Letters
    from azoth_dlq.types import AttemptRecord, PermanentFailure

_LONGEST_PAYLOAD: Final = 64 * 1024  # bytes, for people
_LONGEST_TEXT: Final = 64 * 1024  # characters of a column, as above
_TIMESTAMPS: Final = {"failed_at", "last_retry_at", "not_before", "marked_permanent_at"}
_FORMS: Final = {"json": "as JSON, indented here", "text": "as text", "hex": "in hex"}
_REDACTED: Final = "[redacted]"


def _patterns(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> list[re.Pattern[str]]:
    try:
        return [re.compile(text) for text in texts]
    except (re.error, OverflowError, RecursionError) as error:
        raise click.BadParameter(f"{error}; a regular expression", context, option) from None


@click.command(
    "show",
    short_help="Show everything about a letter; the file is only read.",
    cls=Command,
    see_also=("list", "requeue", "discard"),
    epilog="""\b
    Examples:
      azoth-dlq show projection.db 17
      azoth-dlq show projection.db 17 --redact '[0-9]{13,16}' --redact 'token=\\S+'
      azoth-dlq show projection.db 3 --parked --no-payload --json
      azoth-dlq show projection.db --group 5f0c --limit 3

    Of several letters that fit, the newest are shown. A payload that is a JSON object or array is
    indented, other text is shown as it is but for its control characters, and what is no text in
    hex. When it is attempted next is by the settings of the last drain. Of the payload and of every
    other text the first 64 KiB are shown; with --json the whole, a payload
    in base64 where it is not UTF-8. With --json one id prints one letter, and whatever else is
    given a list of them. The file is never written.
    """,
)
@database_argument
@parked_option
@filter_options()
@click.option(
    "--payload/--no-payload",
    default=True,
    show_default=True,
    help="Whether to show the event's bytes.",
)
@click.option(
    "--redact",
    metavar="REGEX",
    multiple=True,
    callback=_patterns,
    help=f"Show {_REDACTED} for what fits in payload, errors and tracebacks; may be repeated.",
)
@click.option(
    "--limit", type=HOW_MANY, default=10, show_default=True, metavar="N", help="How many to show."
)
@utc_option
@json_option
def command(  # noqa: PLR0913 -- one keyword an option
    *,
    database: str,
    parked: bool,
    payload: bool,
    redact: list[re.Pattern[str]],
    limit: int,
    as_json: bool,
    **conditions: Any,
) -> int:
    """Show letters in DB: their columns, errors, attempts and payload."""
    now = clock.now()
    wanted = wanted_of(conditions, parked=parked)
    if wanted.is_empty:
        raise click.UsageError(
            "no letter is given; give an id, as `list` shows them, or a filter",
            click.get_current_context(),
        )
    the_one = wanted.named[0] if _is_one(conditions["ids"], wanted.named) else None
    if wanted.is_filtered:
        the_one = None
    with readable_store_of(database) as store:
        if the_one is not None and read_letter(store, the_one, parked=parked) is None:
            way = f"{'leave out' if parked else 'give'} --parked to see that one"
            raise no_such_letter(store, the_one, database, way=way, parked=parked)
        ids = find_letters(store, wanted, now)
        if missing := wanted.missing_from(ids):
            say(missing_text(missing, space_of(parked)))
        rules = settings_of_last_drain(store).config.rules(now)
        letters = _Letters(rules, parked=parked, payload=payload, redact=_redacting(redact))
        shown = ids[len(ids) - min(limit, len(ids)) :]
        if not as_json:
            if not ids:
                raise click.ClickException(f"none of the {space_of(parked)} in {database} fits")
            letters.print(store, shown, len(ids))
            return 0
        documents = letters.as_dicts(store, shown)
        if the_one is not None:
            print_json({"database": database, "ids_of": space_key(parked), **next(documents)})
            return 0
        head = {"database": database, "ids_of": space_key(parked), "total": len(ids)}
        print_json_list(head, "letters", documents)
    return 0


def _is_one(arguments: Sequence[object], named: Sequence[int]) -> bool:
    return len(arguments) == len(named) == 1


def _redacting(patterns: Sequence[re.Pattern[str]]) -> Redact:
    if not patterns:
        return as_it_is

    def redact(text: str) -> str:
        for pattern in patterns:
            text = pattern.sub(_REDACTED, text)
        return text

    return redact


class _Letters:
    """How letters are shown."""

    def __init__(self, rules: Rules, *, parked: bool, payload: bool, redact: Redact) -> None:
        """`rules` tell when they are attempted next."""
        self._rules = rules
        self._parked = parked
        self._payload = payload
        self._redact = redact

    def as_dicts(self, store: Letters, ids: Sequence[int]) -> Iterator[dict[str, Any]]:
        for letter, history in self._read(store, ids):
            yield whole_letter_as_dict(
                letter, history, self._rules, self._redact, payload=self._payload
            )

    def print(self, store: Letters, ids: Sequence[int], total: int) -> None:
        if total > 1:
            print_lines(f"{len(ids):,} of {total:,} that fit, newest first", "")
        for number, (letter, history) in enumerate(self._read(store, ids)):
            print_lines(*([""] if number else []), f"{letter.id} of the {space_of(self._parked)}")
            print_lines("")
            self._print_columns(letter)
            self._print_history(history)
            if self._payload:
                self._print_payload(letter.event_bytes)

    def _read(
        self, store: Letters, ids: Sequence[int]
    ) -> Iterator[tuple[FailedEvent | PermanentFailure, list[AttemptRecord]]]:
        """Newest first, each by itself, for it comes with its payload."""
        for letter_id in reversed(ids):
            letter = read_letter(store, letter_id, parked=self._parked)
            if letter is not None:
                yield letter, store.history(letter_id, parked=self._parked)

    def _print_columns(self, letter: FailedEvent | PermanentFailure) -> None:
        columns = letter_as_dict(letter, self._rules.now, self._redact)
        age = age_of(letter, self._rules.now)
        columns["event_type"] = columns["event_type"] or "?"
        columns["event_size"] = counted(columns["event_size"], "bytes")
        for name in columns.keys() & _TIMESTAMPS:
            if columns[name] is not None:
                columns[name] = stored_instant_text(columns[name])
        columns["age"] = "?" if age is None else duration_text(age)
        if isinstance(letter, FailedEvent):
            columns["next attempt"] = _next_attempt_text(letter, self._rules)
        shown = {name.replace("_", " "): one for name, one in columns.items() if one is not None}
        width = max(map(len, shown))
        for name, value in shown.items():
            first, *others = _bounded(str(value)).splitlines() or [""]
            print_lines(f"  {name:<{width}}  {first}".rstrip())
            print_lines(*(f"  {'':<{width}}  {line}" for line in others))

    def _print_history(self, history: Sequence[AttemptRecord]) -> None:
        if history:
            is_edited = any(record.outcome in ("edited", "put back") for record in history)
            edits = " and changes of the payload" if is_edited else ""
            print_lines("", f"Attempts that did not succeed{edits}, oldest first:")
        for record in history:
            seconds = None if record.duration is None else record.duration.total_seconds()
            took = "" if seconds is None else f" after {seconds:.3f} s"
            # A death has no type.
            kind = f"{self._redact(record.error_type)}: " if record.error_type else ""
            error = _bounded(f"{kind}{self._redact(record.message)}").splitlines()
            traceback = _bounded(self._redact(record.traceback)).splitlines()
            print_lines(f"  {instant_text(record.at)}  {record.outcome}{took}")
            print_lines(*(f"    {line}" for line in [*error, *traceback]))

    def _print_payload(self, event_bytes: bytes) -> None:
        shown = redacted(event_bytes, self._redact)
        payload = payload_of(shown, _LONGEST_PAYLOAD)
        cut = f", its first {_LONGEST_PAYLOAD:,} bytes" if len(shown) > _LONGEST_PAYLOAD else ""
        size = counted(len(event_bytes), "bytes")
        print_lines("", f"Payload, {size}, {_FORMS[payload.form]}{cut}:")
        indent = "  " if payload.form == "hex" else ""
        for line in payload.lines:
            click.echo(f"{indent}{line}")  # with its tabs


def _next_attempt_text(letter: FailedEvent, rules: Rules) -> str:
    state, at = next_attempt(letter, rules)
    if at is not None:
        return f"in {duration_text(at - to_datetime(rules.now))}, {instant_text(at)}"
    never = f"none: it is {state}, and the next drain parks it"
    return "due now" if state == "due" else never


def _bounded(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    return f"{text[:_LONGEST_TEXT]} … (cut: {len(text):,} characters; --json has all of them)"
