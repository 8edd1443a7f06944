"""What is worth a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.tuning.copies import Facts

_MEBIBYTE: Final = 2**20
_TIMES: Final = (0.05, 0.25, 1.0)  # seconds
_CACHES: Final = (32 * _MEBIBYTE, 64 * _MEBIBYTE, 256 * _MEBIBYTE)
_MAP: Final = 1024 * _MEBIBYTE
_BATCHES: Final = (1000, 10_000)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is tried: `settings` in place of those given, and `pragmas` as (name, value).

    is_cycle: by one `run_replay_cycle()` in place of a drain. risk: why it is never chosen.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    pragmas: tuple[tuple[str, str], ...] = ()
    is_cycle: bool = False
    risk: str = ""


AS_GIVEN: Final = Candidate("as given")
AGAIN: Final = Candidate("as given, again")  # tells how much trials of the same differ
CYCLE_AS_GIVEN: Final = Candidate("a cycle as given", is_cycle=True)
_OFF: Final = Candidate(
    "synchronous = OFF",
    pragmas=(("synchronous", "OFF"),),
    risk="a loss of power may destroy the file",
)
_WAL: Final = Candidate(
    "journal_mode = WAL",
    pragmas=(("journal_mode", "WAL"),),
    risk="it stays so for all programs, which must run on one machine",
)


def with_settings(**settings: Any) -> Candidate:
    """Some settings in place of those given."""
    text = ", ".join(f"{name} = {value}" for name, value in settings.items())
    return Candidate(text, settings)


def of_drains(config: DlqReplayConfig, facts: Facts) -> list[Candidate]:
    """Those beside `config` for a file, first what may be chosen."""
    given = config.max_transaction_time.total_seconds()
    times = [seconds for seconds in _TIMES if seconds != given]
    cached = config.cache_size or 0
    # Memory beyond what the file fills is not used.
    caches = [size for size in _CACHES if size > cached and _room_below(size) < facts.size]
    return [
        *(with_settings(max_transaction_time=seconds) for seconds in times),
        *(with_settings(cache_size=size) for size in caches),
        *(with_settings(mmap_size=size) for size in [_MAP] if size != config.mmap_size),
        _normal(is_wal=facts.is_wal),
        _OFF,
        *([] if facts.is_wal else [_WAL]),
    ]


def _normal(*, is_wal: bool) -> Candidate:
    lost = "a loss of power may undo the last groups, whole: their letters are replayed again"
    damaged = "a loss of power at a bad moment may, rarely, destroy the file"
    return Candidate(
        "synchronous = NORMAL",
        pragmas=(("synchronous", "NORMAL"),),
        risk=lost if is_wal else damaged,
    )


def of_cycles(config: DlqReplayConfig, *, most: int) -> list[Candidate]:
    """Those beside `config` for cycles of at most so many letters."""
    return [
        Candidate(f"batch_size = {size}", {"batch_size": size}, is_cycle=True)
        for size in _BATCHES
        if config.batch_size < size <= most
    ]


def _room_below(size: int) -> int:
    """The next smaller one."""
    return max((other for other in _CACHES if other < size), default=0)
