"""`azoth-dlq tune`: find the best settings for a file and its handlers, by trials on copies."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import click

from azoth_dlq.cli.database import FILE, database_argument, readable_store_of
from azoth_dlq.cli.findings import print_findings, write_settings
from azoth_dlq.cli.handlers import handlers_option, load_registry
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.options import load_config, settings_options
from azoth_dlq.cli.output import (
    counted,
    json_option,
    keep_log_quiet,
    say,
    stdout_reserved,
)
from azoth_dlq.cli.progress import trials_bar
from azoth_dlq.cli.signals import interrupting
from azoth_dlq.durations import parse_duration
from azoth_dlq.engine.failure import describe
from azoth_dlq.errors import ConfigError
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.tuning.copies import (
    AT_ONCE,
    copy_of,
    facts_of,
    megabytes,
    room_for_copies,
)
from azoth_dlq.tuning.search import BudgetTooSmall, Search
from azoth_dlq.tuning.trials import Trials

if TYPE_CHECKING:
    from azoth_dlq.config import DlqReplayConfig
    from azoth_dlq.tuning.copies import Copies, Facts
    from azoth_dlq.tuning.search import Findings

_MICROSECONDS: Final = 1_000_000


def _seconds(context: click.Context, option: click.Parameter, text: str) -> float:
    try:
        return parse_duration(text, str(option.name), minimum=_MICROSECONDS) / _MICROSECONDS
    except ConfigError as error:
        # click names the option.
        message = str(error).removeprefix(f"{option.name}=")
        raise click.BadParameter(message, context, option) from None


@click.command(
    "tune",
    cls=Command,
    short_help="Find the best settings by trials on copies.",
    see_also=("drain", "run"),
    epilog="""\b
    Examples:
      azoth-dlq tune projection.db --handlers bank.handlers:registry
      azoth-dlq tune projection.db --handlers bank.handlers:registry --budget 300 \\
        --write replay.toml

    The file itself is only read. Handlers are called many times for the same letters, on copies:
    what they write through their connection is thrown away, whatever else they do is done. Those
    registered with transactional=False are therefore not called, and their letters left out, but
    with --call-external. A process that is killed leaves its copies.

    Tried are other values of max_transaction_time, cache_size, mmap_size and batch_size, and,
    shown but never written, of SQLite's journal_mode and synchronous. They are compared in turn,
    in several rounds, with those given; one is better only where it is by more than two trials of
    the same differ.
    """,
)
@database_argument
@handlers_option
@click.option(
    "--budget",
    metavar="DURATION",
    default="60",
    show_default=True,
    callback=_seconds,
    help="How long it may take.",
)
@click.option(
    "--write",
    "output",
    metavar="FILE.toml",
    type=FILE,
    help="Write the settings found, for --config; a file that exists is never touched.",
)
@click.option(
    "--copies-in",
    metavar="FOLDER",
    type=click.Path(file_okay=False, exists=True),
    help="Where the copies lie; by default in the folder of DB, whose disk is then measured.",
)
@click.option("--call-external", is_flag=True, help="Call transactional=False handlers, too.")
@click.option("--now", is_flag=True, help="Also letters whose backoff has not passed yet.")
@json_option
@settings_options
def command(  # noqa: PLR0913 -- one keyword an option
    *,
    database: str,
    handlers: str,
    budget: float,
    output: str | None,
    copies_in: str | None,
    call_external: bool,
    now: bool,
    as_json: bool,
    config: str | None,
    **settings: Any,
) -> int:
    """Find the best settings for DB and its handlers, by trials on copies of it."""
    until = monotonic() + budget
    chosen = load_config(config, settings)
    written = _checked_output(output)
    registry = load_registry(handlers)
    keep_log_quiet()
    registry, left_out = (registry, []) if call_external else _without_external(registry, handlers)
    wait = chosen.busy_timeout.total_seconds()
    facts = _checked_facts(database, wait=wait)
    with (
        interrupting() as received,
        stdout_reserved(),
        room_for_copies(database, copies_in, facts.size) as folder,
    ):
        try:
            copies = _copies(database, folder, facts, left_out, wait=wait)
            trials = Trials(copies, registry, chosen, now=now)
            with trials_bar(received.check) as on_trial:
                findings = Search(
                    trials, chosen, facts, until=until, only_drains=now, on_trial=on_trial
                ).run()
        except KeyboardInterrupt:
            say("interrupted; the copies are removed")
            return received.exit_code
        except BudgetTooSmall as error:
            message = f"{budget:g} s are too few: {error}"
            raise click.BadParameter(message, param_hint="--budget") from None
        except Exception:
            raise
        except BaseException as error:  # noqa: BLE001 -- SystemExit and whatever else handlers raise
            say(f"a handler raised {describe(error)}, which ended the trials")
            return 1
        finally:
            received.is_over = True
    _tell(findings, database, chosen, written, as_json=as_json)
    return 0


def _tell(
    findings: Findings,
    database: str,
    chosen: DlqReplayConfig,
    written: tuple[str, Path] | None,
    *,
    as_json: bool,
) -> None:
    try:
        print_findings(findings, database, as_json=as_json)
    finally:  # also where the reader of the table has left
        if written is not None:
            write_settings(*written, findings, chosen, database)


def _checked_output(path: str | None) -> tuple[str, Path] | None:
    """See now, not when all is done, that it can be written, and where that is: handlers may change
    the directory. Errors: click.BadParameter."""
    if path is None:
        return None
    folder, name = os.path.split(path)
    try:
        os.lstat(path)
        trouble = f"{path} exists already, and is never overwritten; give another name"
    except OSError as error:
        if not name or not isinstance(error, FileNotFoundError):
            trouble = f"{path!r} cannot be the name of a file; give another"
        elif not os.access(folder or ".", os.W_OK | os.X_OK):
            trouble = f"{path} cannot be made; check its folder"
        else:
            return path, Path(path).absolute()
    raise click.BadParameter(trouble, param_hint="--write")


def _checked_facts(database: str, *, wait: float) -> Facts:
    with readable_store_of(database, wait=wait):
        pass  # it is there, and holds letters
    return facts_of(database, wait=wait)


def _without_external(
    registry: EventHandlerRegistry, name: str
) -> tuple[EventHandlerRegistry, list[str]]:
    """The handlers that only write to the file, and the event types of the others.

    Errors: click.UsageError.
    """
    registrations = registry.registrations
    external = [one.event_type for one in registrations if not one.transactional]
    if not external:
        return registry, []
    types = ", ".join(external)
    way = "--call-external calls them, for real and many times for a letter"
    if registry.route is not None:
        raise click.UsageError(
            f"{name} has a route of its own, so that the letters of handlers that reach other "
            f"systems cannot be left out ({types}); {way}"
        )
    if len(external) == len(registrations):
        raise click.UsageError(f"all handlers of {name} reach other systems ({types}); {way}")
    inner = EventHandlerRegistry(batch=registry.batch)
    for one in registrations:
        if one.transactional:
            inner.register(one.event_type, one.handler)
    return inner, external


def _copies(
    database: str, folder: Path, facts: Facts, left_out: list[str], *, wait: float
) -> Copies:
    size = f"{AT_ONCE} copies of {database}, {megabytes(facts.size)} each"
    say(f"{size}, lie in {folder} and are removed in the end")
    copies = copy_of(database, folder, wait=wait)
    for event_type in left_out:
        letters = copies.leave_out(event_type)
        if letters:
            told = f"{counted(letters, 'letters')} of type {event_type!r} left out"
            say(f"{told}: their handler reaches other systems")
    return copies
