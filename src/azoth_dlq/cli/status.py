"""`azoth-dlq status`: what is in a file, which is only read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from azoth_dlq import clock
from azoth_dlq.cli.database import database_argument, readable_store_of
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.options import any_given, load_config, settings_options
from azoth_dlq.cli.output import (
    duration_text,
    json_option,
    print_json,
    print_lines,
    print_ranking,
    print_table,
    say,
)
from azoth_dlq.cli.times import instant_text, utc_option
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.errors import ConfigError
from azoth_dlq.status import Status, look

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from azoth_dlq.store.base import Store
    from azoth_dlq.types import Drainer

# The settings that decide which letters are due.
_DECISIVE: Final = ("max_retries", "backoff", "min_age", "jitter")
_SOURCES: Final = {
    "given": "given settings",
    "last_drain": "settings of the last drain",
    "defaults": "defaults",
}


class Settings(NamedTuple):
    """The settings that decide which letters are due, and where they come from: a key of
    `_SOURCES`."""

    config: DlqReplayConfig
    source: str


@click.command(
    "status",
    cls=Command,
    short_help="Count the letters in a file, which is only read.",
    see_also=("list", "drain", "run"),
    epilog="""\b
    Examples:
      azoth-dlq status projection.db
      azoth-dlq status projection.db --json
      azoth-dlq status projection.db --min-age 0 --backoff fixed=0

    Which letters are due depends on the settings: those given, as `drain` would take them, else
    those of the last drain. The file is never written.
    """,
)
@database_argument
@utc_option
@json_option
@settings_options
def command(*, database: str, as_json: bool, config: str | None, **options: Any) -> int:
    """Count the letters in DB: due or not, how old, by retry count and by last error."""
    given = load_config(config, options) if any_given(config, options) else None
    with readable_store_of(database) as store:
        settings = Settings(given, "given") if given else _of_last_drain(store, database)
        status = look(store, settings.config, clock.now())
    if as_json:
        print_json(_document(status, settings, database))
    else:
        _print(status, settings, database)
    return 0


def _of_last_drain(store: Store, database: str) -> Settings:
    recorded = store.figures(0).settings
    if recorded is None:
        return Settings(DlqReplayConfig(), "defaults")
    try:
        config = DlqReplayConfig.from_mapping(json.loads(recorded))
    except (ConfigError, ValueError, TypeError, RecursionError) as error:
        say(f"the last drain's settings in {database} cannot be used, so defaults are: {error}")
        return Settings(DlqReplayConfig(), "defaults")
    return Settings(config, "last_drain")


def _document(status: Status, settings: Settings, database: str) -> dict[str, Any]:
    return {
        "database": database,
        **status.as_dict(),
        "settings_from": settings.source,
        "settings": settings.config.to_mapping(),
    }


def _print(status: Status, settings: Settings, database: str) -> None:
    print_lines(f"{database} at {instant_text(status.at)}", "")
    print_table(
        [
            ("dead letters", status.dead_letters, _age(status.oldest_age)),
            ("  due now", status.due, _age(status.oldest_due_age)),
            ("  not due", status.not_due, _next(status)),
            ("  exhausted", status.exhausted, _next_drain_parks(status.exhausted)),
            ("  unreadable", status.unreadable, _next_drain_parks(status.unreadable)),
            ("in the future", status.ahead, _wrong_clock(status.ahead)),
            ("permanent failures", status.permanent_failures, ""),
            ("stopped", "no" if status.stopped_at is None else "yes", _stopped(status)),
            ("draining now", len(status.draining), ""),
            *(("", "", _drainer(drainer, status.at)) for drainer in status.draining),
        ]
    )
    if status.dead_letters:
        retries = [(str(count), number) for count, number in status.by_retry_count.items()]
        print_lines("")
        print_ranking("by retry count", retries)
        print_lines("")
        print_ranking("by last error", status.by_error)
    shown = settings.config.to_mapping()
    print_lines("", f"What is due, by {_SOURCES[settings.source]}:")
    print_lines(*(f"  {name} = {shown[name]}" for name in _DECISIVE))


def _age(age: timedelta | None) -> str:
    return "" if age is None else f"the oldest for {duration_text(age)}"


def _next(status: Status) -> str:
    if status.next_due is None:
        return ""
    wait = duration_text(status.next_due - status.at)
    return f"the next in {wait} ({instant_text(status.next_due)})"


def _stopped(status: Status) -> str:
    if status.stopped_at is None:
        return ""
    return f"by failures in a row, until a letter succeeds; {_since(status.stopped_at, status.at)}"


def _drainer(drainer: Drainer, now: datetime) -> str:
    return f"process {drainer.pid} on {drainer.host}, {_since(drainer.since, now)}"


def _since(instant: datetime, now: datetime) -> str:
    return f"for {duration_text(now - instant)} (since {instant_text(instant)})"


def _next_drain_parks(letters: int) -> str:
    return f"the next drain parks {'it' if letters == 1 else 'them'}" if letters else ""


def _wrong_clock(letters: int) -> str:
    return "some clock is wrong" if letters else ""
