"""What is put back at the end of a drain, whatever interrupts it.

Compiled: a signal may come between any two lines of Python, and comes between none of these.
"""

cimport cython

cdef int TRIES = 3


@cython.final
cdef class PutBack:
    """Actions that are done by `now`, the last first: at the end of a `with`, or by itself where
    nobody comes to that."""

    cdef list _actions

    def __cinit__(self):
        self._actions = []

    def later(self, action, *arguments):
        """Have `action(*arguments)` done; one that is interrupted is done again."""
        self._actions.append((action, arguments))

    def now(self):
        """Do them all: one that fails keeps none of the others. Errors: the first, or an
        interrupt."""
        cdef object raised = None
        cdef bint is_interrupt = False
        cdef int _try
        while self._actions:
            action, arguments = self._actions[len(self._actions) - 1]
            for _try in range(TRIES):
                try:
                    action(*arguments)
                except Exception as error:
                    if raised is None:
                        raised = error
                except BaseException as interrupt:
                    if not is_interrupt:
                        raised, is_interrupt = interrupt, True
                    continue
                break
            self._actions.pop()
        if raised is not None:
            raise raised

    def __enter__(self):
        return None

    def __exit__(self, *_):
        self.now()

    def __del__(self):
        self.now()
