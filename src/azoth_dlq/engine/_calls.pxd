cdef enum:
    MOST_BUCKETS = 16

cdef class Calls:
    cdef object group, registration
    cdef Py_ssize_t succeeded
    cdef Py_ssize_t[MOST_BUCKETS] counts
    cdef double seconds

    cdef void clear(self) noexcept
    cdef int add(self, registration, double seconds, Py_ssize_t letters) except -1
    cdef int tell(self) except -1
