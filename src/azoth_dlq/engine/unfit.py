"""Letters that are parked unattempted: exhausted ones, and rows that cannot be read."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from azoth_dlq.engine._group import Group
from azoth_dlq.engine.recovery import Kept, Recovery
from azoth_dlq.kernels.eligibility import Rules, Selection, Verdict, select
from azoth_dlq.store.base import CommitRefused, Store

if TYPE_CHECKING:
    from azoth_dlq.engine.groups import Groups

_CHUNK = 500  # letters that are parked by one statement
_SHOWN = 60  # characters of a value that cannot be read


class UnfitLetters:
    """Those of a plan: parked in groups, from the first to the last. One that cannot be parked
    keeps no other from it."""

    def __init__(self, letters: Selection, rules: Rules, kept: Kept) -> None:
        self._letters = letters
        self._rules = rules
        self._place = 0
        self._recovery = Recovery(kept)

    @property
    def is_over(self) -> bool:
        return self._place >= self._letters.unfit_count

    def park(self, groups: Groups, store: Store, seconds: float) -> None:
        """Park the next of them in a group of about so many seconds, or fewer, while one that
        cannot be parked is looked for. Errors: CommitRefused where there are too many of those."""
        end, until = self._place, monotonic() + seconds
        limit = self._place + self._recovery.most(self._letters.unfit_count)
        try:
            with groups.without_calls() as (_, group):
                while chunk := self._letters.unfit(end, min(end + _CHUNK, limit)):
                    _park(chunk, groups.claimed, group, store, self._rules)
                    end += len(chunk)
                    if monotonic() >= until:
                        break
        except CommitRefused as refused:
            store.end(commit=False)
            attempted = self._letters.unfit(self._place, end)
            if not attempted:
                raise
            if len(attempted) > 1:
                self._recovery.halve(len(attempted), end)
                return
            self._recovery.give_up(attempted[0][0], refused)
        else:
            self._recovery.committed(group.settlement, end)
        self._place = end


def _park(
    chunk: list[tuple[int, Verdict]], claimed: set[int], group: Group, store: Store, rules: Rules
) -> None:
    """Park what is still unfit: under the lock, for another program may have mended a row. Letters
    that other drains have claimed are left to them."""
    ids = [letter_id for letter_id, _ in chunk if letter_id not in claimed]
    rows = store.fetch(ids, inline=0, verify=True)
    by_id = {row[0]: row for row in rows}
    unfit = select(rows, rules).unfit()
    group.skipped += len(chunk) - len(unfit)
    for letter_id, verdict in unfit:
        reason = _why_unfit(verdict, by_id[letter_id], rules.max_retries)
        unreadable = verdict is not Verdict.EXHAUSTED
        group.park_unattempted(letter_id, reason, unreadable=unreadable)


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
