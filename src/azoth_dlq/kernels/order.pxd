from libc.stdint cimport int32_t

from azoth_dlq.kernels.csrc cimport azdlq_needle, azdlq_needles


cdef class ErrorTypes:
    cdef readonly tuple texts
    cdef tuple _folded
    cdef azdlq_needle *_needles
    cdef int32_t *_next
    cdef azdlq_needles _index

    cdef int32_t rank_of(self, object text) except -1
