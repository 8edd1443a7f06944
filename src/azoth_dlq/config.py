"""The settings of a replayer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from azoth_dlq.backoff import BackoffStrategy
from azoth_dlq.durations import (
    Duration,
    from_microseconds,
    parse_duration,
    plain_seconds,
    to_microseconds,
)
from azoth_dlq.errors import ConfigError, not_allowed
from azoth_dlq.kernels.backoff import delay
from azoth_dlq.kernels.eligibility import Rules
from azoth_dlq.priority import ReplayPriority
from azoth_dlq.rates import parse_rate

if TYPE_CHECKING:
    from collections.abc import Mapping

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_MEBIBYTE: Final = 2**20
_NEVER: Final = "never"
_UNLIMITED: Final = "unlimited"
_FASTEST: Final = 1e9  # attempts a second
_SLOWEST: Final = 1e-6
_DEFAULT_BACKOFF: Final = BackoffStrategy.exponential(10, 3600)

_SHORTEST_US: Final = {
    "check_interval": 1,
    "min_age": 0,
    "max_transaction_time": 1,
    "yield_time": 0,
    "busy_timeout": 0,
    "timeout": 1,
    "retention": 1,
}
_BOUNDS: Final = {
    # The Rust crate azoth 0.2.5 reads retry counts as 32-bit integers.
    "max_retries": (1, _INT32_MAX),
    "batch_size": (1, _INT32_MAX),
    "history_limit": (0, _INT64_MAX),
    "memory_limit": (_MEBIBYTE, _INT64_MAX),
    # SQLite counts it in KiB, as a 32-bit integer.
    "cache_size": (_MEBIBYTE, 2**40),
    "mmap_size": (0, _INT64_MAX),
    "concurrency": (1, 10_000),
}
_MAY_BE_NONE: Final = {"cache_size", "mmap_size"}
_MEANS_NONE: Final = {
    "stop_on_consecutive_failures": _NEVER,
    "timeout": _NEVER,
    "rate_limit": _UNLIMITED,
    "retention": _NEVER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DlqReplayConfig:
    """How a replayer works; every setting is checked when the config is made.

    Durations are given as a `timedelta` or seconds and kept as a `timedelta`. Errors:
    `ConfigError` (a `ValueError`) naming the setting, its value and what is allowed.

    Each setting with its default (durations in seconds) and what is allowed:

    - enabled = True: whether a run replays at all; cycles and drains do not ask.
    - check_interval = 60 (more than 0): the longest that a run sleeps between two looks for due
      letters, and how long it rests after a stop or a failing database.
    - max_retries = 5 (1 to 2**31-1): attempts before a letter is parked.
    - backoff = exponential=10,3600 (a BackoffStrategy): the delay after each failed attempt.
    - min_age = 5 (0 or more): the least time since the failure or the last attempt.
    - batch_size = 100 (1 to 2**31-1): letters that one cycle attempts; a drain does not ask.
    - priority = by-retry-count (a ReplayPriority): the order in which due letters are attempted.
    - stop_on_consecutive_failures = 10 (1 or more; None: never): failures in a row that end a
      cycle or drain; the next one, in whatever process, begins with one letter as a probe.
    - jitter = 0.0 (0 to 1): the share of its backoff by which a letter's delay may be lessened.
    - max_transaction_time = 0.25 (more than 0): after how long a group of letters is committed.
    - yield_time = 0.11 (0 or more): how long the file is left to other writers after each second
      of held lock.
    - busy_timeout = 30 (0 or more): how long a locked file is waited for; ten times as long to
      write what became of a call outside a transaction, which is made again otherwise.
    - history_limit = 20 (0 or more; 0: none): failed and snoozed attempts that are kept for each
      letter.
    - memory_limit = 67108864 (1 MiB or more): bytes of payloads held at once, where one letter
      does not need more.
    - cache_size = 33554432 (1 MiB to 1 TiB; None: as the connection has it): bytes that SQLite may
      keep of the file while a drain works, instead of reading them again; more, where the
      connection's own cache is larger.
    - mmap_size = None (0 or more; None: as the connection has it): bytes of the file that SQLite
      maps into memory while a drain works. An error of the disk below a map ends the process.
    - concurrency = 1 (1 to 10000): attempts at once of handlers registered with
      `transactional=False`; the others are attempted one at a time.
    - timeout = None (more than 0; None: never): how long such a handler may take, unless it was
      registered with a timeout of its own. An async one is cancelled; the thread of another is
      left behind.
    - rate_limit = None (more than 0; None: unlimited): the most attempts a second, of all handlers
      together.
    - retention = None (more than 0; None: never): how long ago letters were parked, and attempts
      made, that a run deletes (when it begins, and once an hour); cycles and drains do not ask.
    """

    enabled: bool = True
    check_interval: timedelta = timedelta(seconds=60)
    max_retries: int = 5
    backoff: BackoffStrategy = _DEFAULT_BACKOFF
    min_age: timedelta = timedelta(seconds=5)
    batch_size: int = 100
    priority: ReplayPriority = ReplayPriority.BY_RETRY_COUNT
    stop_on_consecutive_failures: int | None = 10
    jitter: float = 0.0
    max_transaction_time: timedelta = timedelta(seconds=0.25)
    yield_time: timedelta = timedelta(seconds=0.11)
    busy_timeout: timedelta = timedelta(seconds=30)
    history_limit: int = 20
    memory_limit: int = 64 * _MEBIBYTE
    cache_size: int | None = 32 * _MEBIBYTE
    mmap_size: int | None = None
    concurrency: int = 1
    timeout: timedelta | None = None
    rate_limit: float | None = None
    retention: timedelta | None = None

    if TYPE_CHECKING:
        # A dataclass cannot say that it takes more types than it keeps.
        def __init__(  # noqa: PLR0913 -- one keyword a setting
            self,
            *,
            enabled: bool = ...,
            check_interval: Duration = ...,
            max_retries: int = ...,
            backoff: BackoffStrategy = ...,
            min_age: Duration = ...,
            batch_size: int = ...,
            priority: ReplayPriority = ...,
            stop_on_consecutive_failures: int | None = ...,
            jitter: float = ...,
            max_transaction_time: Duration = ...,
            yield_time: Duration = ...,
            busy_timeout: Duration = ...,
            history_limit: int = ...,
            memory_limit: int = ...,
            cache_size: int | None = ...,
            mmap_size: int | None = ...,
            concurrency: int = ...,
            timeout: Duration | None = ...,
            rate_limit: float | None = ...,
            retention: Duration | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        _check_type("enabled", self.enabled, bool, "True or False (in TOML true or false)")
        _check_type(
            "backoff", self.backoff, BackoffStrategy, "a BackoffStrategy (parse() reads texts)"
        )
        _check_type(
            "priority", self.priority, ReplayPriority, "a ReplayPriority (parse() reads texts)"
        )
        for name, shortest in _SHORTEST_US.items():
            value = getattr(self, name)
            if value is None and name in _MEANS_NONE:
                continue
            duration = to_microseconds(value, name, minimum=shortest)
            object.__setattr__(self, name, from_microseconds(duration))
        for name, (least, most) in _BOUNDS.items():
            value, allowed = getattr(self, name), f"an int from {least} to {most}"
            if name in _MAY_BE_NONE:
                allowed += ", or None for what the connection has"
                if value is None:
                    continue
            _check_integer(name, value, least, most, allowed)
        if self.stop_on_consecutive_failures is not None:
            name, value = "stop_on_consecutive_failures", self.stop_on_consecutive_failures
            allowed = (
                f"an int of 1 or more, or None for never (as an option or in a file: {_NEVER})"
            )
            _check_integer(name, value, 1, _INT64_MAX, allowed)
        object.__setattr__(self, "jitter", _checked_share("jitter", self.jitter))
        object.__setattr__(self, "rate_limit", checked_rate("rate_limit", self.rate_limit))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Make a config from plain values, as TOML or JSON give them.

        Durations are seconds, or texts such as "90s", "15m", "2h" or "3d", rates a number a second,
        or texts such as "50/s" or "600/m", `backoff` and `priority` their text forms; as TOML has
        no null, `stop_on_consecutive_failures`, `timeout` and `retention` may be "never", and
        `rate_limit` "unlimited".
        Errors: `ConfigError`.
        """
        allowed = [field.name for field in fields(cls)]
        for key in mapping:
            if key not in allowed:
                raise ConfigError(_unknown_setting(key, allowed))
        return cls(**{key: _from_plain(key, value) for key, value in mapping.items()})

    def to_mapping(self) -> dict[str, Any]:
        """Return every setting as a JSON-ready value that `from_mapping` reads back exactly."""
        return {field.name: _to_plain(getattr(self, field.name)) for field in fields(self)}

    def rules(self, now_us: int, *, waive_delay: bool = False) -> Rules:
        """Return what decides which letters are due at `now_us` (µs since 1970, UTC).

        `waive_delay` makes every letter due that has attempts left.

        :meta private:
        """
        return Rules(
            now=now_us,
            max_retries=self.max_retries,
            min_age=to_microseconds(self.min_age, "min_age"),
            kind=self.backoff.kind,
            initial=self.backoff.initial_us,
            maximum=self.backoff.max_us,
            jitter=self.jitter,
            waive_delay=waive_delay,
        )

    def least_wait(self, retry_count: int) -> int | None:
        """The least time in microseconds that a letter of this count waits after its last failure,
        whatever its jitter; None where it has no attempts left, or the count is negative.

        :meta private:
        """
        if not 0 <= retry_count < self.max_retries:
            return None
        backoff = self.backoff
        longest = delay(backoff.kind, backoff.initial_us, backoff.max_us, retry_count)
        # In units of 2**-32, as the kernels have it: no letter's own share is larger.
        share = int(self.jitter * 2**32)
        return max(to_microseconds(self.min_age, "min_age"), longest - (longest * share >> 32))


def _check_type(name: str, value: object, expected: type, allowed: str) -> None:
    if not isinstance(value, expected):
        raise not_allowed(name, value, allowed)


def _check_integer(name: str, value: object, least: int, most: int, allowed: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise not_allowed(name, value, allowed)


def _checked_share(name: str, value: object) -> float:
    return _checked_number(name, value, 0, 1, "a number from 0 to 1")


def checked_rate(name: str, value: object) -> float | None:
    """Attempts a second, None: unlimited. Errors: ConfigError."""
    if value is None:
        return None
    allowed = (
        "attempts a second, a number above 0, or None for no limit (as an option or in a file also "
        f"such as 50/s, 600/m or 3600/h, or {_UNLIMITED})"
    )
    return _checked_number(name, value, _SLOWEST, _FASTEST, allowed)


def _checked_number(name: str, value: object, least: float, most: float, allowed: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise not_allowed(name, value, allowed)
    return float(value)


def _unknown_setting(key: object, allowed: list[str]) -> str:
    import difflib  # noqa: PLC0415 -- most programs make no such mistake
    import reprlib  # noqa: PLC0415 -- as above

    wanted = str(key).replace("-", "_").lower()
    begun = [name for name in allowed if wanted and name.startswith(wanted)]
    near = difflib.get_close_matches(wanted, allowed, n=1) or begun[:1]
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown setting {reprlib.repr(key)}{hint}: must be one of {', '.join(allowed)}"


def _from_plain(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name == "backoff":
        return BackoffStrategy.parse(value)
    if name == "priority":
        return ReplayPriority.parse(value)
    if name in _SHORTEST_US and value != _MEANS_NONE.get(name):
        word = _MEANS_NONE.get(name)
        return from_microseconds(parse_duration(value, name, minimum=_SHORTEST_US[name], word=word))
    if name == "rate_limit" and value != _UNLIMITED:
        return parse_rate(value)
    return None if value == _MEANS_NONE.get(name) else value


def _to_plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return plain_seconds(value)
    if isinstance(value, BackoffStrategy | ReplayPriority):
        return str(value)
    return value
