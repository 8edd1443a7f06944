"""Letters that are parked unattempted: exhausted ones, and rows that cannot be read."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from azoth_dlq.engine._group import Group
from azoth_dlq.engine.recovery import Recovery
from azoth_dlq.event_type import EVENT_START
from azoth_dlq.kernels.eligibility import Rules, Verdict, select
from azoth_dlq.store.base import CommitRefused, Store

if TYPE_CHECKING:
    from azoth_dlq.engine.groups import Groups

_CHUNK = 500  # letters that are parked by one statement
_SHOWN = 60  # characters of a value that cannot be read


class UnfitLetters:
    """Those of a plan: parked in groups, from the first to the last. One that cannot be parked
    keeps no other from it."""

    def __init__(self, groups: Groups, rules: Rules) -> None:
        self._groups = groups
        self._course = groups.course
        self._letters = groups.course.letters
        self._rules = rules
        self._recovery = Recovery(groups.recovery.kept)

    @property
    def is_over(self) -> bool:
        return self._course.unfit_place >= self._letters.unfit_count

    def park(self, store: Store, seconds: float) -> None:
        """Park the next of them in a group of about so many seconds, or fewer, while one that
        cannot be parked is looked for. Errors: CommitRefused where there are too many of those."""
        start = end = self._course.unfit_place
        until = monotonic() + seconds
        limit = start + self._recovery.most(self._letters.unfit_count)
        try:
            with self._groups.without_calls() as (_, group):
                while chunk := self._letters.unfit(end, min(end + _CHUNK, limit)):
                    self._park(chunk, group, store)
                    end += len(chunk)
                    if monotonic() >= until:
                        break
        except CommitRefused as refused:
            store.end(commit=False)
            attempted = self._letters.unfit(start, end)
            if not attempted:
                raise
            if len(attempted) > 1:
                self._recovery.halve(len(attempted), end)
                return
            self._recovery.give_up(attempted[0][0], refused)
        else:
            self._recovery.committed(group.settlement, end)
        self._course.unfit_place = end

    def _park(self, chunk: list[tuple[int, Verdict]], group: Group, store: Store) -> None:
        """Park what is still unfit: under the lock, for another program may have mended a row.
        Letters that other drains have claimed are left to them."""
        settled = self._groups.recovery.settled  # charged with a death when the group was opened
        ids = [letter_id for letter_id, _ in chunk if letter_id not in settled]
        wanted = [letter_id for letter_id in ids if letter_id not in self._groups.claimed]
        rows = store.fetch(wanted, inline=0, verify=True)
        by_id = {row[0]: row for row in rows}
        unfit = select(rows, self._rules).unfit()
        group.skipped += len(ids) - len(unfit)
        for letter_id, verdict in unfit:
            reason = _why_unfit(verdict, by_id[letter_id], self._rules.max_retries)
            unreadable = verdict is not Verdict.EXHAUSTED
            event = None if group.heard_parked is None else _event(letter_id, store)
            group.park_unattempted(letter_id, reason, unreadable=unreadable, event=event)


def _event(letter_id: int, store: Store) -> tuple[object, object]:
    """Its id and what it begins with; one at a time, for each comes with its payload."""
    ((*_, event_id, event_bytes),) = store.fetch([letter_id], inline=None, verify=False)
    is_data = isinstance(event_bytes, (bytes, bytearray))
    return event_id, event_bytes[:EVENT_START] if is_data else None


def _why_unfit(verdict: Verdict, row: tuple[object, ...], max_retries: int) -> str:
    """Why a letter is parked unattempted; `row` as `Store.candidates` gives it."""
    match verdict:
        case Verdict.EXHAUSTED:
            return f"had {row[1]} attempts before this drain, and max_retries is {max_retries}"
        case Verdict.BAD_RETRY_COUNT:
            return f"unreadable: retry_count is no integer but {_shown(row[1])}"
        case Verdict.NEGATIVE_RETRY_COUNT:
            return f"unreadable: retry_count is negative ({row[1]})"
        case Verdict.BAD_FAILED_AT:
            return f"unreadable: failed_at is no timestamp but {_shown(row[2])}"
        case _:
            return f"unreadable: last_retry_at is no timestamp but {_shown(row[3])}"


def _shown(value: object) -> str:
    text = bytes(value).decode("utf-8", "replace") if isinstance(value, bytearray) else value
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
