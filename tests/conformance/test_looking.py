"""What every store tells of its letters to whoever only looks."""

from __future__ import annotations

from azoth_dlq.store.base import Store
from azoth_dlq.store.settlement import Parking
from tests.conformance.backend import Backend
from tests.conformance.letters import NOW, commit, text_of


def test_candidates_tell_their_event_types_on_demand(backend: Backend, store: Store) -> None:
    events = [b"ok:x:y", b"none", b"", b":x", b"t" * 64 + b":x", b"t" * 65 + b":x", b"\xff:x"]
    for event in events:
        backend.insert(event_bytes=event)
    with store.candidates(with_error=False, with_type=True) as rows:
        types = [row[5] for row in sorted(rows)]
    assert types == [b"ok", b"", b"", b"", b"t" * 64, b"", b"\xff"]


def test_permanent_failures_tell_when_they_failed_and_their_types(
    backend: Backend, store: Store
) -> None:
    letter = backend.insert(event_bytes=b"mail:x")
    store.begin()
    commit(store, parked=[Parking(letter, NOW, "poison")])
    ((failed_at, event_type),) = store.parked_failures()
    assert (text_of(failed_at), event_type) == ("2026-11-24 10:00:00", b"mail")
    assert store.figures(1).by_reason == [("poison", 1)]
    assert store.figures().by_reason == []
