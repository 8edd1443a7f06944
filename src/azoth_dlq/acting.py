"""What is done to letters on purpose: to which of them, by whom, and the record of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from azoth_dlq import clock
from azoth_dlq.clock import MICROSECOND
from azoth_dlq.durations import from_microseconds, to_microseconds
from azoth_dlq.errors import ConfigError
from azoth_dlq.filters import LetterFilter
from azoth_dlq.ids import IdRanges
from azoth_dlq.last_drain import settings_of_last_drain
from azoth_dlq.store.upkeep import NewAction
from azoth_dlq.who import login_name

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from azoth_dlq.config import DlqReplayConfig
    from azoth_dlq.durations import Duration
    from azoth_dlq.store.base import Letters, Store

IDS_A_TRANSACTION: Final = 1000
_LONGEST_NAME: Final = 200
_OVER: Final = object()


class Purged(NamedTuple):
    """How many permanent failures were deleted, and how many records of attempts."""

    letters: int
    attempts: int


def find(
    store: Letters, wanted: LetterFilter, now: int, config: DlqReplayConfig | None = None
) -> array[int]:
    """The ids (int64, ascending) of the letters that fit at `now` (µs). What is due is told by
    `config` (None: by the settings of the last drain). Errors: StorageError, ConfigError."""
    if wanted.due is None:
        return store.find(wanted, now)
    if config is None:
        config = settings_of_last_drain(store).config
    return store.find(wanted, now, config.rules(now))


def wanted_of(which: Iterable[int] | LetterFilter, *, parked: bool) -> LetterFilter:
    """The letters of a space that are meant. Errors: ConfigError."""
    if not isinstance(which, LetterFilter):
        return LetterFilter(ids=IdRanges(which), parked=parked)
    if which.parked not in (None, parked):
        raise ConfigError.for_field("parked", which.parked, f"{parked} or None here")
    return replace(which, parked=parked)


class Act:
    """Something that is done to letters, at once or in parts, and the one record of it."""

    def __init__(
        self,
        store: Store,
        action: str,
        wanted: LetterFilter,
        by: str | None,
        config: DlqReplayConfig | None = None,
    ) -> None:
        """`config` tells what is due (None: the settings of the last drain)."""
        self.at = clock.now()
        self._by = None if by is None else checked_name(by)
        self.done = 0  # of what is committed
        self.details: dict[str, Any] = {}  # as above
        self._wanted = wanted
        self._store = store
        self._action = action
        self._config = config
        self._matched: int | None = None
        self._record: int | None = None

    @property
    def who(self) -> str:
        """Who does it."""
        if self._by is None:
            self._by = login_name()
        return self._by

    @property
    def parked(self) -> bool:
        """Whether it is done to permanent failures."""
        return bool(self._wanted.parked)

    def ids(self) -> array[int]:
        """Those that fit now; what comes later is left alone."""
        ids = find(self._store, self._wanted, self.at, self._config)
        self._matched = len(ids)
        return ids

    def write(self, done: int, details: Mapping[str, Any] | None = None) -> None:
        """Record, in the transaction that did it, that it was done to so many more letters."""
        if self._record is not None:
            self._store.record_done(self._record, done, details)
            return
        matched = done if self._matched is None else self._matched
        wanted = self._wanted.as_dict()
        action = NewAction(self.at, self.who, self._action, wanted, matched, done, details)
        self._record = self._store.record(action)


Verb: TypeAlias = "Callable[[Store, Sequence[int], int], int]"
"""Changes the letters of these ids, at that time (µs); how many there were."""


def in_parts(store: Store, act: Act, ids: Sequence[int], verb: Verb) -> Iterator[None]:
    """Change letters and record it, a bounded number a transaction; comes back before each."""
    for start in range(0, len(ids), IDS_A_TRANSACTION):
        yield
        with store.together():
            done = verb(store, ids[start : start + IDS_A_TRANSACTION], act.at)
            if done:
                act.write(done)
        act.done += done


def purge_attempts(store: Store, act: Act, older_than: timedelta) -> Iterator[None]:
    """Delete what is kept of attempts of dead letters of so long ago, and record how many in the
    details, a bounded number in each transaction; comes back before each."""
    until = act.at - older_than // MICROSECOND
    after: int | None = 0
    deleted = 0
    while after is not None:
        yield
        with store.together():
            more, after = store.purge_attempts(until, after)
            if more:
                act.write(0, {"attempts": deleted + more})
        deleted += more
        act.details["attempts"] = deleted


def discard_parked(store: Store, ids: Sequence[int], _now: int) -> int:
    """A `Verb`."""
    return store.delete(ids, parked=True)


class Purge:
    """Deletes permanent failures that were parked so long ago, and what is kept of attempts of so
    long ago, a bounded number in each transaction."""

    def __init__(self, store: Store, older_than: Duration, by: str | None = None) -> None:
        age = from_microseconds(to_microseconds(older_than, "older_than"))
        wanted = LetterFilter(parked=True, min_parked_age=age)
        self._act = act = Act(store, "purge", wanted, by)
        self._steps = chain(
            in_parts(store, act, act.ids(), discard_parked), purge_attempts(store, act, age)
        )

    def step(self) -> bool:
        """Delete some more, in a transaction; whether there may be others."""
        return next(self._steps, _OVER) is not _OVER

    @property
    def purged(self) -> Purged:
        """What was deleted so far."""
        return Purged(self._act.done, self._act.details.get("attempts", 0))


def checked_name(by: str) -> str:
    """Errors: ConfigError where it cannot be written down as who did something."""
    if not isinstance(by, str) or not by.strip() or not by.isprintable() or len(by) > _LONGEST_NAME:
        allowed = f"a name of 1 to {_LONGEST_NAME} printable characters"
        raise ConfigError.for_field("by", by, allowed)
    return by
