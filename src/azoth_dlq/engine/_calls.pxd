cdef enum:
    MOST_BUCKETS = 16

cdef class CallsOfType:
    cdef Py_ssize_t succeeded
    cdef Py_ssize_t[MOST_BUCKETS] counts
    cdef double seconds

cdef class Calls:
    cdef object group, registration
    cdef dict by_type
    cdef CallsOfType of_type

    cdef int add(
        self, registration, double seconds, Py_ssize_t letters, Py_ssize_t succeeded
    ) except -1
    cdef int use(self, registration) except -1
    cdef int tell(self) except -1
