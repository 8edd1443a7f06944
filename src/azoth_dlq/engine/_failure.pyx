"""The texts of an ordinary error, made at once; `failure` makes those of any other.

Compiled, since they are made once a letter that fails, and thousands fail for one reason.
"""

from cpython.unicode cimport PyUnicode_GET_LENGTH

from azoth_dlq.engine import failure

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object)
    const unsigned char *PyUnicode_1BYTE_DATA(object)

# What is longer is for `failure`, which cuts where all together is too long.
cdef enum:
    MOST_NAME = 200  # bytes
    MOST_MESSAGE = 500
    MOST_LINE = 500
    MOST_FRAMES = 16
    MOST_KNOWN = 1024

cdef str HEAD = failure.TRACEBACK_HEAD

# By identity, which the owner that stands first keeps from being another's.
cdef dict _names = {}  # of types: the bare one, and the one with its module
cdef dict _lines = {}  # of places in code: whether it is what calls handlers, and its line


cdef bint is_plain(text):
    """Whether it is ASCII that can be printed."""
    cdef const unsigned char *byte
    cdef Py_ssize_t place
    if type(text) is not str or not PyUnicode_IS_COMPACT_ASCII(text):
        return False
    byte = PyUnicode_1BYTE_DATA(text)
    for place in range(PyUnicode_GET_LENGTH(text)):
        if not 32 <= byte[place] < 127:
            return False
    return True


cdef bint is_short(text, Py_ssize_t most):
    return type(text) is str and PyUnicode_GET_LENGTH(text) <= most


cdef tuple names_of(error):
    """The type of the error and its two names, None where they are not plain."""
    kind = type(error)
    known = _names.get(id(kind))
    if known is None:
        known = kind, kind.__qualname__, failure.error_type_name(error)
        if not all([is_short(name, MOST_NAME) and is_plain(name) for name in known[1:]]):
            return None
        if len(_names) >= MOST_KNOWN:
            _names.clear()
        _names[id(kind)] = known
    return known


cdef tuple line_of(link):
    """The code of a link of a traceback, whether it is what calls handlers, and its line; None
    where that is not plain."""
    code = link.tb_frame.f_code
    key = id(code), link.tb_lasti
    known = _lines.get(key)
    if known is None:
        line = failure.frame_line((code.co_filename, link.tb_lineno, code.co_qualname))
        if not is_short(line, MOST_LINE) or not is_plain(line):
            return None
        known = code, failure.calls_handlers(link), line
        if len(_lines) >= MOST_KNOWN:
            _lines.clear()
        _lines[key] = known
    return known


cdef str plain_traceback(error, str last):
    """The frames from the handler on and the `last` line; None where they are not plain, or too
    many, or those of another error belong to them."""
    cdef list lines = [HEAD]
    link = error.__traceback__
    while link is not None:
        known = line_of(link)
        if known is None or len(lines) > MOST_FRAMES:
            return None
        if len(lines) > 1 or not known[1]:
            lines.append(known[2])
        link = link.tb_next
    if len(lines) == 1:
        return last
    lines.append(last)
    return "\n".join(lines)


cdef tuple plain_texts_of(error, bint with_traceback):
    """The texts of an error, None where they are not plain. Errors: whatever its own type does."""
    cdef str bare, full, message, traceback = ""
    if with_traceback:
        if error.__cause__ is not None:
            return None
        if error.__context__ is not None and not error.__suppress_context__:
            return None
    names = names_of(error)
    if names is None:
        return None
    text = str(error)
    if not is_short(text, MOST_MESSAGE) or not is_plain(text):
        return None
    message, bare, full = text, names[1], names[2]
    if with_traceback:
        traceback = plain_traceback(error, f"{full}: {message}" if message else full)
        if traceback is None:
            return None
    return f"{bare}: {message}" if message else bare, full, message, traceback


def texts_of(error not None, *, bint with_traceback):
    """`Type: message`, the type with its module, the message, and the traceback or an empty text:
    all of them bounded and storable."""
    try:
        texts = plain_texts_of(error, with_traceback)
    except Exception:  # of the handler's own type
        texts = None
    if texts is not None:
        return texts
    message = failure.message_of(error)
    traceback = failure.traceback_text(error) if with_traceback else ""
    text, kind = failure.described(error, message), failure.error_type_name(error)
    return text, kind, failure.readable(message), traceback
