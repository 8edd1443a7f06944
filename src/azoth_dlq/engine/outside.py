"""Calls of handlers outside any transaction: claimed in one group, settled in the next."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

from azoth_dlq._event import Event
from azoth_dlq.engine._group import Group, Raised
from azoth_dlq.engine.letters import INLINE, Limits, warn_batch_failed
from azoth_dlq.errors import InvalidStateError
from azoth_dlq.metrics import BUCKET_BOUNDS
from azoth_dlq.registry import EventHandlerRegistry, Registration, check_ran
from azoth_dlq.store.base import (
    ALONE,
    CommitRefused,
    Forked,
    StorageFault,
    Store,
    TransactionLost,
)

Row = tuple[Any, ...]


class OutsideCall:
    """A letter, or a batch of them, whose handler is called between two groups.

    In the first group the letters are claimed; in the second their outcome is recorded. A batch
    that failed has none: its letters are to be called one by one. `interrupt` is what ended the
    call otherwise, to be raised once the outcome is committed.
    """

    def __init__(
        self, rows: list[Row], payloads: list[bytes], registration: Registration, *, batch: bool
    ) -> None:
        self._rows = rows
        self._payloads = payloads
        self._registration = registration
        self._batch = batch
        self._raised: Raised | None = None
        self.seconds = 0.0
        self.refused = ""  # why its outcome could not be committed
        self.is_over = False  # nothing interrupted it
        self._is_given_up = False
        self.interrupt: BaseException | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ids(self) -> list[int]:
        return [row[0] for row in self._rows]

    @property
    def is_failed_batch(self) -> bool:
        return self._batch and self._raised is not None

    @property
    def is_to_be_released(self) -> bool:
        """Whether nothing is written of the call but that it is over."""
        has_outcome = self.is_over and self.interrupt is None
        return not has_outcome or self.is_failed_batch or self._is_given_up

    def claim(self, store: Store) -> None:
        """Within the open group: the letters are in hand from its commit on."""
        store.claim(self.ids, batch=self._batch)

    def call(self, store: Store) -> None:
        """Call the handler; what it raises is kept, in texts."""
        began = monotonic()
        try:
            self._call(store)
        except Exception as error:  # noqa: BLE001 -- whatever a handler raises is its letters'
            self._tell(error, store)
        except BaseException as interrupt:  # noqa: BLE001 -- raised once the outcome is committed
            self._interrupted(interrupt, store)
        self.seconds = monotonic() - began
        self.is_over = True
        if self._raised is not None and self._batch:
            warn_batch_failed(self.ids, self._registration.name, self._raised.text)

    def _tell(self, error: Exception, store: Store) -> None:
        try:
            # Before anything is tidied or recorded: its text may be made by code of the handler's.
            self._raised = Raised(self._registration, error, with_traceback=True)
        except BaseException as interrupt:  # noqa: BLE001 -- as if the call had met it
            self._interrupted(interrupt, store)
        else:
            self._tidy(store, error)

    def _interrupted(self, interrupt: BaseException, store: Store) -> None:
        self.interrupt = interrupt
        self._tidy(store, interrupt)

    def record(self, group: Group, store: Store) -> None:
        """Within the next group: what became of the letters. One whose id now is another event's
        has been replaced: the outcome is not that one's."""
        group.settled_call = self
        if self.is_to_be_released:
            group.settlement.released += self.ids
            group.interrupt = self.interrupt
            group.full = group.full or self.interrupt is not None
            return
        registration, succeeded = self._registration, 0
        came_late = any(len(row[-1]) > INLINE for row in self._rows)
        inline = None if came_late else INLINE
        present = {row[0]: row for row in store.fetch(self.ids, inline=inline, verify=False)}
        for called in self._rows:
            # As it is now: another program may have counted an attempt.
            row = present.get(called[0], called)
            if row[-2:] != called[-2:]:
                group.skipped += 1
                group.settlement.released.append(row[0])
            elif self.refused:
                group.failed_with(row, f"{registration.name}: {self.refused}")
            elif self._raised is not None:
                group.failed_as(row, self._raised, self.seconds)
            else:
                succeeded += 1
                group.succeeded(row)
        counts = [0] * (len(BUCKET_BOUNDS) + 1)
        counts[bisect_left(BUCKET_BOUNDS, self.seconds / len(self))] = len(self)
        group.called(registration.event_type, succeeded, counts, self.seconds)

    def singly(self) -> list[OutsideCall]:
        """The outcome of each of its letters, where they cannot be committed together."""
        pairs = zip(self._rows, self._payloads, strict=True)
        calls = [OutsideCall([row], [p], self._registration, batch=False) for row, p in pairs]
        for call in calls:
            call.seconds, call.is_over = self.seconds / len(calls), True
        return calls

    def refuse(self, refused: CommitRefused) -> bool:
        """The outcome of the one letter cannot be committed: have it fail, saying so; False where
        that was refused, too, and the letter is given up."""
        self._is_given_up = bool(self.refused)
        self.refused = str(refused)
        if self._raised is not None:
            self.refused += f": {self._raised.text}"
        return not self._is_given_up

    def _call(self, store: Store) -> None:
        registration = self._registration
        connection = store.reader() if registration.needs_connection else None
        if self._batch:
            pairs = zip(self._rows, self._payloads, strict=True)
            registration.call_batch(connection, [Event(row[-2], payload) for row, payload in pairs])
        else:
            result = registration.call(connection, self._rows[0][-2], self._payloads[0])
            check_ran(result, registration.name)
        complaint = store.tidy()
        if complaint is not None:
            raise InvalidStateError(complaint)

    def _tidy(self, store: Store, error: BaseException) -> None:
        try:
            store.tidy(error)
        except StorageFault as fault:
            # It says nothing about the letters.
            self._raised, self.interrupt = None, fault


def gather(
    rows: Sequence[Row],
    first: tuple[Registration, bytes, bytes],
    registry: EventHandlerRegistry,
    store: Store,
    limits: Limits,
) -> OutsideCall:
    """The call for the first of `rows`, with the letters that follow it where its handler takes
    batches. `first` is what it was resolved to, and its event bytes, which may have come late."""
    registration, payload, event_bytes = first
    row = (*rows[0][:-1], event_bytes)
    if registration.batch_call is None or _is_alone(row) or row[0] in limits.singly:
        return OutsideCall([row], [payload], registration, batch=False)
    taken, payloads, bytes_left = [row], [payload], limits.batch_bytes - len(payload)
    candidates = rows[1 : min(limits.batch_size, limits.most)]
    for following, its_payload in _following(candidates, registration, registry, store):
        bytes_left -= len(its_payload)
        if bytes_left < 0:
            break
        taken.append(following)
        payloads.append(its_payload)
    return OutsideCall(taken, payloads, registration, batch=True)


def _following(
    rows: Sequence[Row], registration: Registration, registry: EventHandlerRegistry, store: Store
) -> Iterator[tuple[Row, bytes]]:
    """Letters of the same handler with their payloads, up to the first that is of another, or
    that comes late, or cannot be read."""
    routed = registry.by_key is None
    for row in rows:
        if _is_alone(row) or not isinstance(row[-1], bytes) or type(row[-2]) is not int:
            return
        if routed:
            # Where a route kills the process, it is this letter's doing.
            store.isolate(row[0])
        try:
            found, payload = registry.resolve(row[-1])
            if routed:
                store.keep()
        except (TransactionLost, Forked):
            raise
        except Exception:  # noqa: BLE001 -- it fails on its own, when its turn comes
            if routed:
                store.undo()
            return
        if found is not registration:
            return
        yield row, payload


def _is_alone(row: Row) -> bool:
    """Whether the letter is to be kept out of batches."""
    return bool((row[-3] or 0) & ALONE)
