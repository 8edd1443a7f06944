"""What is in a queue at an instant: how many letters, how old, due or not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from azoth_dlq.backoff import BackoffStrategy
from azoth_dlq.clock import optional_datetime, rfc3339, to_datetime
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.errors import StorageError
from azoth_dlq.event_type import shown_event_type
from azoth_dlq.groups import group_letters
from azoth_dlq.kernels.eligibility import Verdict, select
from azoth_dlq.store.base import Busy, StorageFault
from azoth_dlq.timeline import FailureTimes, timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from azoth_dlq.groups import LetterGroup
    from azoth_dlq.store.base import Figures, Store
    from azoth_dlq.timeline import Timeline
    from azoth_dlq.types import Drainer

COMMONEST_ERRORS: Final = 10
COMMONEST_TYPES: Final = 10
COMMONEST_GROUPS: Final = 10
_MOST_TYPES: Final = 10_000  # told apart
_CHUNK: Final = 10_000  # rows held at once
_NO_DELAY: Final = DlqReplayConfig(min_age=0, backoff=BackoffStrategy.fixed(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The figures of a queue at the instant `at` (UTC).

    `dead_letters` = `due` + `not_due` + `exhausted` + `unreadable`. `next_due` is when the first of
    the `not_due` becomes due. `ahead` are those whose last attempt (or failure, where there was
    none) lies in the future. Ages are since `failed_at`, 0 for one that lies ahead.
    `by_retry_count` leaves out counts that are no integers. `by_error` are the commonest texts of
    letters' latest errors, their first 200 characters, and `by_group` the largest groups of them;
    `parked_by_reason` the commonest reasons
    that permanent failures were parked for, as long. `by_type` and `parked_by_type` are the
    commonest event types; those of which it is not sure that they are none are left out, as events
    that name none are. `failures` is when letters of both kinds failed first. `draining` are the
    processes that drain now, `in_hand` the letters whose handlers they call outside any
    transaction. `stopped_at` is since when drains are stopped by failures in a row (None: they are
    not): a success ends it, and so does an empty queue.
    """

    at: datetime
    dead_letters: int = 0
    due: int = 0
    not_due: int = 0
    exhausted: int = 0
    unreadable: int = 0
    ahead: int = 0
    next_due: datetime | None = None
    oldest_age: timedelta | None = None
    oldest_due_age: timedelta | None = None
    by_retry_count: dict[int, int] = field(default_factory=dict)
    by_error: list[tuple[str, int]] = field(default_factory=list)
    by_group: list[LetterGroup] = field(default_factory=list)
    by_type: list[tuple[str, int]] = field(default_factory=list)
    permanent_failures: int = 0
    parked_by_type: list[tuple[str, int]] = field(default_factory=list)
    parked_by_reason: list[tuple[str, int]] = field(default_factory=list)
    failures: Timeline | None = None
    draining: list[Drainer] = field(default_factory=list)
    stopped_at: datetime | None = None

    @property
    def in_hand(self) -> int:
        return sum(drainer.in_hand for drainer in self.draining)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures ready for JSON: ages in seconds, instants as RFC 3339 in UTC."""
        return {
            "at": rfc3339(self.at),
            "dead_letters": self.dead_letters,
            "due": self.due,
            "not_due": self.not_due,
            "exhausted": self.exhausted,
            "unreadable": self.unreadable,
            "ahead": self.ahead,
            "next_due": rfc3339(self.next_due),
            "oldest_age": _seconds(self.oldest_age),
            "oldest_due_age": _seconds(self.oldest_due_age),
            "by_retry_count": {str(count): n for count, n in self.by_retry_count.items()},
            "by_error": _ranking("error", self.by_error),
            "by_group": [group.as_dict() for group in self.by_group],
            "by_type": _ranking("event_type", self.by_type),
            "permanent_failures": self.permanent_failures,
            "parked_by_type": _ranking("event_type", self.parked_by_type),
            "parked_by_reason": _ranking("reason", self.parked_by_reason),
            "failures": None if self.failures is None else self.failures.as_dict(),
            "in_hand": self.in_hand,
            "draining": [
                {
                    "host": drainer.host,
                    "pid": drainer.pid,
                    "since": rfc3339(drainer.since),
                    "in_hand": drainer.in_hand,
                }
                for drainer in self.draining
            ],
            "stopped_at": rfc3339(self.stopped_at),
        }


def look(
    store: Store,
    config: DlqReplayConfig,
    now: int,
    *,
    over: timedelta | None = None,
    groups: int = COMMONEST_GROUPS,
) -> Status:
    """Count what is in `store` at `now` (µs since 1970, UTC), in a pass over its letters and one
    over their errors.

    Which letters are due is told by `config`; `over`: how far back failures are told by time (None:
    to the first); `groups`: how many groups of errors are told at most, which takes longer than all
    else (0: none). Errors: StorageError.
    """
    tally = _Tally(config, now)
    try:
        with store.candidates(with_error=False, with_type=True) as rows:
            for chunk in _chunks(rows):
                tally.count(chunk)
            for parked in _chunks(store.parked_failures()):
                tally.parked.count(*zip(*parked, strict=True))
            figures = store.figures(COMMONEST_ERRORS)
            largest = group_letters(store, limit=groups).groups if groups else []
    except (Busy, StorageFault) as fault:
        raise StorageError(str(fault), transient=fault.transient) from fault
    return tally.status(figures, largest, over)


class _Failures:
    """When letters failed, and of what types."""

    def __init__(self) -> None:
        self.times = FailureTimes()
        self._types: Counter[bytes] = Counter()

    def count(self, failed_at: Iterable[object], event_types: Iterable[bytes]) -> None:
        self.times.add(failed_at)
        self._types.update(event_types)
        if len(self._types) > _MOST_TYPES:
            # Of events whose payload looks like a type, each may have one of its own.
            self._types = Counter(dict(self._types.most_common(_MOST_TYPES // 2)))

    def by_type(self) -> list[tuple[str, int]]:
        named = ((shown_event_type(text + b":"), number) for text, number in self._types.items())
        ranking = sorted((-number, name) for name, number in named if name is not None)
        return [(name, -number) for number, name in ranking[:COMMONEST_TYPES]]


class _Tally:
    """Counts letters chunk by chunk."""

    def __init__(self, config: DlqReplayConfig, now: int) -> None:
        self._now = now
        self._rules = config.rules(now)
        self._no_delay = _NO_DELAY.rules(now)
        self._counts: Counter[str] = Counter()
        self._by_retry_count: Counter[int] = Counter()
        self._next_due: int | None = None
        self._dead = _Failures()
        self.parked = _Failures()
        self._oldest_due: int | None = None

    def count(self, rows: list[tuple[Any, ...]]) -> None:
        plan = select(rows, self._rules)
        exhausted = sum(verdict is Verdict.EXHAUSTED for _, verdict in plan.unfit())
        self._counts.update(
            dead_letters=len(rows),
            due=len(plan),
            not_due=plan.waiting,
            exhausted=exhausted,
            unreadable=plan.unfit_count - exhausted,
            ahead=self._ahead(rows),
        )
        self._by_retry_count.update(row[1] for row in rows if type(row[1]) is int)
        self._next_due = _earlier(self._next_due, plan.next_due)
        self._oldest_due = _earlier(self._oldest_due, plan.oldest_due)
        self._dead.count([row[2] for row in rows], [row[5] for row in rows])

    def status(self, figures: Figures, groups: list[LetterGroup], over: timedelta | None) -> Status:
        stopped_at = figures.stopped_at if self._counts["dead_letters"] else None
        return Status(
            at=to_datetime(self._now),
            next_due=optional_datetime(self._next_due),
            oldest_age=self._age(self._dead.times.earliest),
            oldest_due_age=self._age(self._oldest_due),
            by_retry_count=dict(sorted(self._by_retry_count.items())),
            by_error=figures.by_error,
            by_group=groups,
            by_type=self._dead.by_type(),
            permanent_failures=figures.parked,
            parked_by_type=self.parked.by_type(),
            parked_by_reason=figures.by_reason,
            failures=timeline(self._dead.times, self.parked.times, self._now, over),
            draining=figures.draining,
            stopped_at=optional_datetime(stopped_at),
            **self._counts,
        )

    def _ahead(self, rows: list[tuple[Any, ...]]) -> int:
        """Letters that would have to wait although there is no delay."""
        return select([(row[0], 0, row[2], row[3]) for row in rows], self._no_delay).waiting

    def _age(self, instant: int | None) -> timedelta | None:
        return None if instant is None else timedelta(microseconds=max(self._now - instant, 0))


def _ranking(name: str, pairs: list[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{name: text, "letters": number} for text, number in pairs]


def _chunks(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk


def _earlier(known: int | None, found: int | None) -> int | None:
    return found if known is None or (found is not None and found < known) else known


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
