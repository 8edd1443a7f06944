"""Which handler replays an event of which type."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from azoth_dlq._event import Event
from azoth_dlq.durations import Duration, to_microseconds
from azoth_dlq.errors import ConfigError, EventDecodeError, InvalidStateError, not_allowed
from azoth_dlq.registration import (
    HandlerCall,
    Registration,
    check_callable,
    check_plain,
    check_ran,
    registration_of,
)

Route: TypeAlias = Callable[[bytes], tuple[str, bytes]]
"""Takes the bytes of an event apart into its type and its payload."""

_H = TypeVar("_H", bound=HandlerCall)

_SHOWN_TYPES: Final = 10
_SHOWN_CHARACTERS: Final = 64
_OPENINGS: Final = {ord("{"): "JSON", ord("["): "JSON", ord("<"): "XML"}
_NEVER_FIRST_IN_UTF8: Final = frozenset([*range(0x80, 0xC2), *range(0xF5, 0x100)])


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """The most letters that a `handle_batch` gets at once, 1 or more.

    A drain may give it fewer: at most about 2,000 for the default `memory_limit` of 64 MiB.
    """

    max_batch_size: int = 1000

    def __post_init__(self) -> None:
        size = self.max_batch_size
        if type(size) is not int or size < 1:
            raise not_allowed("max_batch_size", size, "an int of 1 or more")


class EventHandlerRegistry:
    """Handlers by event type.

    Events are `type:payload` in UTF-8, split at the first colon, unless `route` takes their bytes
    apart. `batch` bounds what a `handle_batch` gets at once.
    """

    __slots__ = ("_by_key", "_by_type", "batch", "route")

    def __init__(self, route: Route | None = None, batch: BatchConfig | None = None) -> None:
        if route is not None:
            check_callable(route, "route", "event_bytes")
        if not isinstance(batch, BatchConfig | None):
            raise not_allowed("batch", batch, "a BatchConfig")
        self.batch = batch if batch is not None else BatchConfig()
        self.route = route
        self._by_type: dict[str, Registration] = {}
        self._by_key: dict[bytes, Registration] = {}

    def register(
        self,
        event_type: str,
        handler: object,
        *,
        transactional: bool = True,
        needs_connection: bool = False,
        timeout: Duration | None = None,
    ) -> None:
        """Let `handler` replay the events of a type.

        `handler` is a callable `(conn, event_id, payload)`, or an object with such a `handle` and,
        where it has them, `validate(payload)`, called before it and only looking, and
        `handle_batch(conn, events)`, which gets runs of consecutive letters (each an `Event`),
        also of one; where it raises, its letters go to `handle` one by one.

        What a handler writes through `conn` is committed together with its letter. One that calls
        other systems is registered with `transactional=False`: it runs outside any transaction, at
        least once, and gets None for `conn`, or with `needs_connection=True` a connection of its
        own that only reads. Such a one may be `async def`, and has `timeout` (a `timedelta` or
        seconds; None: the settings') for each call: an async one is cancelled then, the thread of
        another is left behind, and either has failed.
        Errors: `ConfigError`; `InvalidStateError` where the type has a handler already.
        """
        _check_event_type(event_type, routed=self.route is not None)
        if needs_connection and transactional:
            raise ConfigError(
                f"event type {event_type!r}: needs_connection=True goes with transactional=False; "
                "other handlers get the queue's own connection"
            )
        seconds = _seconds_of(timeout, event_type, transactional=transactional)
        registration = registration_of(event_type, handler)._replace(
            transactional=bool(transactional),
            needs_connection=bool(needs_connection),
            timeout=seconds,
        )
        if registration.is_async and transactional:
            raise ConfigError(
                f"{registration.name} is async: while it waits, the drain's transaction would stay "
                "open, and keep every other program from writing; register it with "
                "transactional=False, or a plain function"
            )
        known = self._by_type.get(event_type)
        if known is not None:
            message = f"event type {event_type!r} is handled by {known.name} already"
            raise InvalidStateError(f"{message}: {registration.name} cannot be registered for it")
        self._by_type[event_type] = registration
        self._by_key[event_type.encode()] = registration

    def handler(
        self,
        event_type: str,
        *,
        transactional: bool = True,
        needs_connection: bool = False,
        timeout: Duration | None = None,
    ) -> Callable[[_H], _H]:
        """Return a decorator that registers a function, and returns it unchanged.

        Its arguments, and errors, as of `register`.
        """
        # Without this, @registry.handler without its brackets would silently register nothing.
        _check_event_type(event_type, routed=self.route is not None)

        def decorate(function: _H) -> _H:
            self.register(
                event_type,
                function,
                transactional=transactional,
                needs_connection=needs_connection,
                timeout=timeout,
            )
            return function

        return decorate

    def get(self, event_type: str) -> object | None:
        """Return what was registered for a type, None where nothing was."""
        registration = self._by_type.get(event_type)
        return None if registration is None else registration.handler

    @property
    def event_types(self) -> list[str]:
        """The types that have a handler, sorted."""
        return sorted(self._by_type)

    def resolve(self, event_bytes: bytes) -> tuple[Registration, bytes]:
        """Return the registration and the payload of an event.

        Errors: `EventDecodeError`, naming the type or the kind of the first bytes.

        :meta private:
        """
        if self.route is not None:
            return self._resolve_routed(self.route, event_bytes)
        key, colon, payload = event_bytes.partition(b":")
        registration = self._by_key.get(key)
        if registration is None or not colon:
            self._refuse(key, colon, event_bytes)
        if not payload.isascii():
            _check_utf8(payload, f"the payload of an event of type {registration.event_type!r}")
        return registration, payload

    def process(self, conn: Any, event_id: int, event_bytes: bytes) -> None:
        """Call the handler of an event; what it raises is passed on.

        Errors: `EventDecodeError`; `InvalidStateError` where the handler is async."""
        registration, payload = self.resolve(event_bytes)
        check_plain(registration)
        check_ran(registration.call(conn, event_id, payload), registration.name)

    def process_batched(self, conn: Any, events: Iterable[tuple[int, bytes]]) -> None:
        """Call the handlers of `(event_id, event_bytes)` events, in order: contiguous runs of a
        type go to its `handle_batch`, where it has one, at most `batch.max_batch_size` at once.

        What a handler raises ends it and is passed on. Errors as of `process`.
        """
        resolved = ((event_id, *self.resolve(event_bytes)) for event_id, event_bytes in events)
        for registration, run in groupby(resolved, key=itemgetter(1)):
            check_plain(registration)
            payloads = ((event_id, payload) for event_id, _, payload in run)
            if registration.batch_call is None:
                for event_id, payload in payloads:
                    check_ran(registration.call(conn, event_id, payload), registration.name)
                continue
            while some := list(islice(payloads, self.batch.max_batch_size)):
                result = registration.call_batch(conn, [Event(*pair) for pair in some])
                check_ran(result, registration.name)

    @property
    def registrations(self) -> list[Registration]:
        """Every handler as a drain calls it, by event type.

        :meta private:
        """
        return [self._by_type[event_type] for event_type in self.event_types]

    def validate(self, event_bytes: bytes) -> None:
        """Let the handler of an event check its payload, where it does. Errors as `process`."""
        registration, payload = self.resolve(event_bytes)
        if registration.validate is not None:
            registration.validate(payload)

    def _resolve_routed(self, route: Route, event_bytes: bytes) -> tuple[Registration, bytes]:
        try:
            routed: object = route(event_bytes)
        # Whatever a route raises over one event is a failure of that event.
        except Exception as error:
            raise EventDecodeError(f"the route raised {type(error).__name__}") from error
        match routed:
            case tuple((str(event_type), bytes(payload))):
                pass
            case _:
                found = _type_names(routed)
                raise EventDecodeError(f"the route must return (str, bytes), not {found}")
        registration = self._by_type.get(event_type)
        if registration is None:
            raise EventDecodeError(self._unknown_type(event_type))
        return registration, payload

    def _refuse(self, key: bytes, colon: bytes, event_bytes: bytes) -> NoReturn:
        kind = _kind(event_bytes)
        if kind is not None:
            raise EventDecodeError(f"the event {kind}; expected type:payload in UTF-8, or a route")
        _check_utf8(event_bytes, "the event")
        if not colon:
            size = len(event_bytes)
            raise EventDecodeError(f"the event has no colon in its {size} bytes of text")
        raise EventDecodeError(self._unknown_type(key.decode()))

    def _unknown_type(self, event_type: str) -> str:
        if not self._by_type:
            return f"unknown event type {_shown(event_type)}: no handler is registered"
        known = ", ".join(_shown(name) for name in self.event_types[:_SHOWN_TYPES])
        more = len(self._by_type) - _SHOWN_TYPES
        rest = f" and {more} more" if more > 0 else ""
        return f"unknown event type {_shown(event_type)}: registered are {known}{rest}"


def _check_event_type(event_type: object, *, routed: bool) -> None:
    if not isinstance(event_type, str) or not event_type:
        allowed = 'a non-empty str, as in @registry.handler("deposit")'
        raise not_allowed("event_type", event_type, allowed)
    if ":" in event_type and not routed:
        allowed = "without ':', at which an event is split; give the registry a route to allow it"
        raise not_allowed("event_type", event_type, allowed)
    try:
        event_type.encode()
    except UnicodeEncodeError:
        allowed = "text that UTF-8 can hold (no lone surrogates)"
        raise not_allowed("event_type", event_type, allowed) from None


def _seconds_of(timeout: Duration | None, event_type: str, *, transactional: bool) -> float | None:
    if timeout is None:
        return None
    seconds = to_microseconds(timeout, "timeout", minimum=1) / 1_000_000
    if transactional:
        raise ConfigError(
            f"event type {event_type!r}: timeout= goes with transactional=False; other handlers "
            "run in the drain's own thread, amid its transaction, where nothing can end them"
        )
    return seconds


def _check_utf8(text: bytes, what: str) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        place = f"byte {error.start + 1} of {len(text)}"
    else:
        return
    # Raised here, where the error that holds the payload is gone.
    raise EventDecodeError(f"{what} is not UTF-8 at {place}")


def _kind(event_bytes: bytes) -> str | None:
    """Return what the first bytes of an event give away, None where they may begin a type."""
    if not event_bytes:
        return "is empty"
    first = event_bytes[0]
    if first in _OPENINGS:
        return f"starts with {chr(first)!r} ({_OPENINGS[first]}?)"
    if first == ord(":"):
        return "starts with ':', so it has no type"
    if first < ord(" "):
        return f"starts with byte {first:#04x} (binary?)"
    if first in _NEVER_FIRST_IN_UTF8:
        return f"starts with byte {first:#04x}, not UTF-8"
    return None


def _type_names(value: object) -> str:
    if isinstance(value, tuple) and len(value) <= _SHOWN_TYPES:
        return f"({', '.join(type(item).__name__ for item in value)})"
    return type(value).__name__


def _shown(event_type: str) -> str:
    if len(event_type) <= _SHOWN_CHARACTERS:
        return repr(event_type)
    return f"{event_type[:_SHOWN_CHARACTERS]!r}…"
