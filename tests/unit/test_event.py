"""What a handler of batches gets for each letter."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from azoth_dlq._event import Event


def test_an_event_has_an_id_and_a_payload() -> None:
    event = Event(42, b"100")
    assert (event.event_id, event.payload) == (42, b"100")
    assert Event(event_id=42, payload=b"100") == event
    assert type(event.payload) is bytes


@pytest.mark.parametrize("name", ["event_id", "payload", "other"])
def test_an_event_cannot_be_changed(name: str) -> None:
    event = Event(42, b"100")
    with pytest.raises(AttributeError):
        setattr(event, name, 1)
    assert event == Event(42, b"100")


@pytest.mark.parametrize("payload", [None, "100", bytearray(b"100"), 100])
def test_a_payload_is_bytes(payload: Any) -> None:
    with pytest.raises(TypeError):
        Event(42, payload)


def test_events_are_equal_where_both_are() -> None:
    assert Event(1, b"a") == Event(1, b"a")
    assert Event(1, b"a") != Event(2, b"a")
    assert Event(1, b"a") != Event(1, b"b")
    pair: object = (1, b"a")
    assert Event(1, b"a") != pair
    assert hash(Event(1, b"a")) == hash(Event(1, b"a"))
    assert len({Event(1, b"a"), Event(1, b"a"), Event(2, b"a"), Event(1, b"b")}) == 3


def test_events_have_no_order() -> None:
    events: list[Any] = [Event(2, b"a"), Event(1, b"a")]
    with pytest.raises(TypeError):
        sorted(events)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_events_pickle_and_copy(protocol: int) -> None:
    event = Event(-(2**63), b"\xff\0")
    assert pickle.loads(pickle.dumps(event, protocol)) == event
    assert copy.copy(event) == copy.deepcopy(event) == event


def test_the_payload_is_never_shown() -> None:
    event = Event(42, b"secret")
    assert repr(event) == str(event) == "Event(event_id=42, payload=<6 bytes>)"


def test_an_event_may_have_any_id_of_sqlite() -> None:
    for event_id in (-(2**63), 0, 2**63 - 1):
        assert Event(event_id, b"").event_id == event_id
