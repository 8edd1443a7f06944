"""The loop over fetched letters: each in isolation, one call of its handler, one outcome.

Compiled, since it runs once a letter: what it costs beside SQLite is hardly seen, and no signal
comes between a handler's return and the record of it.
"""

cimport cython
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.long cimport PyLong_CheckExact
from cpython.time cimport monotonic
from libc.string cimport memchr, memcmp

from azoth_dlq.engine.letters import event_bytes_of, note_failure, warn_slow
from azoth_dlq.kernels.csrc cimport azdlq_utf8_valid
from azoth_dlq.store.base import Forked, TransactionLost

cdef double SLOW_CALL_SECONDS = 1.0


@cython.final
cdef class Resolver:
    """Finds registration and payload of an event; most events have the type of the one before."""

    cdef object registry, registration
    cdef dict by_key
    cdef bytes key

    def __cinit__(self, registry):
        self.registry = registry
        self.by_key = registry.by_key
        self.key = None

    cdef bytes resolve(self, bytes event_bytes):
        """The payload; the registration is left in `self.registration`.

        Errors: EventDecodeError.
        """
        cdef const char *text = PyBytes_AS_STRING(event_bytes)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(event_bytes)
        cdef const char *colon
        cdef Py_ssize_t length
        if self.by_key is not None and azdlq_utf8_valid(text, size):
            colon = <const char *> memchr(text, b":", size)
            length = colon - text if colon != NULL else -1
            if length >= 0 and self.is_same_key(text, length):
                return PyBytes_FromStringAndSize(colon + 1, size - length - 1)
        self.registration, payload = self.registry.resolve(event_bytes)
        if self.by_key is not None:
            self.key = self.registration.event_type.encode()
        return payload

    cdef bint is_same_key(self, const char *text, Py_ssize_t length):
        return (
            self.key is not None
            and PyBytes_GET_SIZE(self.key) == length
            and memcmp(PyBytes_AS_STRING(self.key), text, length) == 0
        )


cdef object name_of(registration):
    return "the registry's route" if registration is None else registration.name


def attempt(list rows not None, group, store, registry, stop, *, double ends_at,
            double ack_seconds, Py_ssize_t most, most_failures_in_row):
    """Attempt letters in the order of `rows`; how many were taken.

    A row is one of `Store.fetch`; where its event bytes are None they are fetched now. The loop
    ends early when writing what it has would last beyond `ends_at` (monotonic seconds, with
    `ack_seconds` a letter), at `most` letters in the group, at `most_failures_in_row` (None:
    never), and when `stop.requested`: the group is then `full`. It also ends where a handler may
    have changed the rows: they are then `stale`. An interrupt (a `BaseException` that is no
    `Exception`) ends it, too, and is left in `group.interrupt`.

    Errors: TransactionLost and StorageFault, with `group.last_called` telling in whose hands.
    """
    cdef Resolver resolver = Resolver(registry)
    cdef list acked = group.acked
    cdef Py_ssize_t done = len(group), taken = 0, width
    cdef tuple row
    cdef double before = monotonic(), now
    cdef bint succeeded = False
    connection, isolate, keep = store.connection, store.isolate, store.keep
    called = last = None
    try:
        for row in rows:
            taken += 1
            width = len(row)
            event_id, event_bytes = row[width - 2], row[width - 1]
            if not PyBytes_CheckExact(event_bytes) or not PyLong_CheckExact(event_id):
                event_bytes = event_bytes_of(row, group, store)
            if event_bytes is not None:
                isolate(row[0])
                last = row
                called = None
                try:
                    # Within the isolation: a route, too, may kill the process.
                    payload = resolver.resolve(event_bytes)
                    called = resolver.registration
                    called.call(connection, event_id, payload)
                    if keep():
                        group.stale = True
                except (TransactionLost, Forked):
                    raise
                except Exception as error:
                    if succeeded:
                        group.failures_in_row = 0
                        succeeded = False
                    note_failure(row, name_of(called), error, group, store)
                    done += 1
                else:
                    acked.append(row[0])
                    done += 1
                    succeeded = True
            now = monotonic()
            if now - before > SLOW_CALL_SECONDS and last is row:
                warn_slow(row[0], name_of(called), now - before)
            before = now
            if not succeeded and most_failures_in_row is not None:
                if group.failures_in_row >= most_failures_in_row:
                    group.stopped = "failures"
                    group.full = True
            if done >= most or now + done * ack_seconds >= ends_at or stop.requested:
                group.full = True
            if group.full or group.stale:
                break
    except Exception:
        raise
    except BaseException as interrupt:
        group.interrupt = interrupt
        group.full = True
        store.undo(unless=acked[len(acked) - 1] if acked else None)
    finally:
        group.last_called = last or group.last_called
        group.handler = name_of(called)
        if succeeded:
            group.failures_in_row = 0
    return taken
