"""Checks of numbers that callers pass in; each error names the argument and what is allowed."""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint64_t

from azoth_dlq.kernels.csrc cimport AZDLQ_FIBONACCI, AZDLQ_FIXED, AZDLQ_JITTER_ONE, azdlq_backoff


cdef inline int64_t int_argument(
    object value, str name, int64_t least=INT64_MIN, int64_t most=INT64_MAX
) except? -1:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    cdef object number = value.__index__()
    if not least <= number <= most:
        raise ValueError(f"{name} is {number}; allowed are {least} to {most}")
    return number


cdef inline uint64_t jitter_argument(object value) except? 0:
    """A share from 0 to 1 in units of 2**-32."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"jitter must be a float, not {type(value).__name__}")
    if not 0 <= value <= 1:
        raise ValueError(f"jitter is {value}; allowed are 0 to 1")
    return <uint64_t> (<double> value * AZDLQ_JITTER_ONE + 0.5)


cdef inline azdlq_backoff backoff_arguments(object kind, object initial, object maximum) except *:
    """Without jitter."""
    cdef azdlq_backoff backoff
    backoff.kind = int_argument(kind, "kind", AZDLQ_FIXED, AZDLQ_FIBONACCI)
    backoff.initial_us = int_argument(initial, "initial", 0)
    backoff.max_us = int_argument(maximum, "maximum", 0)
    backoff.jitter = 0
    return backoff
