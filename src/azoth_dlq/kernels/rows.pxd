"""Row tuples as sqlite3 gives them, read into letters.

Columns: id, retry_count, failed_at, last_retry_at[, not_before[, error_message[, …]]].
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from azoth_dlq.kernels.csrc cimport (
    AZDLQ_NONE,
    AZDLQ_OK,
    AZDLQ_UNREADABLE,
    azdlq_letter,
    azdlq_timestamp_parse,
)

cdef extern from "Python.h":
    PyObject *Py_None
    bint PyTuple_Check(object)
    Py_ssize_t PyTuple_GET_SIZE(object)
    PyObject *PyTuple_GET_ITEM(object, Py_ssize_t)
    bint PyLong_CheckExact(PyObject *)
    long long PyLong_AsLongLongAndOverflow(PyObject *, int *overflow)
    bint PyUnicode_Check(PyObject *)
    bint PyUnicode_IS_ASCII(PyObject *)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *)
    const char *PyUnicode_DATA(PyObject *)
    bint PyByteArray_Check(PyObject *)
    const char *PyByteArray_AS_STRING(PyObject *)
    Py_ssize_t PyByteArray_GET_SIZE(PyObject *)

cdef enum:
    FEWEST_COLUMNS = 4
    NOT_BEFORE = 4
    ERROR_MESSAGE = 5


cdef inline int64_t parse_instant(const char *text, Py_ssize_t length) noexcept:
    cdef int64_t instant
    if azdlq_timestamp_parse(text, <size_t> length, &instant) == AZDLQ_OK:
        return instant
    return AZDLQ_UNREADABLE


cdef inline int64_t instant_of(PyObject *value) noexcept:
    # bytes are a BLOB, which is no timestamp: TEXT comes as str or bytearray.
    if value == Py_None:
        return AZDLQ_NONE
    if PyUnicode_Check(value):
        if PyUnicode_IS_ASCII(value):
            return parse_instant(PyUnicode_DATA(value), PyUnicode_GET_LENGTH(value))
        return AZDLQ_UNREADABLE
    if PyByteArray_Check(value):
        return parse_instant(PyByteArray_AS_STRING(value), PyByteArray_GET_SIZE(value))
    return AZDLQ_UNREADABLE


cdef inline int64_t count_of(PyObject *value) noexcept:
    cdef int overflow = 0
    cdef int64_t count
    if not PyLong_CheckExact(value):
        return AZDLQ_UNREADABLE
    count = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow > 0:
        return AZDLQ_UNREADABLE
    # The lowest integers are sentinels; any other negative number says the same.
    return -1 if overflow < 0 or count <= AZDLQ_UNREADABLE else count


cdef inline int64_t not_before_of(PyObject *value) noexcept:
    cdef int overflow = 0
    cdef int64_t instant
    if not PyLong_CheckExact(value):
        return AZDLQ_NONE
    instant = PyLong_AsLongLongAndOverflow(value, &overflow)
    return AZDLQ_NONE if overflow or instant <= AZDLQ_UNREADABLE else instant


cdef inline int read_id(object row, Py_ssize_t position, int64_t *id) except -1:
    cdef PyObject *value = PyTuple_GET_ITEM(row, 0)
    cdef int overflow = 1
    if PyLong_CheckExact(value):
        id[0] = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        raise TypeError(
            f"row {position}: the id must be an int of 64 bits, not {<object> value!r:.80}"
        )
    return 0


cdef inline int read_letter(object row, Py_ssize_t position, azdlq_letter *letter) except -1:
    """Reads a row; TypeError or ValueError names its position in the rows given."""
    cdef Py_ssize_t columns
    if not PyTuple_Check(row):
        raise TypeError(f"row {position} must be a tuple, not {type(row).__name__}")
    columns = PyTuple_GET_SIZE(row)
    if columns < FEWEST_COLUMNS:
        raise ValueError(
            f"row {position} has {columns} columns; it must have at least {FEWEST_COLUMNS}: "
            "id, retry_count, failed_at, last_retry_at"
        )
    read_id(row, position, &letter.id)
    letter.retry_count = count_of(PyTuple_GET_ITEM(row, 1))
    letter.failed_at = instant_of(PyTuple_GET_ITEM(row, 2))
    letter.last_retry_at = instant_of(PyTuple_GET_ITEM(row, 3))
    letter.not_before = AZDLQ_NONE
    if columns > NOT_BEFORE:
        letter.not_before = not_before_of(PyTuple_GET_ITEM(row, NOT_BEFORE))
    return 0
