"""Which letters are due: timestamps, the rules of eligibility, and selections of due letters.

Instants are integer microseconds since 1970 UTC, durations integer microseconds.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawFree
from cpython.object cimport PyObject
from libc.stdint cimport INT32_MAX, INT64_MAX, int32_t, int64_t, uint8_t, uint32_t

from azoth_dlq.kernels.arguments cimport backoff_arguments, int_argument, jitter_argument
from azoth_dlq.kernels.buffers cimport Buffers, column, open_buffer, release_buffers
from azoth_dlq.kernels.csrc cimport (
    AZDLQ_DUE,
    AZDLQ_NONE,
    AZDLQ_OK,
    AZDLQ_TIMESTAMP_LENGTH,
    AZDLQ_UNREADABLE,
    AZDLQ_WAITING,
    azdlq_columns,
    azdlq_due,
    azdlq_due_summary,
    azdlq_judge,
    azdlq_keep_ids,
    azdlq_key,
    azdlq_letter,
    azdlq_rules,
    azdlq_sort,
    azdlq_stamp,
    azdlq_timestamp_format,
    azdlq_verdict,
)
from azoth_dlq.kernels.growing cimport room_for, shrunk, with_room
from azoth_dlq.kernels.order cimport ErrorTypes
from azoth_dlq.kernels.rows cimport (
    ERROR_MESSAGE,
    PyTuple_GET_ITEM,
    PyTuple_GET_SIZE,
    instant_of,
    parse_instant,
    read_letter,
)

from azoth_dlq.kernels.verdict import Verdict

NONE = AZDLQ_NONE
UNREADABLE = AZDLQ_UNREADABLE

_VERDICTS = tuple(Verdict)

cdef enum:
    ROWS_BETWEEN_SIGNALS = 65536


def parse_timestamp(text):
    """The instant that an RFC 3339 text, or the same without an offset (UTC), stands for.

    `text` is a str, bytes or bytearray; ValueError where it is no timestamp, TypeError for
    another type.
    """
    cdef int64_t instant
    if isinstance(text, bytes):
        instant = parse_instant(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    elif isinstance(text, (str, bytearray)):
        instant = instant_of(<PyObject *> text)
    else:
        raise TypeError(f"a timestamp is a str, bytes or bytearray, not {type(text).__name__}")
    if instant == AZDLQ_UNREADABLE:
        raise ValueError(
            f"not a timestamp: {text[:40]!r}; allowed are RFC 3339 "
            "(2026-11-24T03:46:00.123456Z) and YYYY-MM-DD HH:MM:SS[.ffffff] in UTC"
        )
    return instant


def format_timestamp(instant):
    """The instant as `YYYY-MM-DDTHH:MM:SS.ffffffZ`; ValueError outside the years 1 to 9999."""
    cdef char[27] text
    if azdlq_timestamp_format(int_argument(instant, "instant"), text) != AZDLQ_OK:
        raise ValueError(f"instant is {instant}, which lies outside the years 0001 to 9999")
    return text[:AZDLQ_TIMESTAMP_LENGTH].decode("ascii")


@cython.final
cdef class Rules:
    """When a letter is due: the instant that counts as now, limits, and the backoff.

    `now` in microseconds since 1970; `min_age`, `initial` and `maximum` in microseconds, 0 to
    2**63-1; `max_retries` 0 to 2**31-1; `kind` one of azoth_dlq.kernels.backoff; `jitter` 0 to 1;
    `waive_delay`: every readable letter that is not exhausted is due. ValueError and TypeError
    name the argument.
    """

    cdef azdlq_rules _rules
    cdef readonly double jitter

    def __cinit__(
        self, *, now, max_retries, min_age, kind, initial, maximum, jitter=0.0, waive_delay=False
    ):
        if not isinstance(waive_delay, bool):
            raise TypeError(f"waive_delay must be a bool, not {type(waive_delay).__name__}")
        self._rules.now_us = int_argument(now, "now")
        self._rules.max_retries = int_argument(max_retries, "max_retries", 0, INT32_MAX)
        self._rules.min_age_us = int_argument(min_age, "min_age", 0)
        self._rules.backoff = backoff_arguments(kind, initial, maximum)
        self._rules.backoff.jitter = jitter_argument(jitter)
        self._rules.waive_delay = waive_delay
        self.jitter = jitter

    @property
    def now(self):
        return self._rules.now_us

    @property
    def max_retries(self):
        return self._rules.max_retries

    @property
    def min_age(self):
        return self._rules.min_age_us

    @property
    def kind(self):
        return self._rules.backoff.kind

    @property
    def initial(self):
        return self._rules.backoff.initial_us

    @property
    def maximum(self):
        return self._rules.backoff.max_us

    @property
    def waive_delay(self):
        return self._rules.waive_delay != 0

    def __repr__(self):
        names = ("now", "max_retries", "min_age", "kind", "initial", "maximum", "jitter",
                 "waive_delay")
        return f"Rules({', '.join([f'{name}={getattr(self, name)!r}' for name in names])})"


def due(
    Rules rules not None,
    *,
    retry_count,
    failed_at,
    last_retry_at=None,
    not_before=None,
    id=None,
    out,
    verdicts=None,
):
    """Writes the places of the due letters to `out`; returns their number and the next instant.

    Columns are int64 buffers of one length, in which NONE and UNREADABLE stand for values that
    are none; `out` (int64) and `verdicts` (uint8, see Verdict) have room for as many. The next
    instant is the earliest at which a waiting letter becomes due, None where none waits. `id` is
    needed with jitter alone. ValueError and TypeError name the argument.
    """
    cdef Buffers buffers
    cdef azdlq_columns columns
    cdef azdlq_due_summary summary
    cdef Py_ssize_t count
    cdef uint8_t *verdict_items = NULL
    cdef int64_t *places
    if rules._rules.backoff.jitter and id is None:
        raise ValueError("id must be given where the rules have jitter")
    buffers.held = 0
    try:
        count = open_buffer(&buffers, retry_count, "retry_count")
        columns.retry_count = <const int64_t *> buffers.views[0].buf
        columns.failed_at = optional_column(&buffers, failed_at, "failed_at", count)
        columns.last_retry_at = optional_column(&buffers, last_retry_at, "last_retry_at", count)
        columns.not_before = optional_column(&buffers, not_before, "not_before", count)
        columns.id = optional_column(&buffers, id, "id", count)
        places = <int64_t *> room(&buffers, out, "out", count, wide=True)
        if verdicts is not None:
            verdict_items = <uint8_t *> room(&buffers, verdicts, "verdicts", count, wide=False)
        with nogil:
            azdlq_due(
                &rules._rules, &columns, <size_t> count, places, verdict_items, &summary
            )
        return summary.due, (summary.next_due_us if summary.waiting else None)
    finally:
        release_buffers(&buffers)


cdef const int64_t *optional_column(
    Buffers *buffers, object source, str name, Py_ssize_t count
) except? NULL:
    if source is None and name != "failed_at":
        return NULL
    return <const int64_t *> column(buffers, source, name, count)


cdef void *room(
    Buffers *buffers, object target, str name, Py_ssize_t count, bint wide
) except? NULL:
    cdef Py_ssize_t held = open_buffer(buffers, target, name, writable=True, wide=wide)
    if held < count:
        raise ValueError(f"{name} has room for {held} items; it must have room for {count}")
    return buffers.views[buffers.held - 1].buf


cdef struct Unfit:
    int64_t id
    uint8_t verdict


@cython.final
cdef class Selection:
    """The due letters of a table in the order of a replay, 12 bytes each; made by `select`.

    `waiting` is the number of letters not due yet, `next_due` the earliest instant at which one
    becomes due, `examined` the number of rows seen, `oldest_due` the earliest failed_at of a due
    letter, `unfit_count` the number of letters exhausted or unreadable, `nbytes` the bytes held.
    """

    cdef azdlq_key *_keys  # until they are sorted
    cdef int64_t *_ids
    cdef uint32_t *_stamps
    cdef Unfit *_unfit
    cdef Py_ssize_t _due, _due_room, _unfit_room
    cdef int64_t _next_due, _oldest_due
    cdef readonly Py_ssize_t examined, waiting, unfit_count

    def __cinit__(self):
        self._next_due = self._oldest_due = INT64_MAX

    def __dealloc__(self):
        PyMem_RawFree(self._keys)
        PyMem_RawFree(self._ids)
        PyMem_RawFree(self._stamps)
        PyMem_RawFree(self._unfit)

    def __len__(self):
        return self._due

    @property
    def next_due(self):
        return self._next_due if self.waiting else None

    @property
    def oldest_due(self):
        return self._oldest_due if self._due else None

    @property
    def nbytes(self):
        return self._due * (sizeof(int64_t) + sizeof(uint32_t)) + self.unfit_count * sizeof(Unfit)

    def ids(self, start=0, stop=None):
        """The ids at the places from `start` up to `stop` (default: the end), in plan order."""
        cdef Py_ssize_t first, end, place
        first, end = span(start, stop, self._due)
        return [self._ids[place] for place in range(first, end)]

    def unfit(self, start=0, stop=None):
        """Exhausted and unreadable letters with their verdicts, in the order of the rows."""
        cdef Py_ssize_t first, end, place
        first, end = span(start, stop, self.unfit_count)
        return [
            (self._unfit[place].id, _VERDICTS[self._unfit[place].verdict])
            for place in range(first, end)
        ]

    def unchanged(self, rows, start, stop):
        """Those of `rows` whose retry_count, failed_at, last_retry_at, not_before are as planned.

        `rows` are fresh row tuples of the letters at the places from `start` up to `stop`, in
        plan order; letters may be missing. ValueError for a row of another letter.
        """
        cdef Py_ssize_t place, end, position = 0
        cdef azdlq_letter letter
        cdef list kept = []
        place, end = span(start, stop, self._due)
        for row in rows:
            read_letter(row, position, &letter)
            while place < end and self._ids[place] != letter.id:
                place += 1
            if place == end:
                raise ValueError(
                    f"row {position}: letter {letter.id} is not at the places {start} to {stop}, "
                    "or not in plan order"
                )
            if self._stamps[place] == azdlq_stamp(&letter):
                kept.append(row)
            place += 1
            position += 1
        return kept

    cdef int keep(self, const azdlq_letter *letter, int32_t rank) except -1:
        cdef azdlq_key *key
        self._keys = <azdlq_key *> with_room(
            self._keys, self._due, &self._due_room, sizeof(azdlq_key)
        )
        key = &self._keys[self._due]
        key.instant_us = letter.failed_at
        key.id = letter.id
        key.rank = rank
        key.stamp = azdlq_stamp(letter)
        self._due += 1
        self._oldest_due = min(self._oldest_due, letter.failed_at)
        return 0

    cdef int refuse(self, int64_t id, azdlq_verdict verdict) except -1:
        self._unfit = <Unfit *> with_room(
            self._unfit, self.unfit_count, &self._unfit_room, sizeof(Unfit)
        )
        self._unfit[self.unfit_count].id = id
        self._unfit[self.unfit_count].verdict = <uint8_t> verdict
        self.unfit_count += 1
        return 0

    cdef int examine(
        self, object row, const azdlq_rules *rules, bint by_count, ErrorTypes error_types
    ) except -1:
        cdef azdlq_letter letter
        cdef int64_t due_at = INT64_MAX
        cdef azdlq_verdict verdict
        cdef int32_t rank = 0
        read_letter(row, self.examined, &letter)
        verdict = azdlq_judge(rules, &letter, &due_at)
        if verdict == AZDLQ_DUE:
            if by_count:
                rank = <int32_t> letter.retry_count
            elif error_types is not None:
                rank = rank_of_row(row, self.examined, error_types)
            self.keep(&letter, rank)
        elif verdict == AZDLQ_WAITING:
            self.waiting += 1
            self._next_due = min(self._next_due, due_at)
        else:
            self.refuse(letter.id, verdict)
        self.examined += 1
        return 0

    cdef int finish(self, bint descending) except -1:
        with nogil:
            azdlq_sort(self._keys, <size_t> self._due, descending)
        self._keys = <azdlq_key *> shrunk(self._keys, self._due, sizeof(azdlq_key))
        self._stamps = <uint32_t *> room_for(self._due, sizeof(uint32_t))
        self._ids = azdlq_keep_ids(self._keys, <size_t> self._due, self._stamps)
        self._keys = NULL
        self._ids = <int64_t *> shrunk(self._ids, self._due, sizeof(int64_t))
        self._unfit = <Unfit *> shrunk(self._unfit, self.unfit_count, sizeof(Unfit))
        return 0


cdef (Py_ssize_t, Py_ssize_t) span(object start, object stop, Py_ssize_t count) except *:
    cdef Py_ssize_t first = min(int_argument(start, "start", 0), count)
    cdef Py_ssize_t end = count if stop is None else min(int_argument(stop, "stop", 0), count)
    return first, max(first, end)


cdef int32_t rank_of_row(object row, Py_ssize_t position, ErrorTypes error_types) except -1:
    if PyTuple_GET_SIZE(row) <= ERROR_MESSAGE:
        raise ValueError(
            f"row {position} has {PyTuple_GET_SIZE(row)} columns; with error types it must have "
            f"the error message at place {ERROR_MESSAGE}"
        )
    return error_types.rank_of(<object> PyTuple_GET_ITEM(row, ERROR_MESSAGE))


def select(rows, Rules rules not None, *, rank=None, bint descending=False):
    """The due letters among `rows`, sorted by rank, instant of failed_at, id.

    `rows` are tuples (id, retry_count, failed_at, last_retry_at[, not_before[, error_message[,
    …]]]) as sqlite3 gives them, not held; TEXT is a str or bytearray, a BLOB bytes; not_before
    is in microseconds. `rank` is None, "retry_count" or an ErrorTypes; `descending` turns the
    order of instants alone. TypeError and ValueError name the row; what `rows` raises goes on up.
    """
    cdef Selection selection = Selection()
    cdef ErrorTypes error_types = rank if isinstance(rank, ErrorTypes) else None
    cdef bint by_count = isinstance(rank, str) and rank == "retry_count"
    if not (rank is None or by_count or error_types is not None):
        raise ValueError(f"rank is {rank!r:.80}; allowed are None, 'retry_count' and an ErrorTypes")
    for row in rows:
        selection.examine(row, &rules._rules, by_count, error_types)
        if selection.examined % ROWS_BETWEEN_SIGNALS == 0:
            PyErr_CheckSignals()
    selection.finish(descending)
    return selection
