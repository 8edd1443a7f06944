"""The errors that the package raises, all of them under `AzothError`."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azoth_dlq.report import ReplayReport


class AzothError(Exception):
    """Any error of this package."""


class ConfigError(AzothError, ValueError):
    """A setting, a registration or another argument is not allowed."""


class StorageError(AzothError):
    """The database failed: busy, full, damaged, read-only, or not one that can be drained.

    `report` counts what was done before the failure, where a drain was under way. `transient`:
    waiting may mend it (busy, full, I/O, out of memory, cannot be opened).
    """

    def __init__(
        self, message: str = "", *, report: ReplayReport | None = None, transient: bool = False
    ) -> None:
        super().__init__(message)
        self.report = report
        self.transient = transient


class ExchangeError(AzothError):
    """A file of letters cannot be written, or cannot be read; `line`: where, counted from 1."""

    def __init__(self, message: str = "", *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class EventDecodeError(AzothError):
    """The bytes of an event lead to no handler; the message never shows the payload."""


class InvalidStateError(AzothError):
    """The call is not possible in the present state of the object."""


def not_allowed(field: str, value: object, allowed: str) -> ConfigError:
    """Return the error for one field: its name, its value (shortened) and what is allowed."""
    return ConfigError(f"{field}={_shortened(value)}: must be {allowed}")


def _shortened(value: object) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:
        # Python prints no int of more than 4,300 digits.
        return f"<{type(value).__name__}>"
