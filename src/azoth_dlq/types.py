"""The values that a queue hands out: letters, their attempts, and who drains them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from azoth_dlq.report import ReplayReport, StopCause

__all__ = [
    "AttemptOutcome",
    "AttemptRecord",
    "AuditRecord",
    "Drainer",
    "FailedEvent",
    "PermanentFailure",
    "ReplayReport",
    "StopCause",
]

AttemptOutcome: TypeAlias = Literal["failed", "snoozed", "died", "edited", "put back"]


@dataclass(frozen=True, slots=True, repr=False)
class FailedEvent:
    """A dead letter: a row of `dead_letter_queue`.

    `failed_at` and `last_retry_at` are the stored texts; `not_before` is UTC. `error_message` is
    the first error, `last_error` the latest. A column of a row that cannot be replayed is handed
    out as it is stored, of whatever SQLite type.
    """

    id: int
    event_id: int
    event_bytes: bytes
    error_message: str
    failed_at: str
    retry_count: int
    last_retry_at: str | None = None
    last_error: str | None = None
    not_before: datetime | None = None

    def __repr__(self) -> str:
        return _repr_without_payload(self)


@dataclass(frozen=True, slots=True, repr=False)
class PermanentFailure:
    """A parked letter: a row of `permanent_failures`.

    `id` counts permanent failures; `dead_letter_id` is the id the letter had before. `reason`
    says why it was parked. A column of an unreadable row is handed out as it is stored, of whatever
    SQLite type.
    """

    id: int
    event_id: int
    event_bytes: bytes
    error_message: str
    failed_at: str
    retry_count: int
    marked_permanent_at: str
    dead_letter_id: int | None = None
    last_retry_at: str | None = None
    last_error: str | None = None
    reason: str | None = None

    def __repr__(self) -> str:
        return _repr_without_payload(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """An attempt that did not succeed, as a letter's history keeps it, or a change of its payload.

    `outcome`: the handler failed, snoozed, or its process died; or somebody (`message` says who)
    edited the payload, or put it back. `at` is when that was recorded (UTC), `duration` how long
    the call took (None where the process died, and of a change). `message` is at most 4096 bytes of
    UTF-8, `traceback` at most 16384, without source lines, and empty where there is none.
    """

    at: datetime
    outcome: AttemptOutcome
    error_type: str
    message: str
    traceback: str = ""
    duration: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """What was done on purpose: at what time (UTC), by whom, and to which letters.

    `action` is the verb (`requeue`, say), `filter` what `LetterFilter.as_dict` gives, of which
    `matched` letters were found before anything was done, and `done` how many it was done to.
    """

    id: int
    at: datetime
    who: str
    action: str
    filter: dict[str, Any]
    matched: int
    done: int
    details: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drainer:
    """A process that drains a file: its host's name, its id there, and since when (UTC).

    `in_hand`: letters whose handlers run outside any transaction, or are about to. Threads that a
    drain has left behind after their timeout count as that drain until they end.
    """

    host: str
    pid: int
    since: datetime
    in_hand: int = 0


def _repr_without_payload(letter: FailedEvent | PermanentFailure) -> str:
    shown = (f"{field.name}={_shown(getattr(letter, field.name))}" for field in fields(letter))
    return f"{type(letter).__name__}({', '.join(shown)})"


def _shown(value: object) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, bytes | bytearray) else repr(value)
