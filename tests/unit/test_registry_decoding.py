"""How an event finds its handler and its payload, and what an error tells of one that does not."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.errors import EventDecodeError
from azoth_dlq.registry import EventHandlerRegistry


def deposit(_conn: object, _event_id: int, _payload: bytes) -> None: ...


@pytest.fixture
def registry() -> EventHandlerRegistry:
    registry = EventHandlerRegistry()
    for event_type in ("deposit", "withdraw"):
        registry.register(event_type, deposit)
    return registry


@pytest.mark.parametrize(
    ("event_bytes", "message"),
    [
        (b"", "the event is empty"),
        (b'{"type": "deposit", "secret": 1}', "starts with '{' (JSON?); expected type:payload"),
        (b'["deposit", "secret"]', "starts with '[' (JSON?)"),
        (b"<deposit>secret: 1</deposit>", "starts with '<' (XML?)"),
        (b"\xffdeposit:secret", "starts with byte 0xff, not UTF-8"),
        (b"\x80:secret", "starts with byte 0x80, not UTF-8"),
        (b"\x08\x01secret:", "starts with byte 0x08 (binary?)"),
        (b":secret", "starts with ':', so it has no type"),
        (b"secret", "the event has no colon in its 6 bytes of text"),
        (b"deposit", "the event has no colon in its 7 bytes of text"),
        (b"secr\xe9t:1", "the event is not UTF-8 at byte 5 of 8"),
        (b"refund:secr\xe9t", "the event is not UTF-8 at byte 12 of 13"),
        (b"deposit:secret\xff", "the payload of an event of type 'deposit' is not UTF-8 at byte 7"),
        (b"deposit:\xed\xa0\x80secret", "the payload of an event of type 'deposit' is not UTF-8"),
        (b"refund:secret", "unknown event type 'refund': registered are 'deposit', 'withdraw'"),
        ("dépôt:secret".encode(), "unknown event type 'dépôt': registered are"),
        (b"Deposit:secret", "unknown event type 'Deposit'"),
        (b" deposit:secret", "unknown event type ' deposit'"),
    ],
)
def test_an_event_that_leads_nowhere_is_refused_without_its_payload(
    registry: EventHandlerRegistry, event_bytes: bytes, message: str
) -> None:
    with pytest.raises(EventDecodeError) as caught:
        registry.resolve(event_bytes)
    assert message in str(caught.value)
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_the_message_of_an_unknown_type_is_bounded() -> None:
    registry = EventHandlerRegistry()
    for number in range(1000):
        registry.register(f"type{number:04}" + "x" * 1000, deposit)
    with pytest.raises(EventDecodeError) as caught:
        registry.resolve(b"y" * 100_000 + b":1")
    assert "and 990 more" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(EventDecodeError, match="'deposit': no handler is registered"):
        EventHandlerRegistry().resolve(b"deposit:1")


@given(st.binary(max_size=12))
def test_a_payload_resolves_if_and_only_if_it_is_utf8(payload: bytes) -> None:
    registry = EventHandlerRegistry()
    registry.register("dépôt", deposit)
    event_bytes = "dépôt:".encode() + payload
    try:
        payload.decode()
    except UnicodeDecodeError:
        with pytest.raises(EventDecodeError, match="not UTF-8"):
            registry.resolve(event_bytes)
    else:
        assert registry.resolve(event_bytes)[1] == payload


@given(st.binary(max_size=12))
def test_no_bytes_raise_anything_but_a_decode_error(event_bytes: bytes) -> None:
    registry = EventHandlerRegistry()
    registry.register("a", deposit)
    try:
        registration, payload = registry.resolve(event_bytes)
    except EventDecodeError as error:
        assert str(error)  # noqa: PT017 -- both ways are right here
    else:
        assert registration.event_type.encode() + b":" + payload == event_bytes


# Routes of the program's own


def _by_json(event_bytes: bytes) -> tuple[str, bytes]:
    event = json.loads(event_bytes)
    return event["type"], event["data"].encode()


def test_a_colon_in_an_event_type_is_allowed_with_a_route() -> None:
    registry = EventHandlerRegistry(route=_by_json)
    registry.register("bank:deposit", deposit)
    registration, payload = registry.resolve(b'{"type": "bank:deposit", "data": "7"}')
    assert registration.call is deposit
    assert payload == b"7"


def test_what_a_route_raises_is_a_decode_error_with_its_cause() -> None:
    registry = EventHandlerRegistry(route=_by_json)
    with pytest.raises(EventDecodeError, match=r"^the route raised JSONDecodeError$") as caught:
        registry.resolve(b"deposit:1")
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


def test_an_interrupt_in_a_route_is_passed_on() -> None:
    def interrupted(_event_bytes: bytes) -> tuple[str, bytes]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EventHandlerRegistry(route=interrupted).resolve(b"deposit:1")


@pytest.mark.parametrize(
    ("routed", "found"),
    [
        (None, "NoneType"),
        ("deposit", "str"),
        (["deposit", b"1"], "list"),
        (("deposit", "1"), r"\(str, str\)"),
        ((b"deposit", b"1"), r"\(bytes, bytes\)"),
        (("deposit", b"1", 2), r"\(str, bytes, int\)"),
        (("deposit", bytearray(b"1")), r"\(str, bytearray\)"),
        ((0,) * 1000, "tuple"),
    ],
)
def test_a_route_that_returns_something_else_is_named(routed: Any, found: str) -> None:
    registry = EventHandlerRegistry(route=lambda _: routed)
    registry.register("deposit", deposit)
    with pytest.raises(EventDecodeError, match=rf"must return \(str, bytes\), not {found}$"):
        registry.resolve(b"x")


def test_a_route_to_an_unknown_type_is_refused_by_name() -> None:
    registry = EventHandlerRegistry(route=_by_json)
    registry.register("deposit", deposit)
    with pytest.raises(EventDecodeError, match="'refund': registered are 'deposit'"):
        registry.resolve(b'{"type": "refund", "data": "1"}')


def test_a_route_may_take_bytes_that_are_no_utf8() -> None:
    registry = EventHandlerRegistry(route=lambda event_bytes: ("deposit", event_bytes[1:]))
    registry.register("deposit", deposit)
    assert registry.resolve(b"\xff\xfe")[1] == b"\xfe"
