"""Letters that are parked unattempted: exhausted ones, and rows that cannot be read."""

from __future__ import annotations

from azoth_dlq.engine.group import Group
from azoth_dlq.engine.plan import why_unfit
from azoth_dlq.kernels.eligibility import Rules, Verdict, select
from azoth_dlq.store.base import Store


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
        reason = why_unfit(verdict, by_id[letter_id], rules.max_retries)
        unreadable = verdict is not Verdict.EXHAUSTED
        group.park_unattempted(letter_id, reason, unreadable=unreadable)
