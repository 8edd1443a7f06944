"""Letters that are parked unattempted: exhausted ones, and rows that cannot be read."""

from __future__ import annotations

from azoth_dlq.engine._group import Group
from azoth_dlq.kernels.eligibility import Rules, Verdict, select
from azoth_dlq.store.base import Store

_SHOWN = 60  # characters of a value that cannot be read


def park(
    chunk: list[tuple[int, Verdict]], claimed: set[int], group: Group, store: Store, rules: Rules
) -> None:
    """Park what is still unfit: under the lock, for another program may have mended a row. Letters
    that other drains have claimed are left to them."""
    ids = [letter_id for letter_id, _ in chunk if letter_id not in claimed]
    group.skipped += len(chunk) - len(ids)
    rows = store.fetch(ids, inline=0, verify=True)
    by_id = {row[0]: row for row in rows}
    for letter_id, verdict in select(rows, rules).unfit():
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
