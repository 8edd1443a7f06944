"""An event of a batch. Compiled, since one is made for each letter."""

cimport cython


@cython.final
@cython.freelist(64)
cdef class Event:
    """What `handle_batch` gets for each letter: `event_id` and `payload` (bytes), to be read."""

    def __cinit__(self, event_id, bytes payload not None):
        self.event_id = event_id
        self.payload = payload

    def __eq__(self, other):
        cdef Event event
        if not isinstance(other, Event):
            return NotImplemented
        event = other
        return self.event_id == event.event_id and self.payload == event.payload

    def __hash__(self):
        return hash((self.event_id, self.payload))

    def __reduce__(self):
        return Event, (self.event_id, self.payload)

    def __repr__(self):
        return f"Event(event_id={self.event_id!r}, payload=<{len(self.payload)} bytes>)"
