"""Instants as commands show them: in local time, or with `--utc` in UTC."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_IN_UTC: Final = "azoth_dlq.utc"  # a key of the context's


def _note(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001 -- click calls it so
    context.meta[_IN_UTC] = value


utc_option: Callable[[Any], Any] = click.option(
    "--utc",
    is_flag=True,
    expose_value=False,
    callback=_note,
    help="Show times in UTC; without it in local time, with its offset.",
)


def shows_utc() -> bool:
    """Whether the command that runs was given `--utc`."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_IN_UTC))


def instant_text(instant: datetime, *, utc: bool | None = None) -> str:
    """An instant for people: `2026-11-24 22:50:10 +01:00`, in UTC `2026-11-24 21:50:10 UTC`.

    `utc` None: as the command was told. What is beyond the years that the platform's time zone
    covers is shown in UTC.
    """
    if not (shows_utc() if utc is None else utc):
        try:
            local = instant.astimezone().isoformat(" ", "seconds")
        except (OSError, OverflowError, ValueError):
            pass
        else:
            return f"{local[:19]} {local[19:]}"
    # The `%Y` of some platforms has no leading zeros.
    return f"{instant.astimezone(UTC).isoformat(' ', 'seconds')[:19]} UTC"


class LogFormatter(logging.Formatter):
    """Lines with the instant as the command was told to show it. A log may come from any thread,
    which knows of no command."""

    def __init__(self) -> None:
        super().__init__("azoth-dlq: %(asctime)s: %(message)s")
        self._utc = shows_utc()

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 -- the base's
        return instant_text(datetime.fromtimestamp(record.created, UTC), utc=self._utc)
