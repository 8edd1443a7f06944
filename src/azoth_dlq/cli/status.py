"""`azoth-dlq status`: what is in a file, which is only read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from azoth_dlq import clock
from azoth_dlq.cli.alarm import EXIT_CODES, alarm_options, bounds_of, parsed_duration
from azoth_dlq.cli.database import database_argument, readable_store_of
from azoth_dlq.cli.exposition import exposition
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.options import any_given, load_config, settings_options
from azoth_dlq.cli.output import (
    counted,
    duration_text,
    json_option,
    live_option,
    print_json,
    print_lines,
    print_ranking,
    print_table,
    say,
)
from azoth_dlq.cli.sparkline import timeline_lines
from azoth_dlq.cli.times import instant_text, utc_option
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.durations import parse_duration
from azoth_dlq.errors import ConfigError
from azoth_dlq.last_drain import settings_of_last_drain
from azoth_dlq.status import COMMONEST_GROUPS, Status, look

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from azoth_dlq.store.base import Store
    from azoth_dlq.types import Drainer

# The settings that decide which letters are due.
_DECISIVE: Final = ("max_retries", "backoff", "min_age", "jitter")
_LEAST_WATCH: Final = 100_000  # µs
_SOURCES: Final = {
    "given": "given settings",
    "last_drain": "settings of the last drain",
    "defaults": "defaults",
}


def _seconds(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text, "watch", minimum=_LEAST_WATCH) / 1_000_000
    except ConfigError as error:
        message = str(error).removeprefix("watch=")  # click names the option
        raise click.BadParameter(message, context, option) from None


class Settings(NamedTuple):
    """The settings that decide which letters are due, and where they come from: a key of
    `_SOURCES`."""

    config: DlqReplayConfig
    source: str


@click.command(
    "status",
    cls=Command,
    short_help="Count the letters in a file, which is only read.",
    exit_codes=EXIT_CODES,
    see_also=("list", "drain", "run"),
    epilog="""\b
    Examples:
      azoth-dlq status projection.db
      azoth-dlq status projection.db --json
      azoth-dlq status projection.db --watch
      azoth-dlq status projection.db --watch 10s --json
      azoth-dlq status projection.db --over 24h
      azoth-dlq status projection.db --min-age 0 --backoff fixed=0
      azoth-dlq status projection.db --exit-code --due-above 100 --oldest-due-above 15m
      azoth-dlq status projection.db --prometheus

    Which letters are due depends on the settings: those given, as `drain` would take them, else
    those of the last drain. The file is never written.

    \b
    For the textfile collector of node_exporter, in a crontab (one line):
      * * * * * cd /var/lib/node_exporter && /srv/.venv/bin/azoth-dlq status /srv/projection.db
        --prometheus > azoth.prom.tmp && mv azoth.prom.tmp azoth.prom
    """,
)
@database_argument
@click.option(
    "--over",
    metavar="DURATION",
    callback=parsed_duration,
    help="Show failures over the last DURATION, not since the first.",
)
@alarm_options
@click.option("--prometheus", is_flag=True, help="Print the text format of Prometheus on stdout.")
@utc_option
@json_option
@click.option(
    "--watch",
    metavar="[DURATION]",
    is_flag=False,
    flag_value="2",
    callback=_seconds,
    help=(
        "Look again and again, every 2 seconds or as given, until q or Ctrl-C. With --json each "
        "look is a document in a line of its own."
    ),
)
@live_option
@partial(settings_options, only=_DECISIVE)
def command(  # noqa: PLR0913 -- one keyword an option
    *,
    database: str,
    over: timedelta | None,
    by_exit_code: bool,
    due_above: int | None,
    parked_above: int | None,
    oldest_due_above: timedelta | None,
    prometheus: bool,
    watch: float | None,
    no_live: bool,
    as_json: bool,
    config: str | None,
    **options: Any,
) -> int:
    """Count the letters in DB: due or not, how old, by retry count, type and last error, and when
    they failed."""
    bounds = bounds_of(
        by_exit_code=by_exit_code,
        due_above=due_above,
        parked_above=parked_above,
        oldest_due_above=oldest_due_above,
    )
    if prometheus and as_json:
        raise click.UsageError("--prometheus and --json cannot go together; give one of them")
    given = load_config(config, options) if any_given(config, options) else None
    if watch is not None:
        if prometheus or bounds is not None:
            raise click.UsageError("--watch goes on; --prometheus and --exit-code are of one look")
        again = partial(_look, database, given, over)
        _watch(again, database, watch, as_json=as_json, live=not no_live)
        return 0
    status, settings = _look(database, given, over, groups=0 if prometheus else COMMONEST_GROUPS)
    if as_json:
        print_json(_document(status, settings, database))
    elif prometheus:
        click.echo("\n".join(exposition(status, database)))
    else:
        _print(status, settings, database)
    return 0 if bounds is None else bounds.exit_code(status)


def _look(
    database: str,
    given: DlqReplayConfig | None,
    over: timedelta | None = None,
    *,
    groups: int = COMMONEST_GROUPS,
) -> tuple[Status, Settings]:
    with readable_store_of(database) as store:
        settings = Settings(given, "given") if given else _of_last_drain(store, database)
        return look(store, settings.config, clock.now(), over=over, groups=groups), settings


def _watch(
    look_again: Callable[[], tuple[Status, Settings]],
    database: str,
    seconds: float,
    *,
    as_json: bool,
    live: bool,
) -> None:
    from azoth_dlq.cli.watch import Seen, watch_file  # noqa: PLC0415 -- one look needs none of it

    def see() -> Seen:
        status, settings = look_again()
        return Seen(status, _document(status, settings, database))

    watch_file(database, see, seconds, as_json=as_json, live=live)


def _of_last_drain(store: Store, database: str) -> Settings:
    last = settings_of_last_drain(store)
    if last.trouble is not None:
        told = f"the last drain's settings in {database} cannot be used, so defaults are"
        say(f"{told}: {last.trouble}")
    return Settings(last.config, last.source)


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
            ("permanent failures", status.permanent_failures, _parked(status.permanent_failures)),
            ("in hand", status.in_hand, _in_hand(status.in_hand)),
            ("stopped", "no" if status.stopped_at is None else "yes", _stopped(status)),
            ("draining now", len(status.draining), ""),
            *(("", "", _drainer(drainer, status.at)) for drainer in status.draining),
        ]
    )
    if status.failures is not None:
        print_lines("", *timeline_lines(status.failures))
    if status.dead_letters:
        retries = [(str(count), number) for count, number in status.by_retry_count.items()]
        _print_ranking("by retry count", retries)
        _print_ranking("by event type", status.by_type)
        groups = [(f"{one.fingerprint}  {one.template}", one.count) for one in status.by_group]
        _print_ranking("by group of last errors (see `azoth-dlq groups`)", groups)
    _print_ranking("parked, by event type", status.parked_by_type)
    _print_ranking("parked, by reason", status.parked_by_reason)
    shown = settings.config.to_mapping()
    print_lines("", f"What is due, by {_SOURCES[settings.source]}:")
    print_lines(*(f"  {name} = {shown[name]}" for name in _DECISIVE))


def _print_ranking(heading: str, rows: list[tuple[str, int]]) -> None:
    if rows:
        print_lines("")
        print_ranking(heading, rows)


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
    told = f"process {drainer.pid} on {drainer.host}, {_since(drainer.since, now)}"
    return f"{told}, {counted(drainer.in_hand, 'letters')} in hand" if drainer.in_hand else told


def _parked(letters: int) -> str:
    return "parked: no drain attempts them; list --parked shows them" if letters else ""


def _in_hand(letters: int) -> str:
    return "of the dead letters: their handlers are called now" if letters else ""


def _since(instant: datetime, now: datetime) -> str:
    return f"for {duration_text(now - instant)} (since {instant_text(instant)})"


def _next_drain_parks(letters: int) -> str:
    return f"the next drain parks {'it' if letters == 1 else 'them'}" if letters else ""


def _wrong_clock(letters: int) -> str:
    return "some clock is wrong" if letters else ""
