"""A drain or run that a person or a script watches: signals, progress, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from azoth_dlq.cli.output import stdout_reserved
from azoth_dlq.cli.progress import Progress
from azoth_dlq.cli.signals import ending_in_order
from azoth_dlq.engine.failure import describe
from azoth_dlq.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from azoth_dlq.replayer import DlqReplayer
    from azoth_dlq.report import ReplayReport


class Ending(NamedTuple):
    """How the work ended: what it did (None: it did not begin), the exit code, what went wrong."""

    report: ReplayReport | None
    exit_code: int
    trouble: str | None = None


def supervised(
    replayer: DlqReplayer,
    work: Callable[[Progress], ReplayReport],
    *,
    hide_progress: bool = False,
) -> Ending:
    """Do `work` by `replayer`; SIGINT and SIGTERM end it, and progress is shown on a terminal."""
    with (
        ending_in_order(replayer.shutdown) as received,
        stdout_reserved(),
        Progress(hidden=hide_progress) as progress,
    ):
        try:
            report = work(progress)
        except StorageError as error:
            return Ending(error.report, 1, str(error))
        except KeyboardInterrupt:
            trouble = "interrupted; what was done is committed"
            return Ending(progress.report, received.exit_code, trouble)
        except Exception:
            raise
        except BaseException as error:  # noqa: BLE001 -- SystemExit and whatever else handlers raise
            trouble = f"a handler raised {describe(error)}, which ended the work"
            return Ending(progress.report, 1, f"{trouble}; what was done before is committed")
        finally:
            received.is_over = True
    return Ending(report, 1 if report.stopped == "failures" else 0)
