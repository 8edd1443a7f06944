"""Calls of handlers outside any transaction: claimed in one group, settled in a later one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from time import monotonic
from typing import Any, TypeAlias

from azoth_dlq._event import Event
from azoth_dlq.engine._calls import Calls
from azoth_dlq.engine._group import Group, Raised
from azoth_dlq.engine.letters import INLINE, Limits, warn_batch_failed
from azoth_dlq.errors import InvalidStateError
from azoth_dlq.registration import Registration, check_ran
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.store.base import (
    ALONE,
    CommitRefused,
    Forked,
    StorageFault,
    Store,
    TransactionLost,
)

Row = tuple[Any, ...]
Tidy: TypeAlias = Callable[[BaseException | None], str | None]


class OutsideCall:
    """A letter, or a batch of them, whose handler is called outside any transaction.

    In one group the letters are claimed; in a later one their outcome is recorded. A batch that
    failed has none: its letters are to be called one by one. `interrupt` is what ended the call
    otherwise. `slot`: where it is marked that the call has started.
    """

    __slots__ = (
        "_batch",
        "_is_given_up",
        "_payloads",
        "_raised",
        "_rows",
        "began",
        "ends_at",
        "goes_on",
        "interrupt",
        "is_gone",
        "is_lost",
        "is_over",
        "refused",
        "registration",
        "seconds",
        "size",
        "slot",
        "task",
        "timeout",
        "was_in_batch",
    )

    def __init__(
        self, rows: list[Row], payloads: list[bytes], registration: Registration, *, batch: bool
    ) -> None:
        self._rows = rows
        self._payloads = payloads
        self.registration = registration
        self._batch = batch
        self._raised: Raised | None = None
        self.size = sum([2 * len(row[-1]) for row in rows])  # bytes in memory
        self.slot: int | None = None
        self.timeout = registration.timeout  # in seconds
        self.began = 0.0
        self.ends_at = inf  # by its timeout
        self.seconds = 0.0
        self.refused = ""  # why its outcome could not be committed
        self.is_over = False  # nothing interrupted it
        self.goes_on = False  # its handler still runs, whatever is recorded of it
        self._is_given_up = False
        self.interrupt: BaseException | None = None
        self.task: Any = None  # that awaits it, or the thread that it runs in
        self.was_in_batch = False
        self.is_gone = False  # its letter, before it was called
        self.is_lost = False  # its time was up, and it goes on

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def first_id(self) -> int:
        letter_id: int = self._rows[0][0]
        return letter_id

    @property
    def ids(self) -> list[int]:
        return [row[0] for row in self._rows]

    @property
    def is_failed_batch(self) -> bool:
        return self._batch and self._raised is not None

    @property
    def has_failed(self) -> bool | None:
        """Whether it counts as a failure; None where it says nothing about what handlers need."""
        if self.is_to_be_released:
            return None
        return False if self._raised is None else self._raised.counts or None

    @property
    def is_to_be_released(self) -> bool:
        """Whether nothing is written of the call but that it is over."""
        if not self.is_over or self.interrupt is not None or self._is_given_up:
            return True
        return self._batch and self._raised is not None

    def is_as_claimed(self, present: Mapping[int, Row]) -> bool:
        """Whether its letters are still there, by their rows as they are now."""
        return all(present.get(row[0], (None, None))[-2:] == row[-2:] for row in self._rows)

    @property
    def is_batch(self) -> bool:
        return self._batch

    def claim(self, store: Store) -> None:
        """Within the open group: the letters are in hand from its commit on."""
        slots = None if self.slot is None else [self.slot] * len(self)
        store.claim(self.ids, batch=self._batch, slots=slots)

    def begin(self) -> None:
        """It starts now, and its time runs."""
        self.began = monotonic()
        if self.timeout is not None:
            self.ends_at = self.began + self.timeout

    def call(self, connection: Callable[[], Any], tidy: Tidy) -> None:
        """Call the handler, with what `connection()` gives if it needs that; what it raises is
        kept, in texts. `tidy` ends what it left open."""
        self.began = self.began or monotonic()
        try:
            self.check(self.invoke(connection))
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it is the call's
            self.ended(error, tidy)
        else:
            self.ended(None, tidy)

    def invoke(self, connection: Callable[[], Any]) -> Any:
        """What the handler returns, which is to be awaited where it is async."""
        registration = self.registration
        given = connection() if registration.needs_connection else None
        if self._batch:
            pairs = zip(self._rows, self._payloads, strict=True)
            events = [Event(row[-2], payload) for row, payload in pairs]
            return registration.call_batch(given, events)
        return registration.call(given, self._rows[0][-2], self._payloads[0])

    def check(self, result: object) -> None:
        """Errors: TypeError where what was returned is still to be run."""
        if result is not None:
            check_ran(result, self.registration.name)

    def ended(self, error: BaseException | None, tidy: Tidy, *, is_failure: bool = False) -> None:
        """The handler returned, or raised `error`: an Exception is its letters' failure, any other
        is raised once what became of others is committed, but where it `is_failure`, too."""
        if error is None:
            error = _complaint(tidy)
        if error is not None:
            # Not of `isinstance`: an error's own `__class__` may raise.
            if is_failure or issubclass(type(error), Exception):
                self._failed(error, tidy)
            else:
                self._interrupted(error, tidy)
        self.seconds = monotonic() - self.began
        self.is_over = True
        if self._raised is not None and self._batch:
            warn_batch_failed(self.ids, self.registration.name, self._raised.text)

    def _failed(self, error: BaseException, tidy: Tidy) -> None:
        try:
            # Before anything is tidied or recorded: its text may be made by code of the handler's.
            self._raised = Raised(self.registration, error, with_traceback=True)
        except BaseException as interrupt:  # noqa: BLE001 -- as if the call had met it
            self._interrupted(interrupt, tidy)
        else:
            self._tidy(tidy, error)

    def _interrupted(self, interrupt: BaseException, tidy: Tidy) -> None:
        self.interrupt = interrupt
        self._tidy(tidy, interrupt)

    def _tidy(self, tidy: Tidy, error: BaseException) -> None:
        try:
            tidy(error)
        except StorageFault as fault:
            # It says nothing about the letters.
            self._raised, self.interrupt = None, fault

    def given_up(self) -> OutsideCall:
        """Its time is up, and nothing ends it: the failure of its letters, which stay claimed."""
        call = OutsideCall(self._rows, self._payloads, self.registration, batch=False)
        is_async = self.registration.is_async
        how = "did not end when it was cancelled" if is_async else "was left behind in its thread"
        error = self.timed_out(how)
        call._raised = Raised(self.registration, error, with_traceback=False)
        call.slot, call.seconds = self.slot, monotonic() - self.began
        call.is_over = call.goes_on = call.is_lost = True
        return call

    def timed_out(self, how: str) -> TimeoutError:
        """What is said of it where its time is up."""
        seconds = self.ends_at - self.began
        return TimeoutError(f"the handler took longer than its timeout of {seconds:g} s, and {how}")

    def abandoned(self) -> OutsideCall:
        """The drain ends without waiting for it: its letters stay claimed, and have no outcome."""
        call = OutsideCall(self._rows, self._payloads, self.registration, batch=False)
        call.slot, call.goes_on = self.slot, True
        return call

    def record(self, group: Group, counted: Calls, present: Mapping[int, Row] | None) -> None:
        """Within a later group: what became of the letters. `present`: their rows as they are now,
        None where they are as they were. One whose id now is another event's has been replaced:
        the outcome is not that one's."""
        group.settled_calls.append(self)
        if self.goes_on:
            group.settlement.held += self.ids
        if self.is_gone:
            group.skipped += len(self)
        if self.is_to_be_released:
            group.settlement.released += self.ids
            return
        registration, succeeded = self.registration, 0
        for called in self._rows:
            # As it is now: another program may have counted an attempt.
            row = called if present is None else present.get(called[0], called)
            if row[-2:] != called[-2:]:
                group.skipped += 1
                group.settlement.released.append(row[0])
            elif self.refused:
                group.failed_with(row, f"{registration.name}: {self.refused}")
            elif self._raised is not None:
                group.failed_as(row, self._raised, self.seconds)
            else:
                succeeded += 1
                group.succeeded(row, registration, self.seconds / len(self._rows))
        counted.note(registration, self.seconds, len(self._rows), succeeded)
        group.lost += self.is_lost

    def present(self, store: Store) -> dict[int, Row]:
        """Its rows as they are now."""
        came_late = any(len(row[-1]) > INLINE for row in self._rows)
        inline = None if came_late else INLINE
        return {row[0]: row for row in store.fetch(self.ids, inline=inline, verify=False)}

    def singly(self) -> list[OutsideCall]:
        """Each of its letters, with the outcome where it has one: where they cannot be committed
        together, or are to be called one by one."""
        pairs = zip(self._rows, self._payloads, strict=True)
        calls = [OutsideCall([row], [p], self.registration, batch=False) for row, p in pairs]
        for call in calls:
            call.was_in_batch = True
        if not self.is_to_be_released:
            for call in calls:
                call.seconds, call.is_over = self.seconds / len(calls), True
                call._raised = self._raised  # noqa: SLF001 -- it is one of ours
                call.goes_on = self.goes_on
            calls[0].is_lost = self.is_lost
        return calls

    def refuse(self, refused: CommitRefused) -> bool:
        """The outcome of the one letter cannot be committed: have it fail, saying so; False where
        that was refused, too, and the letter is given up."""
        self._is_given_up = bool(self.refused)
        self.refused = str(refused)
        if self._raised is not None:
            self.refused += f": {self._raised.text}"
        return not self._is_given_up


def _complaint(tidy: Tidy) -> Exception | None:
    """What a handler that returned has left open."""
    try:
        complaint = tidy(None)
    except Exception as error:  # noqa: BLE001 -- told as if the handler had raised it
        return error
    return None if complaint is None else InvalidStateError(complaint)


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
    routed = registry.route is not None
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
