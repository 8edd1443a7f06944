"""A handler as a drain calls it, and what is checked when it is registered."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, NamedTuple, TypeAlias

from azoth_dlq._event import Event
from azoth_dlq.errors import ConfigError, InvalidStateError, not_allowed

# A handler says itself of what kind its connection is, so the first argument is Any.
HandlerCall: TypeAlias = Callable[[Any, int, bytes], object]
Validate: TypeAlias = Callable[[bytes], object]
BatchCall: TypeAlias = Callable[[Any, Any], object]


class Registration(NamedTuple):
    """A handler as a drain calls it.

    `call(conn, event_id, payload)` validates first where the handler does; `name` is the
    handler's module and qualified name, for messages; `handler` is what was registered. Where
    `transactional` is False it is called outside any transaction, and `conn` is None, or with
    `needs_connection` one that only reads. `is_async`: what it returns is awaited. `timeout`: in
    seconds, where it has one of its own.
    """

    event_type: str
    call: HandlerCall
    validate: Validate | None
    batch_call: BatchCall | None
    name: str
    handler: object
    transactional: bool = True
    needs_connection: bool = False
    is_async: bool = False
    timeout: float | None = None

    def call_batch(self, conn: Any, events: list[Event]) -> object:
        """Validate every payload where the handler does, then call its `handle_batch`; what that
        returned, which is to be awaited where the handler is async."""
        if self.batch_call is None:
            raise InvalidStateError(f"{self.name} has no handle_batch")
        if self.validate is not None:
            for event in events:
                self.validate(event.payload)
        return self.batch_call(conn, events)


def check_ran(result: object, name: str) -> None:
    """Errors: TypeError where what a handler returned is still to be run: nobody would."""
    if inspect.isawaitable(result) or isinstance(result, Generator | AsyncGenerator):
        if isinstance(result, Coroutine | Generator):
            result.close()
        kind = type(result).__name__
        raise TypeError(
            f"{name} returned a {kind}, which is still to be run; register a plain function that "
            "does its work when it is called"
        )


def registration_of(event_type: str, handler: object) -> Registration:
    """Errors: ConfigError."""
    if inspect.isclass(handler):
        allowed = "a function or an object, not a class: register an instance of it"
        raise not_allowed("handler", handler, allowed)
    name = _qualified_name(handler)
    is_object = hasattr(handler, "handle")
    if not is_object and not callable(handler):
        needed = "have handle(conn, event_id, payload), also where it has handle_batch"
        raise ConfigError(f"{name} is not callable: it must be a function, or {needed}")
    call: Any = getattr(handler, "handle", handler)
    is_async = check_callable(call, name, "conn", "event_id", "payload", may_be_async=True)
    validate = getattr(handler, "validate", None) if is_object else None
    if validate is not None:
        check_callable(validate, f"{name}.validate", "payload")
    batch_call = getattr(handler, "handle_batch", None) if is_object else None
    if batch_call is not None:
        batch_name = f"{name}.handle_batch"
        is_alike = is_async == check_callable(
            batch_call, batch_name, "conn", "events", may_be_async=True
        )
        if not is_alike:
            raise ConfigError(f"{name}: handle and handle_batch must both be async, or neither")
    return Registration(
        event_type=event_type,
        call=call if validate is None else _validating(validate, call),
        validate=validate,
        batch_call=batch_call,
        name=name,
        handler=handler,
        is_async=is_async,
    )


def _validating(validate: Validate, call: HandlerCall) -> HandlerCall:
    def validate_then_call(conn: Any, event_id: int, payload: bytes) -> object:
        validate(payload)
        return call(conn, event_id, payload)

    return validate_then_call


def check_plain(registration: Registration) -> None:
    if registration.is_async:
        raise InvalidStateError(f"{registration.name} is async: only a drain can await it")


def check_callable(
    function: object, name: str, *parameters: str, may_be_async: bool = False
) -> bool:
    """Whether it is async. Errors: ConfigError."""
    if not callable(function):
        raise ConfigError(f"{name} is not callable: it must take ({', '.join(parameters)})")
    code = _unwrapped(function)
    if not inspect.isroutine(code):
        code = type(code).__call__
    is_async = inspect.iscoroutinefunction(code)
    if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
        raise ConfigError(f"{name} is a generator: calling it runs nothing; remove its yield")
    if is_async and not may_be_async:
        reason = "calling it runs nothing, and nobody would await it"
        raise ConfigError(f"{name} is async: {reason}; use a plain function")
    _check_signature(function, name, parameters)
    return is_async


def _check_signature(
    function: Callable[..., object], name: str, parameters: tuple[str, ...]
) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        # Some compiled functions don't tell theirs.
        return
    try:
        signature.bind(*parameters)
    except TypeError as error:
        message = f"{name}{signature} cannot be called with ({', '.join(parameters)}): {error}"
        raise ConfigError(message) from None


def _unwrapped(function: object) -> object:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _qualified_name(handler: object) -> str:
    named = _unwrapped(handler)
    if not hasattr(named, "__qualname__"):
        named = type(named)
    module = getattr(named, "__module__", None) or type(named).__module__
    return f"{module}.{named.__qualname__}"
