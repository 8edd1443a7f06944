cdef class Resolver:
    cdef object registry, registration, call, batch_call, validate
    cdef bytes key
    cdef bint is_routed, transactional

    cdef bytes resolve(self, bytes event_bytes)
    cdef int use(self, registration) except -1
    cdef bint is_same_key(self, const char *text, Py_ssize_t length)
