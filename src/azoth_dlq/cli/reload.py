"""SIGHUP during a run: its rate is read again from the file of settings."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from dataclasses import fields
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.cli.options import load_config, read_settings
from azoth_dlq.engine.failure import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from azoth_dlq.config import DlqReplayConfig
    from azoth_dlq.replayer import DlqReplayer

logger = logging.getLogger("azoth_dlq")


@contextmanager
def reloading(
    replayer: DlqReplayer, file: str | None, options: Mapping[str, Any]
) -> Iterator[None]:
    """At SIGHUP, set the replayer's rate to that of the file; where no file was given, the signal
    means what it meant. What was given as an option wins, as at the start."""
    number = getattr(signal, "SIGHUP", None)
    if file is None or number is None:  # Windows has no such signal
        yield
        return
    # The file is read in a thread of its own: a signal comes amid anything. Who puts into this
    # queue waits for nobody.
    asked: SimpleQueue[bool] = SimpleQueue()

    def work() -> None:
        while asked.get():
            _reload(replayer, file, options)

    thread = threading.Thread(target=work, name="azoth-dlq-reload", daemon=True)
    thread.start()
    before = signal.signal(number, lambda *_: asked.put(item=True))
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL if before is None else before)
        asked.put(item=False)
        thread.join()


def _reload(replayer: DlqReplayer, file: str, options: Mapping[str, Any]) -> None:
    shown = one_line(file)
    try:
        given, config = read_settings(file), load_config(file, options)
    except click.ClickException as error:
        logger.warning("%s; nothing is changed", one_line(error.format_message()))
        return
    if options.get("rate_limit") is not None:
        logger.warning("the rate stays as it is: --rate was given, and wins over %s", shown)
    elif "rate_limit" not in given:
        # As a file is that an editor is just about to write.
        logger.warning("the rate stays as it is: %s has no rate_limit", shown)
    else:
        rate = config.rate_limit
        replayer.rate_limit = rate
        told = "unlimited" if rate is None else f"{rate:g} attempts a second"
        logger.info("the rate is %s now, as %s has it", told, shown)
    others = _others_that_differ(config, replayer.config)
    if others:
        logger.warning(
            "%s: only rate_limit changes while a run goes on; start it anew for %s",
            shown,
            ", ".join(others),
        )


def _others_that_differ(now: DlqReplayConfig, then: DlqReplayConfig) -> list[str]:
    names = (field.name for field in fields(now) if field.name != "rate_limit")
    return [name for name in names if getattr(now, name) != getattr(then, name)]
