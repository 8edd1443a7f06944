"""The loop over fetched letters: each in isolation, one call of its handler, one outcome.

Compiled, since it runs once a letter: what it costs beside SQLite is hardly seen, and no signal
comes between a handler's return and the record of it.
"""

cimport cython
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.time cimport monotonic

from azoth_dlq._event cimport Event
from azoth_dlq.engine._calls cimport Calls
from azoth_dlq.engine._resolver cimport Resolver
from azoth_dlq.engine.letters import (
    event_bytes_of,
    note_batch_failure,
    note_failed_attempt,
    warn_slow,
)
from azoth_dlq.registration import check_ran
from azoth_dlq.store import base
from azoth_dlq.store.base import Forked, TransactionLost

cdef double SLOW_CALL_SECONDS = 1.0
cdef long KEPT_ALONE = base.ALONE


@cython.final
cdef class Batch:
    """A run of letters that one `handle_batch` gets, each joined to those in hand."""

    cdef list rows, ids, events
    cdef set singly
    cdef object store, isolate, join
    cdef Resolver resolver
    cdef Py_ssize_t room, bytes_left

    def __cinit__(self, list rows, store, Resolver resolver, limits, Py_ssize_t most):
        self.rows = rows
        self.store = store
        self.resolver = resolver
        self.singly = limits.singly
        self.isolate, self.join = store.isolate, store.join
        self.room = min(most, <Py_ssize_t> limits.batch_size)
        self.bytes_left = limits.batch_bytes
        self.ids, self.events = [], []

    cdef Py_ssize_t gather(self, Py_ssize_t start, bytes payload) except -1:
        """Take the letters from place `start` on, the first with its payload, as far as they are of
        its type; the place behind them, `start` where not even the first is for a batch."""
        cdef Py_ssize_t place = start
        cdef object registration = self.resolver.registration
        row = self.rows[place]
        if not self.fits(row) or not self.add(row, row[len(row) - 2], payload):
            return place
        place += 1
        while place < len(self.rows) and self.room and self.bytes_left > 0:
            row = self.rows[place]
            if not self.fits(row) or not self.take(row, registration):
                break
            place += 1
        return place

    cdef bint fits(self, row) except -1:
        notes = row[len(row) - 3]
        return (notes is None or not notes & KEPT_ALONE) and row[0] not in self.singly

    cdef bint take(self, row, registration) except -1:
        """Whether the letter belongs to the run; its bytes may have to be fetched."""
        cdef bint routed = self.resolver.is_routed
        event_id, event_bytes = row[len(row) - 2], row[len(row) - 1]
        if event_bytes is None:
            event_bytes = self.late(row)
        if not PyBytes_CheckExact(event_bytes) or not PyLong_CheckExact(event_id):
            return False
        try:
            if routed and not self.join(row[0]):
                return False
            payload = self.resolver.resolve(event_bytes)
        except Exception as error:  # It fails on its own, when its turn comes.
            self.store.undo(error)
            payload = None
        if payload is not None and self.resolver.registration is registration:
            if self.add(row, event_id, payload):
                return True
        self.again()
        return False

    cdef object late(self, row):
        """Event bytes that were too long to be fetched with the others."""
        fetched = self.store.fetch([row[0]], inline=None, verify=False)
        # No letter counts as in hand while letters are fetched.
        self.again()
        return fetched[0][len(fetched[0]) - 1] if fetched else None

    cdef bint add(self, row, event_id, bytes payload) except -1:
        if self.ids and PyBytes_GET_SIZE(payload) > self.bytes_left or not self.join(row[0]):
            return False
        if self.resolver.validate is not None:
            try:
                self.resolver.validate(payload)
            except Exception as error:  # It fails on its own, when its turn comes.
                self.store.undo(error)
                return False
        self.ids.append(row[0])
        self.events.append(Event(event_id, payload))
        self.room -= 1
        self.bytes_left -= PyBytes_GET_SIZE(payload)
        return True

    cdef int again(self) except -1:
        """Have those of the run in hand, and no other."""
        if self.ids:
            self.isolate(self.ids[0])
            for letter_id in self.ids:
                self.join(letter_id)
        return 0


cdef object name_of(registration):
    return "the registry's route" if registration is None else registration.name


@cython.final
cdef class Attempts:
    """The letters of one chunk: where the loop is, and what is known of the last ones called."""

    cdef list rows, acked, recorded, met, hurry, current, heard
    cdef object group, store, limits, connection, isolate, keep
    cdef Calls calls
    cdef Resolver resolver
    # The letter called last (of a batch the last one), its registration, its batch; and of the one
    # before it, for when its own call turns out to be none.
    cdef tuple last, last_before
    cdef object called, called_before
    cdef Batch batch, batch_before
    cdef Py_ssize_t place, behind, letters, done, unreadable, room, room_bytes
    cdef double before, ends_at
    cdef bint succeeded, ended, outside_only

    def __cinit__(self, list rows, group, store, registry, limits, list current):
        self.rows, self.group, self.store, self.limits = rows, group, store, limits
        self.acked, self.recorded, self.heard = group.acked, group.recorded, group.heard
        self.connection, self.isolate, self.keep = store.connection, store.isolate, store.keep
        self.calls = Calls(group)
        self.resolver = Resolver(registry)
        self.done, self.unreadable = len(group), group.unreadable
        self.outside_only = limits.outside_only
        self.met, self.hurry, self.current = group.met, limits.hurry, current
        self.room = -1 if limits.room is None else limits.room
        self.room_bytes = limits.room_bytes
        self.ends_at = limits.ends_at
        self.before = monotonic()

    cdef int run(self, stop) except -1:
        """Attempt one letter or batch after the other, until something ends it."""
        cdef Py_ssize_t most = self.limits.most
        cdef double ack_seconds = self.limits.ack_seconds
        cdef bint is_late
        cdef tuple row
        while self.place < len(self.rows):
            row = self.rows[self.place]
            if self.outside_only and row[len(row) - 1] is None:
                # A death while a large one is looked up would be taken for one in the call whose
                # outcome this group is to keep: that is committed first.
                self.group.full = True
                break
            self.behind = self.place + 1
            self.letters = 0
            event_bytes = self.event_bytes(row)
            if event_bytes is not None and not self.attempt(row, event_bytes):
                break
            self.go_on(row)
            is_late = self.before + self.done * ack_seconds >= self.ends_at
            if self.hurry is not None:
                is_late = is_late or self.before >= <double> self.hurry[0]
            if is_late or self.done + self.unreadable + len(self.met) >= most:
                self.group.full = self.ended = True
            if self.ended or stop.is_halted:
                break
        if stop.is_halted:
            self.group.full = True
        return 0

    cdef object event_bytes(self, tuple row):
        """Those of the row; fetched where they come late, None where it is no letter."""
        cdef Py_ssize_t width = len(row)
        event_id, event_bytes = row[width - 2], row[width - 1]
        if PyBytes_CheckExact(event_bytes) and PyLong_CheckExact(event_id):
            return event_bytes
        event_bytes = event_bytes_of(row, self.group, self.store)
        self.ended = self.group.full
        self.unreadable = self.group.unreadable
        self.before = monotonic()
        return event_bytes

    cdef bint attempt(self, tuple row, bytes event_bytes) except -1:
        """Call the letter's handler, with those that go with it in a batch, and note the outcome;
        False where it is not to be called within this transaction."""
        if not self.outside_only:
            self.isolate(row[0])
        self.last_before, self.called_before, self.batch_before = self.last, self.called, self.batch
        self.last, self.called, self.batch = row, None, None
        self.letters = 1
        error = None
        try:
            # Within the isolation: a route, too, may kill the process.
            payload = self.resolver.resolve(event_bytes)
            self.called = self.resolver.registration
            if not self.resolver.transactional or self.outside_only:
                if not self.outside_only:
                    self.keep()
                if self.room >= 0 and not self.resolver.transactional:
                    return self.meet(row, payload, event_bytes)
                if not self.resolver.transactional:
                    self.group.outside = self.called, payload, event_bytes
                self.group.full = True
                self.forget_last()
                return False
            self.call(row, payload)
            if self.keep():
                self.group.stale = self.ended = True
        except (TransactionLost, Forked):
            raise
        except Exception as raised:
            error = raised
        if error is None:
            self.note_success(row)
        else:  # Only here nothing else holds its frames.
            self.note_failure(row, error)
        return True

    cdef bint meet(self, tuple row, bytes payload, bytes event_bytes) except -1:
        """Have the letter claimed, to be called beside the drain; False where there is no room, or
        it goes with those that follow it."""
        self.forget_last()
        self.letters = 0
        if self.resolver.batch_call is not None:
            self.group.outside = self.resolver.registration, payload, event_bytes
            return False
        if len(self.met) >= self.room or self.room_bytes <= 0:
            self.group.full = self.group.is_blocked = True
            return False
        self.met.append((row, self.resolver.registration, payload, event_bytes))
        self.ends_at = min(self.ends_at, self.before + <double> self.limits.soon)
        self.room_bytes -= 2 * PyBytes_GET_SIZE(event_bytes)
        return True

    cdef int call(self, tuple row, bytes payload) except -1:
        cdef object call = self.resolver.call  # before others are looked up for a batch
        self.current[0] = row[0]
        if self.resolver.batch_call is not None:
            self.batch = Batch(
                self.rows, self.store, self.resolver, self.limits,
                self.limits.most - self.done - self.unreadable,
            )
            self.behind = self.batch.gather(self.place, payload)
            self.letters = self.behind - self.place
            if self.letters:
                self.last = self.rows[self.behind - 1]
                result = self.called.batch_call(self.connection, self.batch.events)
                if result is not None:
                    check_ran(result, self.called.name)
                return 0
            # Not to be called in a batch; what is in hand is it alone.
            self.batch, self.letters, self.behind = None, 1, self.place + 1
            self.isolate(row[0])
        result = call(self.connection, row[len(row) - 2], payload)
        if result is not None:
            check_ran(result, self.called.name)
        return 0

    cdef int note_success(self, tuple row) except -1:
        cdef double seconds
        if self.batch is None:
            self.acked.append(row[0])
            if row[len(row) - 3]:
                self.recorded.append(row[0])
        else:
            self.acked.extend(self.batch.ids)
            rows = self.rows[self.place:self.behind]
            self.recorded.extend([r[0] for r in rows if r[len(r) - 3]])
        self.succeeded = True
        seconds = monotonic() - self.before
        if self.heard is not None:
            self.hear(seconds / self.letters)
        self.calls.add(self.called, seconds, self.letters, self.letters)
        self.done += self.letters
        return 0

    cdef int hear(self, double seconds) except -1:
        """Note for the program that those called last succeeded, each after so many seconds."""
        cdef Py_ssize_t place
        event_type = self.called.event_type
        for place in range(self.place, self.behind):
            row = self.rows[place]
            values = row[0], row[len(row) - 2], event_type, "succeeded", None, row[1], seconds
            self.heard.append(values)
        return 0

    cdef int note_failure(self, tuple row, error) except -1:
        cdef double seconds = monotonic() - self.before
        if self.batch is not None and not self.batch.ids:
            self.batch = None  # Not even the first letter was in it: the error is that letter's.
        if self.batch is not None and self.letters:
            name = name_of(self.called)
            note_batch_failure(self.batch.ids, name, error, self.group, self.store)
            self.limits.singly.update(self.batch.ids)
            self.behind = self.place
            return 0
        if self.succeeded:
            self.group.failures_in_row = 0
            self.succeeded = False
        undo = None if self.outside_only else self.store.undo
        note_failed_attempt(row, self.called, error, self.group, undo, seconds=seconds)
        self.ended = self.group.full
        if self.called is not None:
            self.calls.add(self.called, seconds, 1, 0)
        self.done += 1
        return 0

    cdef int go_on(self, tuple row) except -1:
        """Behind the letters that were called."""
        cdef double before = self.before
        cdef bint is_called = self.last is not None and self.letters
        called = self.called
        self.before = monotonic()
        if self.behind == self.place and self.letters:
            # A batch that failed: of the letters behind the last one, none has an outcome.
            self.forget_last()
        self.place = self.behind
        # At last: while it is logged, an interrupt may come.
        if self.before - before > SLOW_CALL_SECONDS and is_called:
            warn_slow(row[0], self.letters, name_of(called), self.before - before)
        return 0

    cdef void forget_last(self) noexcept:
        self.last, self.called, self.batch = self.last_before, self.called_before, self.batch_before

    cdef int interrupted(self, interrupt) except -1:
        """Take back what was in hand, unless its outcome is noted."""
        cdef Py_ssize_t acked = len(self.acked)
        self.group.interrupt = interrupt
        self.group.full = True
        self.store.undo(unless=self.acked[acked - 1] if acked else None)
        if self.letters and len(self.group) > self.done:
            # Failed, and noted so.
            self.place = self.behind
            if self.called is not None:
                self.calls.add(self.called, monotonic() - self.before, 1, 0)
        return 0

    cdef int tell(self) except -1:
        """Have the group know of the calls."""
        if self.last is not None:
            self.group.last_called = self.last
            self.group.handler = name_of(self.called)
            self.group.batch = None if self.batch is None else self.batch.ids
        if self.succeeded:
            self.group.failures_in_row = 0
        self.calls.tell()
        return 0


def attempt(list rows not None, group, store, registry, stop, limits, list current not None):
    """Attempt letters in the order of `rows`; how many were taken.

    A row is one of `Store.fetch`; where its event bytes are None they are fetched now. The loop
    ends early when writing what it has would last beyond `limits.ends_at`, at `limits.most` letters
    in the group, and when `stop.is_halted`: the group is then `full`. It also ends where a handler
    may have changed the rows: they are then `stale`. Letters of a batch that failed are added to
    `limits.singly`. It ends before a letter whose handler runs outside the transaction, which is
    then `group.outside`, or, where there is `limits.room` for such letters, goes on with them in
    `group.met`. The only item of `current` is the letter whose handler runs. An interrupt (a
    `BaseException` that is no `Exception`) ends it, too, and is left in `group.interrupt`.

    Errors: TransactionLost and StorageFault, with `group.last_called` telling in whose hands.
    """
    cdef Attempts attempts = Attempts(rows, group, store, registry, limits, current)
    try:
        attempts.run(stop)
    except Exception:
        raise
    except BaseException as interrupt:
        attempts.interrupted(interrupt)
    finally:
        current[0] = None
        attempts.tell()
    return attempts.place
