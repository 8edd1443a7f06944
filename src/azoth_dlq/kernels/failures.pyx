"""When letters failed: counts by spans of time."""

from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t

from azoth_dlq.kernels.arguments cimport int_argument
from azoth_dlq.kernels.csrc cimport AZDLQ_NONE, AZDLQ_UNREADABLE
from azoth_dlq.kernels.rows cimport instant_of


def count_failures(list texts not None, width, dict counts not None):
    """Add to `counts` how many of `texts` are timestamps in each span of `width` µs, by the number
    of the span since 1970; the earliest of them in µs, None where there is none.

    TEXT is a str or bytearray; what else there is counts as none. ValueError and TypeError name
    the argument.
    """
    cdef int64_t span = int_argument(width, "width", 1), instant, earliest = INT64_MAX
    cdef int64_t place, last = 0
    cdef Py_ssize_t run = 0  # of the last place, not in `counts` yet
    for text in texts:
        instant = instant_of(<PyObject *> text)
        if instant == AZDLQ_NONE or instant == AZDLQ_UNREADABLE:
            continue
        earliest = min(earliest, instant)
        place = instant // span
        if run and place != last:
            counts[last] = counts.get(last, 0) + run
            run = 0
        last = place
        run += 1
    if run:
        counts[last] = counts.get(last, 0) + run
    return None if earliest == INT64_MAX else earliest
