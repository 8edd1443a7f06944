"""The letters that a drain is for: all that are due, those of them that fit a filter, or one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from azoth_dlq.cli.bulk import agree, is_terminal, look_at, print_matched, wrong
from azoth_dlq.cli.letters import missing_text, no_such_letter, read_letter, space_of
from azoth_dlq.cli.output import command_line, say
from azoth_dlq.filters import LetterFilter

if TYPE_CHECKING:
    from azoth_dlq.acting import Act
    from azoth_dlq.cli.filters import Wanted
    from azoth_dlq.cli.progress import Progress
    from azoth_dlq.replayer import DlqReplayer
    from azoth_dlq.report import ReplayReport
    from azoth_dlq.store.base import Store

_ANNOUNCED: Final = "will be attempted"
_COUNTS: Final = ("succeeded", "failed", "snoozed", "parked", "skipped")


class Chosen:
    """`letter_id`: one letter, due or not. `now`: also letters whose backoff has not passed yet."""

    def __init__(self, wanted: Wanted, letter_id: int | None, *, now: bool) -> None:
        if letter_id is not None and not wanted.is_empty:
            raise wrong("--id cannot go together with ids or a filter; give one of them")
        if wanted.filter.due is False and not now:
            raise wrong("letters that wait for their time are attempted with --now alone")
        self._letter_id = letter_id
        self._now = now
        self._wanted = wanted
        self._is_narrowed = not wanted.is_empty
        self._which: LetterFilter | None = None
        self.filter = replace(wanted.filter, due=wanted.filter.due if now else True)
        if letter_id is not None:
            self.filter = LetterFilter(ids=[letter_id], parked=False)

    def check(self, store: Store, database: str) -> None:
        """Errors: click.ClickException where the one letter is not there."""
        letter_id = self._letter_id
        if letter_id is not None and read_letter(store, letter_id) is None:
            way = f"`{command_line('requeue', database, letter_id)}` moves that one back"
            raise no_such_letter(store, letter_id, database, way=way)

    def print(self, store: Store, act: Act, database: str, *, as_json: bool) -> None:
        """Only say which letters they are."""
        print_matched(look_at(store, act, database, _ANNOUNCED), database, as_json=as_json)

    def freeze(self, store: Store, act: Act, database: str, *, yes: bool) -> None:
        """Where they are not all: find them, say which, ask at a terminal, and record it."""
        if self._letter_id is not None:
            act.ids()
        elif self._is_narrowed:
            matched = look_at(store, act, database, _ANNOUNCED)
            if matched.ids and is_terminal():
                agree(matched, yes=yes)
            self._which = LetterFilter(ids=act.same(matched.ids))
            if missing := self._wanted.missing_from(matched.ids):
                say(_missing_text(missing, now=self._now))
        if self._is_recorded:
            act.write(0)

    def replay(self, replayer: DlqReplayer, progress: Progress) -> ReplayReport:
        """Attempt them."""
        if self._letter_id is not None:
            return replayer.replay(self._letter_id, on_progress=progress)
        return replayer.drain(self._which, now=self._now, on_progress=progress)

    def record(self, act: Act, report: ReplayReport | None) -> None:
        """Record what became of them, where there were any."""
        if report is None:
            return
        counts = {name: getattr(report, name) for name in _COUNTS}
        if self._is_recorded or report.attempted or report.parked:
            act.write(report.attempted, counts)

    @property
    def _is_recorded(self) -> bool:
        return self._is_narrowed or self._letter_id is not None


def _missing_text(missing: list[int], *, now: bool) -> str:
    if now:
        return missing_text(missing, space_of(parked=False))
    return f"{missing_text(missing, 'dead letters that are due')}; --now takes those that wait, too"
