"""What is done to letters on purpose: to which of them, by whom, and the record of it."""

from __future__ import annotations

from array import array
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from azoth_dlq import clock
from azoth_dlq.clock import MICROSECOND
from azoth_dlq.durations import from_microseconds, to_microseconds
from azoth_dlq.errors import not_allowed
from azoth_dlq.filters import LetterFilter
from azoth_dlq.ids import IdRanges
from azoth_dlq.last_drain import settings_of_last_drain
from azoth_dlq.store.upkeep import NewAction
from azoth_dlq.who import login_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from azoth_dlq.config import DlqReplayConfig
    from azoth_dlq.durations import Duration
    from azoth_dlq.store.base import Letters, Store

IDS_A_TRANSACTION: Final = 1000
_LONGEST_NAME: Final = 200


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
        raise not_allowed("parked", which.parked, f"{parked} or None here")
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
        self._frozen: dict[int, int | None] = {}
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

    def freeze(self) -> array[int]:
        """The same, to be done later: what gets one of the ids until then is left alone, too."""
        ids = self.ids()
        found = self._store.identities(ids, parked=self.parked)
        # One that has gone is none of those any more.
        self._frozen = dict(zip(ids, found, strict=True))
        return ids

    def same(self, ids: Sequence[int]) -> array[int]:
        """Those of the ids whose letters are still the ones that were frozen."""
        found = self._store.identities(ids, parked=self.parked)
        pairs = zip(ids, found, strict=True)
        return array("q", (i for i, one in pairs if one is not None and self._frozen[i] == one))

    @contextmanager
    def part(self) -> Iterator[None]:
        """A transaction in which some of it is done and written down, or nothing."""
        recorded = self._record
        try:
            with self._store.together():
                yield
        except BaseException:
            self._record = recorded
            raise

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
    """Change letters that were frozen and record it, a bounded number a transaction; comes back
    before each."""
    for start in range(0, len(ids), IDS_A_TRANSACTION):
        yield
        with act.part():
            done = verb(store, act.same(ids[start : start + IDS_A_TRANSACTION]), act.at)
            if done:
                act.write(done)
        act.done += done


def purge_attempts(store: Store, act: Act, older_than: timedelta) -> Iterator[None]:
    """Delete what is kept of attempts of dead letters of so long ago, and record how many in the
    details, a bounded number in each transaction; comes back before each."""
    after: int | None = 0
    while after is not None:
        yield
        after = _purge_some_attempts(store, act, older_than, after)


def _purge_some_attempts(store: Store, act: Act, older_than: timedelta, after: int) -> int | None:
    """Where to go on; None: it is done."""
    deleted = act.details.get("attempts", 0)
    with act.part():
        more, further = store.purge_attempts(act.at - older_than // MICROSECOND, after)
        if more:
            act.write(0, {"attempts": deleted + more})
    act.details["attempts"] = deleted + more
    return further


def discard(store: Store, ids: Sequence[int] | None, *, parked: bool = False) -> int:
    """Delete letters (None: all), but for dead letters that a handler has in hand, or is to get:
    it would be called for one that is gone. How many there were."""
    with store.together():
        if ids is None and not parked and store.in_hands():
            ids = store.find(LetterFilter(), clock.now())
        return store.delete(
            ids if ids is None else not_in_hand(store, ids, parked=parked), parked=parked
        )


def not_in_hand(store: Store, ids: Sequence[int], *, parked: bool) -> Sequence[int]:
    """Those that no handler has; it stays so in a transaction that writes."""
    held = set() if parked else store.in_hands()
    return [letter_id for letter_id in ids if letter_id not in held] if held else ids


def discard_parked(store: Store, ids: Sequence[int], _now: int) -> int:
    """A `Verb`."""
    return store.delete(ids, parked=True)


class Purge:
    """Deletes permanent failures that were parked so long ago, and what is kept of attempts of so
    long ago, a bounded number in each transaction. A step that failed can be taken again."""

    def __init__(self, store: Store, older_than: Duration, by: str | None = None) -> None:
        self._age = from_microseconds(to_microseconds(older_than, "older_than"))
        wanted = LetterFilter(parked=True, min_parked_age=self._age)
        self._store = store
        self._act = Act(store, "purge", wanted, by)
        self._ids = self._act.freeze()
        self._place = 0
        self._after: int | None = 0

    def step(self) -> bool:
        """Delete some more, in a transaction; whether there may be others. Errors: StorageError."""
        if self._place < len(self._ids):
            some = self._ids[self._place : self._place + IDS_A_TRANSACTION]
            for _ in in_parts(self._store, self._act, some, discard_parked):
                pass
            self._place += len(some)
        elif self._after is not None:
            self._after = _purge_some_attempts(self._store, self._act, self._age, self._after)
        return self._after is not None

    @property
    def purged(self) -> Purged:
        """What was deleted so far."""
        return Purged(self._act.done, self._act.details.get("attempts", 0))


def checked_name(by: str) -> str:
    """Errors: ConfigError where it cannot be written down as who did something."""
    if not isinstance(by, str) or not by.strip() or not by.isprintable() or len(by) > _LONGEST_NAME:
        allowed = f"a name of 1 to {_LONGEST_NAME} printable characters"
        raise not_allowed("by", by, allowed)
    return by
