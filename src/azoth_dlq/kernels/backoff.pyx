"""Delays before the next attempt, in integer microseconds."""

from libc.stdint cimport int64_t, uint64_t

from azoth_dlq.kernels.arguments cimport backoff_arguments, int_argument, jitter_argument
from azoth_dlq.kernels.buffers cimport Buffers, column, open_buffer, release_buffers
from azoth_dlq.kernels.csrc cimport (
    AZDLQ_EXPONENTIAL,
    AZDLQ_FIBONACCI,
    AZDLQ_FIXED,
    AZDLQ_OK,
    azdlq_backoff,
    azdlq_backoff_delay,
    azdlq_backoff_delays,
    azdlq_backoff_jittered,
    azdlq_result,
)

FIXED = AZDLQ_FIXED
EXPONENTIAL = AZDLQ_EXPONENTIAL
FIBONACCI = AZDLQ_FIBONACCI


def delay(kind, initial, maximum, attempt):
    """The delay before an attempt, of which 0 is the first.

    `initial`, `maximum` and the result in microseconds, 0 to 2**63-1; FIXED ignores `maximum`.
    ValueError for an unknown kind or a number outside its range, TypeError for what is no int.
    """
    cdef azdlq_backoff backoff = backoff_arguments(kind, initial, maximum)
    return azdlq_backoff_delay(&backoff, int_argument(attempt, "attempt", 0))


def delays(kind, initial, maximum, attempts, out):
    """The delays before many attempts; `attempts` and `out` are int64 buffers of one length.

    `out` may be `attempts` itself. ValueError names the first negative attempt and leaves `out`
    as it was.
    """
    cdef azdlq_backoff backoff = backoff_arguments(kind, initial, maximum)
    cdef Buffers buffers
    cdef Py_ssize_t count
    buffers.held = 0
    try:
        count = open_buffer(&buffers, attempts, "attempts")
        target = <int64_t *> column(&buffers, out, "out", count, writable=True)
        fill_delays(&backoff, <const int64_t *> buffers.views[0].buf, count, target)
    finally:
        release_buffers(&buffers)


cdef int fill_delays(
    const azdlq_backoff *backoff, const int64_t *attempts, Py_ssize_t count, int64_t *out
) except -1:
    cdef size_t negative = 0
    cdef azdlq_result result
    with nogil:
        result = azdlq_backoff_delays(backoff, attempts, <size_t> count, out, &negative)
    if result != AZDLQ_OK:
        raise ValueError(
            f"attempts[{negative}] is {attempts[negative]}; attempts count from 0, the first"
        )
    return 0


def jittered(delay, jitter, letter_id, retry_count):
    """A delay lessened by up to the share `jitter` (0 to 1), fixed by the letter and its count.

    The hash is documented in csrc/backoff.h. ValueError for a number outside its range.
    """
    cdef int64_t whole = int_argument(delay, "delay", 0)
    cdef uint64_t share = jitter_argument(jitter)
    cdef int64_t letter = int_argument(letter_id, "letter_id")
    return azdlq_backoff_jittered(whole, share, letter, int_argument(retry_count, "retry_count"))
