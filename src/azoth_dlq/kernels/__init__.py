"""Compiled kernels over plain values and buffers: backoff, eligibility, order, times, templates.

Instants are integer microseconds since 1970 UTC, durations integer microseconds.
"""

TYPE_CHECKING = False  # as of `typing`

__all__ = ["backoff", "eligibility", "failures", "order", "templates"]

if TYPE_CHECKING:
    from azoth_dlq.kernels import backoff, eligibility, failures, order, templates
else:
    # A module comes when it is asked for first. Were it imported here, a thread that imports this
    # package and one that imports a module of it could each hold the lock the other waits for.
    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 -- few programs ask for a module here

        return import_module(f"{__name__}.{name}")
