"""How many attempts a second: a token bucket."""

from __future__ import annotations

import threading
from time import monotonic

_SECONDS_AHEAD = 0.1  # of attempts that the bucket holds, where that is more than one


class Rate:
    """Of all drains of a replayer. Any thread may ask, or change the rate meanwhile.

    The bucket holds a tenth of a second's attempts, at least one: what was not used before is no
    leave to make them all at once.
    """

    def __init__(self, a_second: float | None) -> None:
        self._lock = threading.Lock()
        self._tokens = 1.0
        self._filled_at = monotonic()
        self._a_second = a_second

    @property
    def a_second(self) -> float | None:
        """None: unlimited."""
        return self._a_second

    @a_second.setter
    def a_second(self, a_second: float | None) -> None:
        # Without the lock: a signal handler may have interrupted who holds it.
        self._a_second = a_second

    @property
    def is_limited(self) -> bool:
        return self._a_second is not None

    def available(self) -> int:
        """How many attempts may be made now."""
        with self._lock:
            self._fill()
            return max(int(self._tokens), 0)

    def take(self, attempts: int) -> None:
        """So many are made."""
        if not self.is_limited:
            return
        with self._lock:
            self._fill()
            self._tokens -= attempts

    def try_to_take(self, attempts: int) -> bool:
        """The same if one may be made: more than one at once make the next wait the longer."""
        if not self.is_limited:
            return True
        with self._lock:
            self._fill()
            if self._tokens < 1:
                return False
            self._tokens -= attempts
            return True

    def wait(self) -> float:
        """In how many seconds another may be made."""
        with self._lock:
            self._fill()
            a_second = self._a_second
            if a_second is None or self._tokens >= 1:
                return 0.0
            return (1 - self._tokens) / a_second

    def _fill(self) -> None:
        now, a_second = monotonic(), self._a_second
        if a_second is None:
            self._tokens = 1.0
        else:
            most = max(1.0, a_second * _SECONDS_AHEAD)
            self._tokens = min(most, self._tokens + (now - self._filled_at) * a_second)
        self._filled_at = now
