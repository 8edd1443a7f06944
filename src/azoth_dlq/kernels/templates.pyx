"""What error texts have in common: their templates, and letters counted by them.

A template is a text with numbers, ids, addresses, quoted parts, paths and the like masked, and
without the frames of stack traces. Its fingerprint is the same in every process and version.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint64_t
from libc.string cimport memchr

from azoth_dlq.kernels.arguments cimport int_argument
from azoth_dlq.kernels.csrc cimport (
    AZDLQ_NONE,
    AZDLQ_TEMPLATE_ROOM,
    AZDLQ_TEMPLATE_TEXT,
    AZDLQ_UNREADABLE,
    azdlq_counting_part,
    azdlq_fingerprint,
    azdlq_template,
)
from azoth_dlq.kernels.rows cimport (
    PyByteArray_AS_STRING,
    PyByteArray_GET_SIZE,
    PyLong_CheckExact,
    PyTuple_Check,
    PyTuple_GET_ITEM,
    PyTuple_GET_SIZE,
    instant_of,
    read_id,
)

cdef enum:
    COLUMNS = 5
    ROOM = 16384  # AZDLQ_TEMPLATE_ROOM
    EVENT_START = 257  # a type of 64 characters, and the colon
    ROWS_BETWEEN_SIGNALS = 65536
    MOST_TYPES_KNOWN = 4096
    MOST_TYPES = 16  # counted in a group
    MOST_RETRY_COUNTS = 64  # counted in a group

assert ROOM == AZDLQ_TEMPLATE_ROOM


cdef bytes counting_part(object text):
    """The bytes of a text that count, and one more."""
    cdef Py_ssize_t most = AZDLQ_TEMPLATE_TEXT + 1
    if isinstance(text, str):
        return text[:most].encode("utf-8", "surrogatepass")
    if isinstance(text, (bytes, bytearray)):
        return bytes(text[:most])
    raise TypeError(f"a text is a str, bytes or bytearray, not {type(text).__name__}")


def template(text):
    """The template of a text, which is a str, bytes or bytearray (UTF-8, or not); of its first
    4096 bytes. TypeError for another type."""
    cdef char[ROOM] out
    cdef bytes part = counting_part(text)
    cdef size_t length = azdlq_template(
        PyBytes_AS_STRING(part), <size_t> PyBytes_GET_SIZE(part), out
    )
    return out[:length].decode("utf-8")


def fingerprint(text):
    """The fingerprint of a text's template, in 16 hexadecimal digits."""
    cdef char[ROOM] out
    cdef bytes part = counting_part(text)
    cdef size_t length = azdlq_template(
        PyBytes_AS_STRING(part), <size_t> PyBytes_GET_SIZE(part), out
    )
    return f"{azdlq_fingerprint(out, length):016x}"


@cython.final
cdef class Group:
    """Letters of one template; made by `tally`.

    `first_seen` and `last_seen` in microseconds since 1970, None where no failed_at can be read;
    `retry_counts` and `event_types` are how many letters have which; `newest` is the highest id,
    `example` that letter's text, the part that counts.
    """

    cdef uint64_t _hash
    cdef int64_t _first, _last
    cdef object _text  # of the newest letter
    cdef readonly int64_t count, newest
    cdef readonly dict retry_counts, event_types

    def __cinit__(self):
        self._first = INT64_MAX
        self._last = self.newest = INT64_MIN
        self._text = b""
        self.retry_counts = {}
        self.event_types = {}

    @property
    def example(self):
        cdef bytes text = counting_part(self._text)
        return text[:azdlq_counting_part(
            PyBytes_AS_STRING(text), <size_t> PyBytes_GET_SIZE(text)
        )]

    @property
    def fingerprint(self):
        return f"{self._hash:016x}"

    @property
    def first_seen(self):
        return self._first if self._first <= self._last else None

    @property
    def last_seen(self):
        return self._last if self._first <= self._last else None

    cdef int see(self, object row, int64_t id, object text) except -1:
        cdef int64_t failed_at = instant_of(PyTuple_GET_ITEM(row, 2))
        cdef PyObject *retry_count = PyTuple_GET_ITEM(row, 3)
        self.count += 1
        if failed_at != AZDLQ_NONE and failed_at != AZDLQ_UNREADABLE:
            self._first = min(self._first, failed_at)
            self._last = max(self._last, failed_at)
        if id >= self.newest:
            self.newest = id
            self._text = text
        if PyLong_CheckExact(retry_count):
            count_one(self.retry_counts, <object> retry_count, MOST_RETRY_COUNTS)
        return 0


cdef int count_one(dict counts, object key, Py_ssize_t most) except -1:
    """One more of `key`; of a new one only where fewer than `most` are known."""
    known = counts.get(key)
    if known is not None:
        counts[key] = known + 1
    elif len(counts) < most:
        counts[key] = 1
    return 0


@cython.final
cdef class _Tally:
    """Counts letters by template while their rows are read."""

    cdef dict _groups, _types
    cdef object _type_of
    cdef Py_ssize_t _most
    cdef int64_t letters, other

    def __cinit__(self, type_of, most):
        self._groups = {}
        self._types = {}
        self._type_of = type_of
        self._most = most

    cdef int see(self, object row) except -1:
        cdef char[ROOM] out
        cdef int64_t id
        cdef uint64_t hashed
        cdef size_t length
        cdef Group group
        cdef object text
        if not PyTuple_Check(row) or PyTuple_GET_SIZE(row) != COLUMNS:
            raise TypeError(
                f"row {self.letters} must be a tuple of {COLUMNS}: id, text, failed_at, "
                "retry_count, start of the event"
            )
        read_id(row, self.letters, &id)
        text = bounded(<object> PyTuple_GET_ITEM(row, 1))
        if PyBytes_CheckExact(text):
            length = azdlq_template(
                PyBytes_AS_STRING(text), <size_t> PyBytes_GET_SIZE(text), out
            )
        else:
            length = azdlq_template(
                PyByteArray_AS_STRING(<PyObject *> text),
                <size_t> PyByteArray_GET_SIZE(<PyObject *> text), out
            )
        hashed = azdlq_fingerprint(out, length)
        group = <Group> self._groups.get(hashed)
        if group is None:
            if len(self._groups) >= self._most:
                self.forget()
            group = Group()
            group._hash = hashed
            self._groups[hashed] = group
        group.see(row, id, text)
        self.see_event(group, <object> PyTuple_GET_ITEM(row, 4))
        self.letters += 1
        return 0

    cdef int see_event(self, Group group, object event) except -1:
        cdef const char *start
        cdef const char *colon
        if not PyBytes_CheckExact(event):
            if not isinstance(event, (str, bytearray)):
                return 0
            event = counting_part(event)
        start = PyBytes_AS_STRING(event)
        colon = <const char *> memchr(
            start, c":", <size_t> min(PyBytes_GET_SIZE(event), <Py_ssize_t> EVENT_START)
        )
        if colon == NULL:
            return 0
        name = start[:colon - start + 1]
        event_type = self._types.get(name, self)
        if event_type is self:
            if len(self._types) >= MOST_TYPES_KNOWN:
                self._types.clear()
            event_type = self._types[name] = self._type_of(name)
        if event_type is not None:
            count_one(group.event_types, event_type, MOST_TYPES)
        return 0

    cdef int forget(self) except -1:
        """Gives up the smaller half of the groups, so that one that grows later has a place."""
        ranked = sorted(self._groups.values(), key=rank_of)
        for group in ranked[:(len(ranked) + 1) // 2]:
            self.other += (<Group> group).count
            del self._groups[(<Group> group)._hash]
        return 0


cdef object bounded(object text):
    """The part of a column that counts, as bytes or a bytearray."""
    cdef Py_ssize_t most = AZDLQ_TEMPLATE_TEXT + 1
    if text is None:
        return b""
    if (type(text) is bytearray or PyBytes_CheckExact(text)) and len(text) <= most:
        return text
    return counting_part(text if isinstance(text, (str, bytes, bytearray)) else str(text))


cdef tuple rank_of(Group group):
    return group.count, group.newest


def tally(rows, type_of, *, most=10_000):
    """Counts letters by template: the groups, how many letters there are, and how many of them are
    in no group.

    `rows` are tuples (id, text, failed_at, retry_count, start of the event) as sqlite3 gives them;
    of each group the last text is held, and must not be changed. `type_of` tells the type of an
    event, given up to its colon, or None. At most `most` groups are kept: where there would be
    more, the smaller half is given up; such a group that is met again begins anew. TypeError names
    the row; what `rows` raises goes on up.
    """
    cdef _Tally seen = _Tally(type_of, int_argument(most, "most", 1, 2**31 - 1))
    for row in rows:
        seen.see(row)
        if seen.letters % ROWS_BETWEEN_SIGNALS == 0:
            PyErr_CheckSignals()
    return list(seen._groups.values()), seen.letters, seen.other
