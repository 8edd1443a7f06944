"""Handlers by event type."""

from __future__ import annotations

import functools
import pickle
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from azoth_dlq.errors import ConfigError, EventDecodeError, InvalidStateError
from azoth_dlq.registry import BatchConfig, EventHandlerRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


def deposit(conn: Any, event_id: int, payload: bytes) -> None:
    conn.append((event_id, payload))


class Withdraw:
    def validate(self, payload: bytes) -> None:
        int(payload)

    def handle(self, conn: Any, event_id: int, payload: bytes) -> None:
        conn.append((event_id, payload))

    def handle_batch(self, conn: Any, events: Any) -> None:
        conn.extend(events)


@pytest.fixture
def registry() -> EventHandlerRegistry:
    registry = EventHandlerRegistry()
    registry.register("deposit", deposit)
    registry.register("withdraw", Withdraw())
    return registry


def test_a_function_is_called_as_it_was_registered(registry: EventHandlerRegistry) -> None:
    registration, payload = registry.resolve(b"deposit:100")
    assert registration.event_type == "deposit"
    assert registration.call is deposit
    assert registration.validate is None
    assert registration.batch_call is None
    assert registration.name == f"{__name__}.deposit"
    assert payload == b"100"
    assert type(payload) is bytes


def test_an_object_gives_its_handle_its_validate_and_its_batch_call() -> None:
    registry = EventHandlerRegistry()
    handler = Withdraw()
    registry.register("withdraw", handler)
    registration, _ = registry.resolve(b"withdraw:1")
    assert registration.validate == handler.validate
    assert registration.batch_call == handler.handle_batch
    assert registration.name == f"{__name__}.Withdraw"


def test_an_object_is_validated_before_it_is_called(registry: EventHandlerRegistry) -> None:
    seen: list[Any] = []
    registration, payload = registry.resolve(b"withdraw:7")
    registration.call(seen, 3, payload)
    with pytest.raises(ValueError, match="invalid literal"):
        registration.call(seen, 4, b"x")
    assert seen == [(3, b"7")]


def test_an_object_without_validate_is_called_directly() -> None:
    registry = EventHandlerRegistry()
    handler = SimpleNamespace(handle=deposit)
    registry.register("deposit", handler)
    assert registry.resolve(b"deposit:")[0].call is deposit


def test_process_calls_the_handler_of_the_event(registry: EventHandlerRegistry) -> None:
    seen: list[Any] = []
    registry.process(seen, 42, b"deposit:a:b")
    assert seen == [(42, b"a:b")]


def test_validate_asks_the_handler_and_calls_nothing(registry: EventHandlerRegistry) -> None:
    registry.validate(b"withdraw:7")
    registry.validate(b"deposit:anything")
    with pytest.raises(ValueError, match="invalid literal"):
        registry.validate(b"withdraw:x")
    with pytest.raises(EventDecodeError):
        registry.validate(b"refund:1")


def test_the_decorator_returns_the_function_unchanged() -> None:
    registry = EventHandlerRegistry()

    def refund(conn: Any, event_id: int, payload: bytes) -> None: ...

    assert registry.handler("refund")(refund) is refund
    assert registry.get("refund") is refund


def test_the_decorator_without_its_event_type_is_refused() -> None:
    misused: Any = EventHandlerRegistry().handler
    with pytest.raises(ConfigError, match=r'@registry\.handler\("deposit"\)'):
        misused(deposit)


def test_get_returns_what_was_registered_or_none(registry: EventHandlerRegistry) -> None:
    assert registry.get("deposit") is deposit
    assert isinstance(registry.get("withdraw"), Withdraw)
    assert registry.get("refund") is None


def test_the_event_types_are_sorted() -> None:
    registry = EventHandlerRegistry()
    for name in ("b", "a", "c"):
        registry.register(name, deposit)
    assert registry.event_types == ["a", "b", "c"]


def test_a_second_handler_of_a_type_is_refused_and_the_first_stays(
    registry: EventHandlerRegistry,
) -> None:
    with pytest.raises(InvalidStateError, match=r"'deposit' is handled by .*\.deposit already"):
        registry.register("deposit", Withdraw())
    assert registry.get("deposit") is deposit


@pytest.mark.parametrize("event_type", ["", "a:b", ":", None, b"deposit", 1, deposit, "\ud800"])
def test_an_event_type_that_no_event_can_have_is_refused(event_type: Any) -> None:
    with pytest.raises(ConfigError, match=r"^event_type="):
        EventHandlerRegistry().register(event_type, deposit)


async def _coroutine(conn: Any, event_id: int, payload: bytes) -> None: ...


async def _coroutine_batch(conn: Any, events: Any) -> None: ...


async def _async_generator(_conn: Any, _event_id: int, _payload: bytes) -> AsyncIterator[int]:
    yield 1


class _AsyncCall:
    async def __call__(self, conn: Any, event_id: int, payload: bytes) -> None: ...


class _AsyncValidate(Withdraw):
    async def validate(self, payload: bytes) -> None:  # type: ignore[override]  # the mistake
        int(payload)


class _AsyncBatch(Withdraw):
    async def handle_batch(  # type: ignore[override]  # the mistake
        self, conn: Any, events: Any
    ) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [
        _coroutine,
        functools.partial(_coroutine),
        _AsyncCall(),
        SimpleNamespace(handle=_coroutine),
        SimpleNamespace(handle=_coroutine, handle_batch=_coroutine_batch),
    ],
)
def test_an_async_handler_is_refused_within_the_transaction(handler: object) -> None:
    with pytest.raises(ConfigError, match=r"is async: .* the drain's transaction would stay open"):
        EventHandlerRegistry().register("deposit", handler)
    registry = EventHandlerRegistry()
    registry.register("deposit", handler, transactional=False)
    [registration] = registry.registrations
    assert registration.is_async
    with pytest.raises(InvalidStateError, match="is async: only a drain can await it"):
        registry.process(None, 1, b"deposit:1")
    with pytest.raises(InvalidStateError, match="is async: only a drain can await it"):
        registry.process_batched(None, [(1, b"deposit:1")])


@pytest.mark.parametrize("transactional", [False, True])
def test_what_checks_a_payload_is_never_async(transactional: bool) -> None:
    with pytest.raises(ConfigError, match=r"validate is async: calling it runs nothing"):
        EventHandlerRegistry().register("deposit", _AsyncValidate(), transactional=transactional)


def test_one_half_of_a_handler_cannot_be_async() -> None:
    for handler in (
        _AsyncBatch(),
        SimpleNamespace(handle=_coroutine, handle_batch=Withdraw().handle_batch),
    ):
        with pytest.raises(ConfigError, match="must both be async, or neither"):
            EventHandlerRegistry().register("deposit", handler, transactional=False)


def test_an_async_generator_is_refused() -> None:
    with pytest.raises(ConfigError, match="is a generator: calling it runs nothing"):
        EventHandlerRegistry().register("deposit", _async_generator, transactional=False)


def test_a_timeout_is_a_duration_of_handlers_outside() -> None:
    registry = EventHandlerRegistry()
    registry.register("deposit", deposit, transactional=False, timeout=timedelta(seconds=2.5))
    registry.handler("withdraw", transactional=False, timeout=3)(deposit)
    registry.register("transfer", deposit, transactional=False)
    assert [one.timeout for one in registry.registrations] == [2.5, None, 3.0]
    with pytest.raises(ConfigError, match="timeout= goes with transactional=False"):
        registry.register("audit", deposit, timeout=1)
    for wrong in (0, -1, "5s", float("nan"), True):
        with pytest.raises(ConfigError, match=r"^timeout="):
            registry.register("audit", deposit, transactional=False, timeout=cast(Any, wrong))


def test_a_generator_is_refused_since_calling_it_runs_nothing() -> None:
    def handler(_conn: Any, _event_id: int, _payload: bytes) -> Iterator[None]:
        yield

    with pytest.raises(ConfigError, match="is a generator: calling it runs nothing"):
        EventHandlerRegistry().register("deposit", handler)


@pytest.mark.parametrize("handler", [None, "deposit", 3, SimpleNamespace(handle=3)])
def test_what_cannot_be_called_is_refused(handler: object) -> None:
    with pytest.raises(ConfigError, match=r"is not callable: .*\(conn, event_id, payload\)"):
        EventHandlerRegistry().register("deposit", handler)


def test_a_class_in_place_of_its_instance_is_refused() -> None:
    with pytest.raises(ConfigError, match="register an instance"):
        EventHandlerRegistry().register("withdraw", Withdraw)


@pytest.mark.parametrize(
    "handler",
    [
        lambda _conn, _payload: None,
        lambda _conn, _event_id, _payload, _extra: None,
        SimpleNamespace(handle=deposit, validate=lambda: None),
        SimpleNamespace(handle=deposit, handle_batch=lambda _events: None),
    ],
)
def test_a_handler_with_other_arguments_is_refused_before_any_letter_fails(
    handler: object,
) -> None:
    with pytest.raises(ConfigError, match="cannot be called with"):
        EventHandlerRegistry().register("deposit", handler)


@pytest.mark.parametrize(
    "handler",
    [
        lambda *_: None,
        lambda _conn, _event_id, _payload, _extra=1: None,
        functools.partial(deposit),
        max,
    ],
)
def test_a_handler_that_takes_the_three_arguments_somehow_is_accepted(
    handler: Callable[..., object],
) -> None:
    registry = EventHandlerRegistry()
    registry.register("deposit", handler)
    assert registry.get("deposit") is handler


def test_a_handler_outside_transactions_is_registered_as_such() -> None:
    registry = EventHandlerRegistry()
    registry.register("deposit", deposit, transactional=False, needs_connection=True)
    registry.register("withdraw", deposit)
    outside, _ = registry.resolve(b"deposit:1")
    within, _ = registry.resolve(b"withdraw:1")
    assert (outside.transactional, outside.needs_connection) == (False, True)
    assert (within.transactional, within.needs_connection) == (True, False)


def test_a_transactional_handler_needs_no_connection_of_its_own() -> None:
    with pytest.raises(ConfigError, match="needs_connection=True goes with transactional=False"):
        EventHandlerRegistry().register("deposit", deposit, needs_connection=True)


@pytest.mark.parametrize("size", [0, -1, 1.0, True, None, "10"])
def test_a_batch_size_below_one_is_refused(size: Any) -> None:
    with pytest.raises(ConfigError, match=r"^max_batch_size="):
        BatchConfig(size)


def test_the_batch_size_is_a_thousand_unless_given() -> None:
    assert EventHandlerRegistry().batch == BatchConfig(1000)
    assert EventHandlerRegistry(batch=BatchConfig(5)).batch.max_batch_size == 5
    assert pickle.loads(pickle.dumps(BatchConfig(5))) == BatchConfig(5)


@pytest.mark.parametrize("route", ["json", lambda: None, _coroutine])
def test_a_route_that_cannot_be_called_with_bytes_is_refused(route: Any) -> None:
    with pytest.raises(ConfigError, match=r"^route"):
        EventHandlerRegistry(route=route)


@pytest.mark.parametrize("batch", [1000, "1000", BatchConfig])
def test_a_batch_that_is_no_batch_config_is_refused(batch: Any) -> None:
    with pytest.raises(ConfigError, match=r"^batch=.*: must be a BatchConfig"):
        EventHandlerRegistry(batch=batch)


def test_attributes_of_a_function_are_none_of_its_methods() -> None:
    """Decorators leave whatever they like on what they wrap."""

    def function(*_args: object) -> None:
        pass

    setattr(function, "validate", "strictly")  # noqa: B010 -- mypy knows no such attribute
    setattr(function, "handle_batch", 500)  # noqa: B010 -- as above
    registry = EventHandlerRegistry()
    registry.register("decorated", function)
    registry.process(None, 1, b"decorated:")
    assert registry.registrations[0].batch_call is None


def test_the_decorator_registers_what_runs_outside_transactions_as_such() -> None:
    registry = EventHandlerRegistry()
    registry.handler("mail", transactional=False)(deposit)
    registry.handler("report", transactional=False, needs_connection=True)(deposit)
    mail, report = (registry.resolve(event)[0] for event in (b"mail:", b"report:"))
    assert (mail.transactional, mail.needs_connection) == (False, False)
    assert (report.transactional, report.needs_connection) == (False, True)
