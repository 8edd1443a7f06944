"""The wall clock of other processes, which have `shim/clock.c` preloaded."""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.sanitizers import preload

VARIABLE = "AZOTH_SHIM_CLOCK"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HANDS = struct.Struct("=qq")  # as the shim has them
_GOES_ON = -(2**63)
_NANOSECONDS = 1000  # in a microsecond


class WallClock:
    """Of all processes that have its `environment`; it is turned while they run."""

    def __init__(self, path: Path, shim: Path) -> None:
        self.path = path
        self.environment = {**preload(shim), VARIABLE: str(path)}
        self.off = timedelta(0)
        self._stands_at: datetime | None = None
        path.write_bytes(bytes(_HANDS.size))
        self._write()

    def now(self) -> datetime:
        return self._stands_at or datetime.now(UTC) + self.off

    def turn(self, **duration: float) -> None:
        """Forward, or back, whether it goes or stands."""
        if self._stands_at is not None:
            self._stands_at += timedelta(**duration)
        self.off += timedelta(**duration)
        self._write()

    def set(self, now: datetime) -> None:
        """It goes on from there."""
        self._stands_at = None
        self.off = now - datetime.now(UTC)
        self._write()

    def stop(self, now: datetime) -> None:
        """It stands still there."""
        self._stands_at = now
        self._write()

    def _write(self) -> None:
        stands_at = _GOES_ON if self._stands_at is None else _nanoseconds(self._stands_at - EPOCH)
        _write(self.path, _nanoseconds(self.off), stands_at)


def _nanoseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * _NANOSECONDS


def turn_own(hours: float) -> None:
    """The clock of the process that calls it: so far from the true time."""
    _write(Path(os.environ[VARIABLE]), _nanoseconds(timedelta(hours=hours)), _GOES_ON)


def _write(path: Path, off: int, stands_at: int) -> None:
    # In place: the file is mapped.
    with path.open("r+b", buffering=0) as file:
        file.write(_HANDS.pack(off, stands_at))
