"""Replays dead letters kept in SQLite: fast, in order, nothing lost, nothing twice."""

from azoth_dlq._event import Event
from azoth_dlq.backoff import BackoffStrategy
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.errors import (
    AzothError,
    ConfigError,
    EventDecodeError,
    InvalidStateError,
    StorageError,
)
from azoth_dlq.filters import LetterFilter
from azoth_dlq.metrics import DlqMetrics, DlqMetricsSnapshot, Histogram
from azoth_dlq.outcomes import NonRetryable, RetryAfter, Snooze
from azoth_dlq.priority import ReplayPriority
from azoth_dlq.queue import DeadLetterQueue
from azoth_dlq.registry import BatchConfig, EventHandlerRegistry
from azoth_dlq.replayer import DlqReplayer
from azoth_dlq.types import AttemptRecord, FailedEvent, PermanentFailure, ReplayReport

__all__ = [
    "AttemptRecord",
    "AzothError",
    "BackoffStrategy",
    "BatchConfig",
    "ConfigError",
    "DeadLetterQueue",
    "DlqMetrics",
    "DlqMetricsSnapshot",
    "DlqReplayConfig",
    "DlqReplayer",
    "Event",
    "EventDecodeError",
    "EventHandlerRegistry",
    "FailedEvent",
    "Histogram",
    "InvalidStateError",
    "LetterFilter",
    "NonRetryable",
    "PermanentFailure",
    "ReplayPriority",
    "ReplayReport",
    "RetryAfter",
    "Snooze",
    "StorageError",
]
