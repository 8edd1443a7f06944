"""The plan of a drain: which letters are due, in which order, as compact arrays."""

from __future__ import annotations

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.kernels.eligibility import Rules, Selection, Verdict, select
from azoth_dlq.store.base import Store

_SHOWN = 60  # characters of a value that cannot be read


def make_plan(store: Store, config: DlqReplayConfig, rules: Rules) -> Selection:
    """One pass over the letters: filtered and ordered by the kernels, 24 bytes a due letter."""
    priority = config.priority
    with store.candidates(with_error=priority.needs_error_text) as rows:
        return select(rows, rules, rank=priority.rank, descending=priority.descending)


def _shown(value: object) -> str:
    text = bytes(value).decode("utf-8", "replace") if isinstance(value, bytearray) else value
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def why_unfit(verdict: Verdict, row: tuple[object, ...], max_retries: int) -> str:
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
