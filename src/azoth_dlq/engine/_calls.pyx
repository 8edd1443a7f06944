"""How often handlers were called, and how long it took: counted once a letter, told by chunks."""

cimport cython
from libc.string cimport memset

from azoth_dlq import metrics

cdef double[MOST_BUCKETS] BOUNDS
cdef Py_ssize_t BUCKETS = len(metrics.BUCKET_BOUNDS) + 1


cdef int take_bounds() except -1:
    cdef Py_ssize_t place
    for place in range(BUCKETS - 1):
        BOUNDS[place] = metrics.BUCKET_BOUNDS[place]
    return 0


take_bounds()


@cython.final
cdef class Calls:
    """The calls of one event type's handler: how many succeeded, and how long each took."""

    def __cinit__(self, group):
        self.group = group
        self.clear()

    cdef void clear(self) noexcept:
        self.succeeded = 0
        self.seconds = 0
        memset(self.counts, 0, sizeof(self.counts))

    cdef int add(self, registration, double seconds, Py_ssize_t letters) except -1:
        """The handler was called for so many letters at once."""
        cdef Py_ssize_t bucket = 0
        cdef double each = seconds / letters
        if registration is not self.registration:
            self.tell()
            self.registration = registration
        while bucket < BUCKETS - 1 and each > BOUNDS[bucket]:
            bucket += 1
        self.counts[bucket] += letters
        self.seconds += seconds
        return 0

    cdef int tell(self) except -1:
        """Have the group know of the calls so far."""
        cdef Py_ssize_t bucket
        if self.registration is not None:
            counts = [self.counts[bucket] for bucket in range(BUCKETS)]
            event_type = self.registration.event_type
            self.group.called(event_type, self.succeeded, counts, self.seconds)
            self.clear()
        return 0
