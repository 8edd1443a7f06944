"""Buffers that callers pass in: array.array, memoryview, NumPy and the like, contiguous."""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)

cdef enum:
    MOST_BUFFERS = 7


cdef struct Buffers:
    Py_buffer views[MOST_BUFFERS]
    int held


cdef inline void release_buffers(Buffers *buffers) noexcept:
    while buffers.held:
        buffers.held -= 1
        PyBuffer_Release(&buffers.views[buffers.held])


cdef inline bint is_format(const Py_buffer *view, bint wide) noexcept:
    cdef const char *code = view.format
    if code == NULL:
        return not wide and view.itemsize == 1
    if code[0] in (b"@", b"="):
        code += 1
    if wide:
        return code[0] in (b"q", b"l") and code[1] == 0 and view.itemsize == 8
    return code[0] == b"B" and code[1] == 0


cdef inline Py_ssize_t open_buffer(
    Buffers *buffers, object source, str name, bint writable=False, bint wide=True
) except -1:
    """Opens one more buffer, of int64 (wide) or uint8; returns its length."""
    cdef Py_buffer *view = &buffers.views[buffers.held]
    cdef int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
    cdef str allowed = "writable, " if writable else ""
    allowed += "one-dimensional, contiguous buffer of "
    allowed += "int64 (array('q'), numpy.int64)" if wide else "uint8 (bytearray, numpy.uint8)"
    try:
        PyObject_GetBuffer(source, view, flags)
    except (BufferError, TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be a {allowed}, not this {type(source).__name__}: {error}"
        ) from error
    buffers.held += 1
    if view.ndim != 1 or not is_format(view, wide):
        raise TypeError(
            f"{name} must be a {allowed}, not this {type(source).__name__}: "
            f"it has {view.ndim} dimensions of items {view.format.decode()!r}"
        )
    return view.shape[0]


cdef inline void *column(
    Buffers *buffers, object source, str name, Py_ssize_t length, bint writable=False
) except? NULL:
    """Opens one more buffer of int64, of exactly this length; returns its items."""
    cdef Py_ssize_t held = open_buffer(buffers, source, name, writable)
    if held != length:
        raise ValueError(f"{name} holds {held} items; it must hold {length}, one a letter")
    return buffers.views[buffers.held - 1].buf
