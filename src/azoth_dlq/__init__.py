"""Replays dead letters kept in SQLite: fast, in order, nothing lost, nothing twice."""

TYPE_CHECKING = False  # as of `typing`, whose import would cost more than all that is here

if TYPE_CHECKING:
    from azoth_dlq._event import Event as Event
    from azoth_dlq.acting import Purged as Purged
    from azoth_dlq.backoff import BackoffStrategy as BackoffStrategy
    from azoth_dlq.config import DlqReplayConfig as DlqReplayConfig
    from azoth_dlq.current import current_letter_id as current_letter_id
    from azoth_dlq.errors import AzothError as AzothError
    from azoth_dlq.errors import ConfigError as ConfigError
    from azoth_dlq.errors import EventDecodeError as EventDecodeError
    from azoth_dlq.errors import ExchangeError as ExchangeError
    from azoth_dlq.errors import InvalidStateError as InvalidStateError
    from azoth_dlq.errors import StorageError as StorageError
    from azoth_dlq.exchange.reports import ExportReport as ExportReport
    from azoth_dlq.exchange.reports import ImportReport as ImportReport
    from azoth_dlq.filters import LetterFilter as LetterFilter
    from azoth_dlq.groups import LetterGroup as LetterGroup
    from azoth_dlq.hooks import Attempt as Attempt
    from azoth_dlq.hooks import ParkedLetter as ParkedLetter
    from azoth_dlq.metrics import DlqMetrics as DlqMetrics
    from azoth_dlq.metrics import DlqMetricsSnapshot as DlqMetricsSnapshot
    from azoth_dlq.metrics import Histogram as Histogram
    from azoth_dlq.outcomes import NonRetryable as NonRetryable
    from azoth_dlq.outcomes import RetryAfter as RetryAfter
    from azoth_dlq.outcomes import Snooze as Snooze
    from azoth_dlq.priority import ReplayPriority as ReplayPriority
    from azoth_dlq.queue import DeadLetterQueue as DeadLetterQueue
    from azoth_dlq.registry import BatchConfig as BatchConfig
    from azoth_dlq.registry import EventHandlerRegistry as EventHandlerRegistry
    from azoth_dlq.replayer import DlqReplayer as DlqReplayer
    from azoth_dlq.report import ReplayReport as ReplayReport
    from azoth_dlq.types import AttemptRecord as AttemptRecord
    from azoth_dlq.types import AuditRecord as AuditRecord
    from azoth_dlq.types import FailedEvent as FailedEvent
    from azoth_dlq.types import PermanentFailure as PermanentFailure

    __version__: str
else:
    from importlib import import_module

    # It puts another module in its own place, so that of two threads that import it at once one may
    # find it empty (CPython 3.13.0).
    import_module("collections.abc")

    # A name comes with its module when it is asked for first (PEP 562).
    _NAMES = {
        "_event": ["Event"],
        "acting": ["Purged"],
        "backoff": ["BackoffStrategy"],
        "config": ["DlqReplayConfig"],
        "current": ["current_letter_id"],
        "errors": [
            "AzothError",
            "ConfigError",
            "EventDecodeError",
            "ExchangeError",
            "InvalidStateError",
            "StorageError",
        ],
        "exchange.reports": ["ExportReport", "ImportReport"],
        "filters": ["LetterFilter"],
        "groups": ["LetterGroup"],
        "hooks": ["Attempt", "ParkedLetter"],
        "metrics": ["DlqMetrics", "DlqMetricsSnapshot", "Histogram"],
        "outcomes": ["NonRetryable", "RetryAfter", "Snooze"],
        "priority": ["ReplayPriority"],
        "queue": ["DeadLetterQueue"],
        "registry": ["BatchConfig", "EventHandlerRegistry"],
        "replayer": ["DlqReplayer"],
        "report": ["ReplayReport"],
        "types": ["AttemptRecord", "AuditRecord", "FailedEvent", "PermanentFailure"],
    }
    _HOMES = {name: module for module, names in _NAMES.items() for name in names}
    __all__ = list(_HOMES)

    def __getattr__(name):
        if name == "__version__":
            return import_module("importlib.metadata").version("azoth-dlq")
        if name in _NAMES:
            return _imported(name)
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(_imported(_HOMES[name]), name)
        globals()[name] = value
        return value

    def _imported(module):
        try:
            return import_module(f"{__name__}.{module}")
        except ImportError as error:
            if not (error.name or "").startswith(f"{__name__}."):
                raise
            raise ImportError(
                f"the compiled modules of azoth_dlq cannot be imported ({error}); "
                "build them with a C compiler by `pip install .` in a checkout, "
                "or install a wheel by `pip install azoth-dlq`",
                name=error.name,
                path=error.path,
            ) from error

    def __dir__():
        return globals().keys() | _HOMES.keys() | {"__version__"}
