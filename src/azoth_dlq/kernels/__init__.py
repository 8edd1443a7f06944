"""Compiled kernels over plain values and buffers: backoff, eligibility and order of letters.

Instants are integer microseconds since 1970 UTC, durations integer microseconds.
"""

try:
    from azoth_dlq.kernels import backoff, eligibility, order
except ImportError as _error:
    raise ImportError(
        f"the compiled modules of azoth_dlq cannot be imported ({_error}); "
        "build them with a C compiler by `pip install .` in a checkout, "
        "or install a wheel by `pip install azoth-dlq`",
        name=_error.name,
        path=_error.path,
    ) from _error

__all__ = ["backoff", "eligibility", "order"]
