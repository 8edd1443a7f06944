"""The order of letters: ranks by error text, and sorting by rank, instant and id."""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Check, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport INT32_MAX, INT32_MIN, UINT32_MAX, int32_t, int64_t, uint32_t

from azoth_dlq.kernels.buffers cimport Buffers, column, open_buffer, release_buffers
from azoth_dlq.kernels.csrc cimport (
    azdlq_key,
    azdlq_match,
    azdlq_needle,
    azdlq_needles_init,
    azdlq_sort,
)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    LONGEST = 128


def validate_error_types(texts):
    """The texts as a tuple, each of 1 to 128 characters: alphanumeric, `_`, `-`, `.` or space.

    ValueError for an empty list or another text, TypeError for what is no list of str.
    """
    if isinstance(texts, (str, bytes, bytearray)):
        raise TypeError(f"error types must be a list of texts, not one {type(texts).__name__}")
    checked = tuple(texts)
    if not checked:
        raise ValueError("the list of error types is empty; give at least one text")
    for place, text in enumerate(checked):
        check_error_type(text, place)
    return checked


cdef int check_error_type(object text, Py_ssize_t place) except -1:
    if not isinstance(text, str):
        raise TypeError(f"error type {place} must be a str, not {type(text).__name__}")
    if 1 <= len(text) <= LONGEST and all(c.isalnum() or c in "_-. " for c in text):
        return 0
    raise ValueError(
        f"error type {place} is {text!r:.140}; allowed are 1 to {LONGEST} characters, "
        "each alphanumeric, '_', '-', '.' or a space"
    )


@cython.final
cdef class ErrorTypes:
    """Texts to look for in error messages, literally and ASCII-case-insensitively.

    Refuses what `validate_error_types` refuses.
    """

    def __cinit__(self, texts):
        cdef Py_ssize_t count, place
        cdef bytes folded
        self.texts = validate_error_types(texts)
        # bytes.lower() folds ASCII letters alone.
        self._folded = tuple([text.encode().lower() for text in self.texts])
        count = len(self._folded)
        if count > INT32_MAX:
            raise ValueError(f"{count} error types; allowed are 1 to {INT32_MAX}")
        self._needles = <azdlq_needle *> PyMem_RawMalloc(count * sizeof(azdlq_needle))
        self._next = <int32_t *> PyMem_RawMalloc(count * sizeof(int32_t))
        if self._needles == NULL or self._next == NULL:
            raise MemoryError
        for place in range(count):
            folded = self._folded[place]
            self._needles[place].text = PyBytes_AS_STRING(folded)
            self._needles[place].length = <size_t> PyBytes_GET_SIZE(folded)
        azdlq_needles_init(&self._index, self._needles, self._next, <int32_t> count)

    def __dealloc__(self):
        PyMem_RawFree(self._needles)
        PyMem_RawFree(self._next)

    def __repr__(self):
        return f"ErrorTypes({list(self.texts)!r})"

    cdef int32_t rank_of(self, object text) except -1:
        """The rank of an error message; what is no text ranks as unlisted."""
        cdef const char *start
        cdef Py_ssize_t size = 0
        if isinstance(text, str):
            try:
                start = PyUnicode_AsUTF8AndSize(text, &size)
            except UnicodeEncodeError:
                return self.rank_of(text.encode("utf-8", "surrogatepass"))
        elif isinstance(text, bytes):
            start, size = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        elif PyByteArray_Check(text):
            start, size = PyByteArray_AS_STRING(text), PyByteArray_GET_SIZE(text)
        else:
            return self._index.count
        return azdlq_match(&self._index, start, <size_t> size)

    def rank(self, text):
        """The place of the first listed text found in `text`; the number of texts where none is.

        `text` is a str, or UTF-8 (not checked) in bytes or a bytearray; else TypeError.
        """
        if not isinstance(text, (str, bytes, bytearray)):
            raise TypeError(
                f"an error message is a str, bytes or bytearray, not {type(text).__name__}"
            )
        return self.rank_of(text)

    def ranks(self, texts):
        """The rank of each text, as `rank` gives it."""
        return [self.rank(text) for text in texts]


def argsort(instants, ids, ranks=None, *, bint descending=False, out):
    """Writes to `out` the places of letters in order of rank, instant, id.

    All are int64 buffers of one length; `out` must share no memory with the others. `descending`
    turns the order of instants alone. Ranks must fit 32 bits. What ties in all keeps its order.
    ValueError for another length or rank, TypeError for what is no such buffer.
    """
    cdef Buffers buffers
    cdef Py_ssize_t count
    cdef const int64_t *rank_items = NULL
    buffers.held = 0
    try:
        count = open_buffer(&buffers, instants, "instants")
        id_items = <const int64_t *> column(&buffers, ids, "ids", count)
        if ranks is not None:
            rank_items = <const int64_t *> column(&buffers, ranks, "ranks", count)
        target = <int64_t *> column(&buffers, out, "out", count, writable=True)
        sort_places(
            <const int64_t *> buffers.views[0].buf, id_items, rank_items, count, descending, target
        )
    finally:
        release_buffers(&buffers)


cdef int sort_places(
    const int64_t *instants,
    const int64_t *ids,
    const int64_t *ranks,
    Py_ssize_t count,
    bint descending,
    int64_t *out,
) except -1:
    cdef Py_ssize_t i
    cdef azdlq_key *keys
    if count > UINT32_MAX:
        raise ValueError(f"{count} letters; allowed are 0 to {UINT32_MAX}")
    for i in range(count if ranks != NULL else 0):
        if not INT32_MIN <= ranks[i] <= INT32_MAX:
            raise ValueError(f"ranks[{i}] is {ranks[i]}; allowed are {INT32_MIN} to {INT32_MAX}")
    keys = <azdlq_key *> PyMem_RawMalloc(count * sizeof(azdlq_key))
    if keys == NULL:
        raise MemoryError
    with nogil:
        for i in range(count):
            keys[i].instant_us = instants[i]
            keys[i].id = ids[i]
            keys[i].rank = 0 if ranks == NULL else <int32_t> ranks[i]
            keys[i].stamp = <uint32_t> i
        azdlq_sort(keys, <size_t> count, descending)
        for i in range(count):
            out[i] = keys[i].stamp
        PyMem_RawFree(keys)
    return 0
