"""What stands around a store under test: handlers, other programs, faults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from azoth_dlq.store.base import DrainSettings, Store

SETTINGS = DrainSettings(busy_timeout=0.2, settings='{"batch_size": 7}')
LETTER = {
    "event_id": 42,
    "event_bytes": b"ok:payload",
    "error_message": "boom",
    "failed_at": "2026-11-24 10:00:00",
    "retry_count": 0,
    "last_retry_at": None,
}


def slots_of(
    in_batch: Sequence[int], singly: Sequence[int], started: Sequence[int] | None
) -> list[int]:
    """A slot for each letter, that of its id; none where none is to be had."""
    return [] if started is None else [*in_batch, *singly]


class Backend(ABC):
    """One store. Where a method has a `connection`, it does what a handler may do through it."""

    store: Store
    read_only_error: type[Exception]  # of writing through a connection that only reads

    @abstractmethod
    def __init__(self, folder: Path) -> None:
        """A store without letters; what it needs to keep it keeps in `folder`."""

    def insert(self, **columns: Any) -> int:
        """Another program adds a letter, with whatever it likes in the columns; its id."""
        return self._insert(LETTER | columns)

    @abstractmethod
    def _insert(self, columns: dict[str, Any]) -> int: ...

    @abstractmethod
    def update(self, letter_id: int, **columns: Any) -> None:
        """Another program changes a letter."""

    @abstractmethod
    def remove(self, letter_id: int) -> None:
        """Another program deletes a letter."""

    @abstractmethod
    def ids(self) -> list[int]:
        """Of the committed letters, as another program sees them."""

    @abstractmethod
    def effects(self) -> list[int]:
        """What handlers have committed, as another program sees it."""

    @abstractmethod
    def write(self, connection: Any, value: int) -> None:
        """Write one effect."""

    @abstractmethod
    def begin(self) -> None:
        """The user opens a transaction on the store's connection."""

    @abstractmethod
    def commit(self) -> None:
        """The user commits it."""

    @abstractmethod
    def roll_back(self) -> None:
        """The user takes it back."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def lose_transaction(self, connection: Any) -> None:
        """Make the store roll the whole transaction back, as a conflict can."""

    @abstractmethod
    def commit_behind_the_guard(self, connection: Any) -> None: ...

    @abstractmethod
    def make_uncommittable(self, connection: Any) -> None:
        """Write what cannot be committed, unknown to the writer."""

    @abstractmethod
    def database_fault(self) -> Exception:
        """What a handler gets from a statement where the disk is full."""

    @abstractmethod
    def others_can_write(self) -> bool: ...

    @abstractmethod
    def another_writes(self) -> Any:
        """A context in which another program holds the lock for writing."""

    @abstractmethod
    def another_reads(self) -> Any:
        """A context in which another program reads, so that nothing can be committed."""

    @abstractmethod
    def another_store(self) -> AbstractContextManager[Store]:
        """The same letters, as another program uses them at the same time."""

    @abstractmethod
    def die_with_claims(
        self,
        *,
        in_batch: Sequence[int] = (),
        singly: Sequence[int] = (),
        started: Sequence[int] | None = None,
    ) -> None:
        """A process that drains the same letters dies while it has claimed these, in that order.
        `started`: each has a slot, and those of these are marked."""

    @abstractmethod
    def effects_through(self, connection: Any) -> list[int]:
        """What a handler reads."""

    @abstractmethod
    def begin_on(self, connection: Any) -> None:
        """A handler outside a transaction begins one."""

    @abstractmethod
    def die_in(self, letter_id: int, *batch: int) -> None:
        """A process that drains the same letters dies while it has this one in hand, or a batch
        that begins with it."""
