"""What an event leads to: looked up once a letter."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp

from azoth_dlq.kernels.csrc cimport azdlq_utf8_valid


@cython.final
cdef class Resolver:
    """Finds registration and payload of an event; most events have the type of the one before."""

    def __cinit__(self, registry):
        self.registry = registry
        self.is_routed = registry.route is not None
        self.key = None

    cdef bytes resolve(self, bytes event_bytes):
        """The payload; what is called for it is left in the attributes.

        Errors: EventDecodeError.
        """
        cdef const char *text = PyBytes_AS_STRING(event_bytes)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(event_bytes)
        cdef const char *colon
        cdef Py_ssize_t length
        if not self.is_routed and azdlq_utf8_valid(text, size):
            colon = <const char *> memchr(text, b":", size)
            length = colon - text if colon != NULL else -1
            if length >= 0 and self.is_same_key(text, length):
                return PyBytes_FromStringAndSize(colon + 1, size - length - 1)
        registration, payload = self.registry.resolve(event_bytes)
        if registration is not self.registration:
            self.use(registration)
        return payload

    cdef int use(self, registration) except -1:
        self.registration = registration
        self.call = registration.call
        self.batch_call = registration.batch_call
        self.validate = registration.validate
        self.transactional = registration.transactional
        if not self.is_routed:
            self.key = registration.event_type.encode()
        return 0

    cdef bint is_same_key(self, const char *text, Py_ssize_t length):
        return (
            self.key is not None
            and PyBytes_GET_SIZE(self.key) == length
            and memcmp(PyBytes_AS_STRING(self.key), text, length) == 0
        )
