cdef class Event:
    cdef readonly object event_id
    cdef readonly bytes payload
