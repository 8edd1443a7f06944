"""Events that are processed in contiguous runs of a type."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.errors import ConfigError, EventDecodeError, InvalidStateError
from azoth_dlq.registry import BatchConfig, EventHandlerRegistry

Pair = tuple[int, bytes]


class Batches:
    """Notes what it is called with, batches as lists."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def handle(self, _conn: Any, event_id: int, payload: bytes) -> None:
        self.calls.append((event_id, payload))

    def handle_batch(self, conn: Any, events: Any) -> None:
        self.calls.append([(event.event_id, event.payload) for event in events])
        if conn == "fails":
            raise ValueError("it failed")


class Validating(Batches):
    def validate(self, payload: bytes) -> None:
        int(payload)


class Singly(Batches):
    handle_batch = None  # type: ignore[assignment]  # as good as none


@pytest.fixture
def handler() -> Batches:
    return Batches()


@pytest.fixture
def registry(handler: Batches) -> EventHandlerRegistry:
    registry = EventHandlerRegistry(batch=BatchConfig(3))
    registry.register("a", handler)
    registry.register("b", handler)
    registry.register("single", handler.handle)
    return registry


def _events(*kinds: str) -> list[Pair]:
    return [(n, f"{kind}:{n}".encode()) for n, kind in enumerate(kinds)]


def test_contiguous_events_of_a_type_go_in_one_call(
    registry: EventHandlerRegistry, handler: Batches
) -> None:
    registry.process_batched(None, _events("a", "a", "b", "a"))
    assert handler.calls == [[(0, b"0"), (1, b"1")], [(2, b"2")], [(3, b"3")]]


def test_a_run_is_cut_at_the_batch_size(registry: EventHandlerRegistry, handler: Batches) -> None:
    registry.process_batched(None, _events(*["a"] * 7))
    assert [len(batch) for batch in handler.calls] == [3, 3, 1]


def test_a_handler_without_batches_is_called_singly(
    registry: EventHandlerRegistry, handler: Batches
) -> None:
    registry.process_batched(None, _events("a", "single", "single", "a"))
    assert handler.calls == [[(0, b"0")], (1, b"1"), (2, b"2"), [(3, b"3")]]


@pytest.mark.parametrize("beside", [["handle_batch"], ["validate"], ["validate", "handle_batch"]])
def test_an_object_without_handle_is_told_that_it_lacks_it(beside: list[str]) -> None:
    handler = SimpleNamespace(**dict.fromkeys(beside, print))
    expected = r"is not callable: it must be a function, or have handle\(conn, event_id, payload\)"
    with pytest.raises(ConfigError, match=expected):
        EventHandlerRegistry().register("deposit", handler)


def test_a_handle_batch_that_is_none_is_none() -> None:
    registry = EventHandlerRegistry()
    handler = Singly()
    registry.register("a", handler)
    registry.process_batched(None, _events("a", "a"))
    assert handler.calls == [(0, b"0"), (1, b"1")]
    assert registry.registrations[0].batch_call is None
    with pytest.raises(InvalidStateError, match="Singly has no handle_batch"):
        registry.resolve(b"a:")[0].call_batch(None, [])


def test_the_connection_is_passed_on(registry: EventHandlerRegistry) -> None:
    seen: list[Any] = []
    registry.register("sees", lambda conn, _event_id, _payload: seen.append(conn))
    conn = object()
    registry.process_batched(conn, _events("sees"))
    assert seen == [conn]


def test_no_events_are_no_calls(registry: EventHandlerRegistry, handler: Batches) -> None:
    registry.process_batched(None, [])
    assert handler.calls == []


def test_what_a_batch_raises_ends_it_and_goes_up(
    registry: EventHandlerRegistry, handler: Batches
) -> None:
    with pytest.raises(ValueError, match="it failed"):
        registry.process_batched("fails", _events("single", "a", "a", "b"))
    assert handler.calls == [(0, b"0"), [(1, b"1"), (2, b"2")]]


def test_an_event_that_leads_nowhere_ends_it(
    registry: EventHandlerRegistry, handler: Batches
) -> None:
    with pytest.raises(EventDecodeError, match="unknown event type 'unknown'"):
        registry.process_batched(None, _events("single", "b", "unknown", "a"))
    assert handler.calls[0] == (0, b"0")
    assert [(3, b"3")] not in handler.calls


def test_every_payload_is_validated_before_the_call() -> None:
    registry = EventHandlerRegistry()
    handler = Validating()
    registry.register("a", handler)
    with pytest.raises(ValueError, match="invalid literal"):
        registry.process_batched(None, [(1, b"a:1"), (2, b"a:x")])
    assert handler.calls == []
    registry.process_batched(None, [(1, b"a:1"), (2, b"a:2")])
    assert handler.calls == [[(1, b"1"), (2, b"2")]]


def test_events_are_taken_as_they_are_needed(
    registry: EventHandlerRegistry, handler: Batches
) -> None:
    def events() -> Iterator[Pair]:
        for number, pair in enumerate(_events(*["a"] * 9)):
            # A batch is called before the next one is read.
            assert len(handler.calls) == number // 3
            yield pair

    registry.process_batched(None, events())
    assert len(handler.calls) == 3


def test_a_route_leads_to_batches(handler: Batches) -> None:
    registry = EventHandlerRegistry(route=lambda event_bytes: ("a:b", event_bytes[1:]))
    registry.register("a:b", handler)
    registry.process_batched(None, [(1, b"xy"), (2, b"\xff\xff")])
    assert handler.calls == [[(1, b"y"), (2, b"\xff")]]


@given(st.lists(st.sampled_from(["a", "b", "single"]), max_size=20), st.integers(1, 5))
def test_every_event_is_in_one_call_in_its_order(kinds: list[str], most: int) -> None:
    registry = EventHandlerRegistry(batch=BatchConfig(most))
    handler = Batches()
    registry.register("a", handler)
    registry.register("b", handler)
    registry.register("single", handler.handle)
    registry.process_batched(None, _events(*kinds))
    flat = [e for call in handler.calls for e in (call if isinstance(call, list) else [call])]
    assert flat == [(n, str(n).encode()) for n in range(len(kinds))]
    assert all(len(call) <= most for call in handler.calls if isinstance(call, list))
    runs = [(kind, len(list(run))) for kind, run in groupby(kinds)]
    calls = sum(n if kind == "single" else -(-n // most) for kind, n in runs)
    assert len(handler.calls) == calls
