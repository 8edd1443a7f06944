"""A drain or run that a person or a script watches: signals, progress, and how it ended."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple

from azoth_dlq.cli.figures import Figures
from azoth_dlq.cli.output import stdout_reserved
from azoth_dlq.cli.progress import PlainLines, Progress, is_terminal
from azoth_dlq.cli.signals import ending_in_order
from azoth_dlq.current import current_letter_id
from azoth_dlq.engine.failure import describe
from azoth_dlq.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from azoth_dlq.cli.live import LiveView
    from azoth_dlq.replayer import DlqReplayer
    from azoth_dlq.report import ReplayReport


_INTERRUPTED = (
    "interrupted; what was done is committed, and letters whose calls were cut off will be called "
    "again"
)


class Ending(NamedTuple):
    """How the work ended: what it did (None: it did not begin), the exit code, what went wrong."""

    report: ReplayReport | None
    exit_code: int
    trouble: str | None = None


def supervised(
    replayer: DlqReplayer,
    work: Callable[[Progress], ReplayReport],
    *,
    database: str,
    live: bool,
    is_run: bool = False,
) -> Ending:
    """Do `work` by `replayer`; SIGINT and SIGTERM end it. How it goes is shown on stderr: `live`,
    if that is a terminal, else in plain lines."""
    progress = Progress()
    figures = Figures(replayer, progress, is_run=is_run)

    def shut_down(number: int) -> None:
        told = _ending_text(replayer, number)
        replayer.shutdown()
        display.tell(told)

    display: LiveView | PlainLines = PlainLines(figures)
    with ending_in_order(shut_down) as received:
        if live and can_draw() and is_terminal():
            from azoth_dlq.cli.live import LiveView  # noqa: PLC0415 -- it is shown

            is_all_theirs = sys.stdout is None or not sys.stdout.isatty()
            display = LiveView(figures, received.send, database=database, keep=is_all_theirs)
        with stdout_reserved(), display:
            try:
                report = work(progress)
            except StorageError as error:
                return Ending(error.report, 1, str(error))
            except KeyboardInterrupt:
                return Ending(progress.report, received.exit_code, _INTERRUPTED)
            except Exception:
                raise
            except BaseException as error:  # noqa: BLE001 -- SystemExit and whatever else handlers raise
                trouble = f"a handler raised {describe(error)}, which ended the work"
                return Ending(progress.report, 1, f"{trouble}; what was done before is committed")
            finally:
                received.is_over = True
    return Ending(report, 1 if report.stopped == "failures" else 0)


def can_draw() -> bool:
    """Whether a terminal obeys what is drawn in place."""
    if sys.platform != "win32":
        return os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}
    from rich.console import detect_legacy_windows  # noqa: PLC0415 -- other systems need it not

    return not detect_legacy_windows()


def _ending_text(replayer: DlqReplayer, number: int) -> str:
    """What a first signal does, told in its handler: what runs there is seen."""
    calls = (replayer.activity.calls or 0) + (current_letter_id() is not None)
    again = "Ctrl-C again" if number == signal.SIGINT else "another signal"
    if not calls:
        return "ending"
    if calls == 1:
        return f"ending after the call in hand; {again} interrupts it"
    return f"ending after the {calls:,} calls in hand; {again} interrupts them"
