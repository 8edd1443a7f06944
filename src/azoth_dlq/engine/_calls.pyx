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
cdef class CallsOfType:
    """The calls of one event type's handler."""

    def __cinit__(self):
        self.succeeded = 0
        self.seconds = 0
        memset(self.counts, 0, sizeof(self.counts))


@cython.final
cdef class Calls:
    """The calls of handlers: how many succeeded, and how long each took."""

    def __cinit__(self, group):
        self.group = group
        self.by_type = {}

    cdef int add(
        self, registration, double seconds, Py_ssize_t letters, Py_ssize_t succeeded
    ) except -1:
        """The handler was called for so many letters at once. No signal comes in between."""
        cdef Py_ssize_t bucket = 0
        cdef double each = seconds / letters
        if registration is not self.registration:
            self.use(registration)
        while bucket < BUCKETS - 1 and each > BOUNDS[bucket]:
            bucket += 1
        self.of_type.counts[bucket] += letters
        self.of_type.seconds += seconds
        self.of_type.succeeded += succeeded
        return 0

    cdef int use(self, registration) except -1:
        event_type = registration.event_type
        known = self.by_type.get(event_type)
        if known is None:
            known = self.by_type[event_type] = CallsOfType()
        self.registration, self.of_type = registration, known
        return 0

    cdef int tell(self) except -1:
        """Have the group know of the calls."""
        cdef CallsOfType of_type
        for event_type, of_type in self.by_type.items():
            counts = [of_type.counts[bucket] for bucket in range(BUCKETS)]
            self.group.called(event_type, of_type.succeeded, counts, of_type.seconds)
        return 0

    # For those that are called outside the loop. (`cpdef` would look for overriding methods at each
    # call from the loop, too.)

    def note(
        self, registration, double seconds, Py_ssize_t letters, Py_ssize_t succeeded
    ):
        """The same as `add`."""
        self.add(registration, seconds, letters, succeeded)

    def tell_group(self):
        """The same as `tell`."""
        self.tell()
