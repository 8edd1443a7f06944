"""Arrays that grow while rows are read: their number is not known before."""

from cpython.mem cimport PyMem_RawMalloc, PyMem_RawRealloc

cdef enum:
    # A plan is to fit 32 bytes a due letter while it grows too: 24 * 5 / 4 = 30.
    GROWTH_NUMERATOR = 5
    GROWTH_DENOMINATOR = 4
    FIRST_ROOM = 64


cdef inline void *room_for(Py_ssize_t count, size_t size) except NULL:
    cdef void *items = PyMem_RawMalloc(<size_t> max(count, 1) * size)
    if items == NULL:
        raise MemoryError(f"no memory for {count} letters of {size} bytes")
    return items


cdef inline void *with_room(
    void *items, Py_ssize_t count, Py_ssize_t *room, size_t size
) except NULL:
    """The items, moved where needed, with room for one more than `count`."""
    cdef Py_ssize_t grown
    cdef void *moved
    if count < room[0]:
        return items
    grown = max(<Py_ssize_t> FIRST_ROOM, count // GROWTH_DENOMINATOR * GROWTH_NUMERATOR)
    moved = PyMem_RawRealloc(items, <size_t> grown * size)
    if moved == NULL:
        raise MemoryError(f"no memory for {grown} letters of {size} bytes")
    room[0] = grown
    return moved


cdef inline void *shrunk(void *items, Py_ssize_t count, size_t size) noexcept:
    cdef void *moved = PyMem_RawRealloc(items, <size_t> count * size)
    return items if moved == NULL else moved
