"""`azoth-dlq status --watch`: looks at a file again and again."""

from __future__ import annotations

import json
import sys
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from azoth_dlq.cli.figures import Field, TopGroup, wait_text
from azoth_dlq.cli.keys import Keys
from azoth_dlq.cli.output import duration_text, first_line, print_lines, say
from azoth_dlq.cli.pace import Pace, speed_text
from azoth_dlq.cli.signals import interrupting
from azoth_dlq.cli.supervised import can_draw
from azoth_dlq.cli.times import instant_text
from azoth_dlq.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from azoth_dlq.cli.screen import Screen
    from azoth_dlq.status import Status

_RESTS_OF_LOOKS: Final = 9  # times as long as one took
_KEY_SECONDS: Final = 0.25


class Seen(NamedTuple):
    """What a look found, also as a JSON document."""

    status: Status
    document: dict[str, Any]


class Printed:
    """What each look finds, in a line on stdout: made by `line`."""

    def __init__(self, line: Callable[[Seen], str]) -> None:
        self._line = line

    def show(self, seen: Seen) -> None:
        print_lines(self._line(seen))
        if sys.stdout is not None:
            sys.stdout.flush()

    def miss(self, trouble: str) -> None:
        """A look failed; the next may not."""
        say(trouble)

    def rest(self, seconds: float) -> bool:
        """Whether it is to end, within so long."""
        sleep(seconds)
        return False


class View:
    """What the last look found, drawn in place on the terminal that is stdout."""

    def __init__(self, database: str, screen: Screen, keys: Keys) -> None:
        self._database = database
        self._screen = screen
        self._keys = keys
        self._figures = FiguresOfFile()
        self._status: Status | None = None
        self._fields: list[Field] = []
        self._trouble: str | None = None

    def show(self, seen: Seen) -> None:
        self._status, self._trouble = seen.status, None
        self._fields = self._figures.of(seen.status)
        self._draw()

    def miss(self, trouble: str) -> None:
        self._trouble = trouble
        self._draw()

    def rest(self, seconds: float) -> bool:
        until, size = monotonic() + seconds, self._screen.size
        while (left := until - monotonic()) > 0:
            if "q" in self._keys.pressed(min(left, _KEY_SECONDS)).lower():
                return True
            if self._screen.size != size:
                size = self._screen.size
                self._draw()
        return False

    def _draw(self) -> None:
        from azoth_dlq.cli import panels  # noqa: PLC0415 -- what is printed needs no view

        status = self._status
        if status is None or not self._keys.in_foreground:
            return
        state = "watching" if self._trouble is None else self._trouble
        seen, is_usual = instant_text(status.at), self._trouble is None
        lines = [panels.state_line(state, self._database, seen, is_usual=is_usual)]
        lines += panels.field_lines(self._fields, self._screen.size.columns)
        lines += panels.group_lines("failed with", _groups(status))
        self._screen.draw([*lines, panels.key_line([("q", "ends")])])


class FiguresOfFile:
    """Of one look after the other: what is in a file, and how fast it becomes less."""

    def __init__(self) -> None:
        self._first: Status | None = None
        self._pace = Pace()

    def of(self, status: Status) -> list[Field]:
        """The most important first."""
        first = self._first = self._first or status
        self._pace.note(first.dead_letters - status.dead_letters)
        speed, left = self._pace.a_second, self._pace.time_for(status.due)
        parked = status.permanent_failures - first.permanent_failures
        rarer = {
            "not due": status.not_due,
            "exhausted": status.exhausted,
            "unreadable": status.unreadable,
            "in the future": status.ahead,
            "draining now": len(status.draining),
        }
        return [
            Field("depth", f"{status.dead_letters:,}"),
            Field("due now", f"{status.due:,}", "green" if not status.due else ""),
            Field("next due", wait_text(status.next_due, status.at)),
            Field("shrinks by", "?" if speed is None else speed_text(speed)),
            Field("empty in", _time_to_empty(status, left)),
            Field("parked", f"{status.permanent_failures:,} ({parked:+,})"),
            Field("stopped", "no" if status.stopped_at is None else "by failures"),
            *(Field(name, f"{number:,}") for name, number in rarer.items() if number),
        ]


def line_of(figures: FiguresOfFile, status: Status) -> str:
    """The figures of a look, and the commonest error."""
    shown = ", ".join(f"{field.name} {field.value}" for field in figures.of(status))
    groups = _groups(status)
    commonest = (
        f"; most failed with ({groups[0].letters:,}) {first_line(groups[0].template)}"
        if groups
        else ""
    )
    return f"{instant_text(status.at)}: {shown}{commonest}"


def watch(look: Callable[[], Seen], shower: Printed | View, seconds: float) -> None:
    """Look, show, and rest for `seconds`, or nine times as long as a look took, until a signal or
    a key ends it. Errors: StorageError of the first look, and where waiting mends nothing."""
    with interrupting() as received:
        try:
            began = monotonic()
            shower.show(look())
            while not shower.rest(max(seconds, _RESTS_OF_LOOKS * (monotonic() - began))):
                began = monotonic()
                try:
                    shower.show(look())
                except StorageError as error:
                    if not error.transient:
                        raise
                    shower.miss(str(error))
        except KeyboardInterrupt:
            return
        finally:
            received.is_over = True


def watch_file(
    database: str, look: Callable[[], Seen], seconds: float, *, as_json: bool, live: bool
) -> None:
    """Watch it as JSON, a document a line; else `live` where stdout is a terminal, or in lines."""
    if as_json:
        watch(look, Printed(lambda seen: json.dumps(seen.document)), seconds)
    elif live and sys.stdout is not None and sys.stdout.isatty() and can_draw():
        from azoth_dlq.cli.screen import Screen  # noqa: PLC0415 -- what is printed needs none

        screen = Screen(sys.stdout)
        with Keys(suspend=screen.leave, resume=screen.leave) as keys:
            try:
                watch(look, View(database, screen, keys), seconds)
            finally:
                screen.leave()
    else:
        figures = FiguresOfFile()
        watch(look, Printed(lambda seen: line_of(figures, seen.status)), seconds)


def _time_to_empty(status: Status, left: timedelta | None) -> str:
    if not status.due:
        return "-"
    return "?" if left is None else duration_text(left)


def _groups(status: Status) -> list[TopGroup]:
    return [TopGroup(one.template, one.count, one.fingerprint) for one in status.by_group]
