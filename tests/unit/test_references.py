"""What a call that ends in an error was given is left as it was, and nothing is kept of it."""

from __future__ import annotations

import gc
import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, cast

import pytest

from azoth_dlq import DlqReplayConfig, EventHandlerRegistry
from azoth_dlq._event import Event
from azoth_dlq.engine._group import Group
from azoth_dlq.engine._loop import attempt
from azoth_dlq.engine.letters import Limits
from azoth_dlq.engine.stop import Stop
from azoth_dlq.store.base import Store, TransactionLost
from tests.attacks import Attack
from tests.unit.refusals import REFUSALS, Refusal

CALLS = 300
SPARE = 50  # blocks and references that may come and go; what is leaked is one a call
ROUNDS = 3  # in each of which a leak is seen


def _refuse(refusal: Refusal) -> None:
    try:
        refusal.function(*refusal.arguments, **refusal.named)
    except Exception as error:  # noqa: BLE001 -- of any type
        # Errors that the arguments hold would collect the frames of all calls.
        for one in (error, error.__cause__, error.__context__):
            if one is not None:
                one.__traceback__ = one.__context__ = None
        return
    raise AssertionError(f"{refusal.name} is not refused")


def _given(refusal: Refusal) -> list[Any]:
    """The arguments, and what those hold that are lists or tuples."""
    arguments = [*refusal.arguments, *refusal.named.values()]
    items = [item for one in arguments if type(one) in (list, tuple) for item in one]
    return list({id(one): one for one in arguments + items}.values())


def _held(given: list[Any]) -> tuple[int, list[int]]:
    for _ in range(3):  # free-threaded CPython frees some things one collection later
        gc.collect()
    return sys.getallocatedblocks(), [sys.getrefcount(one) for one in given]


def _kept(call: Callable[[], object], calls: int, given: list[Any]) -> list[int]:
    """By how much so many calls leave more blocks, and more or fewer references to what was given,
    where it is more than comes and goes, in every round."""
    kept: list[int] = []
    for _ in range(ROUNDS):
        blocks_before, before = _held(given)
        for _ in range(calls):
            call()
        blocks, after = _held(given)
        changes = [
            blocks - blocks_before,
            *(abs(b - a) for a, b in zip(before, after, strict=True)),
        ]
        kept = [change for change in changes if change >= SPARE]
        if not kept:
            break
    return kept


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """What is there already is looked at by no collection."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_an_error_leaves_no_reference_behind(refusal: Refusal, attack: Attack) -> None:
    for _ in range(20):
        _refuse(refusal)
    assert _kept(lambda: _refuse(refusal), CALLS, _given(refusal)) == []
    attack.struck("call of a compiled module that ends in an error", CALLS)


class Failing:
    """A store, and what else the loop over letters asks, whose n-th call raises."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.left, self._error = at, error
        self.connection = self

    def _called(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise self._error

    @property
    def is_halted(self) -> bool:
        self._called()
        return False

    def clock(self) -> int:
        self._called()
        return 0

    def isolate(self, _letter: int) -> None:
        self._called()

    def join(self, _letter: int) -> bool:
        self._called()
        return True

    def keep(self) -> bool:
        self._called()
        return False

    def undo(self, *_: object, **__: object) -> None:
        self._called()

    def fetch(self, ids: list[int], *, inline: object, verify: bool) -> list[tuple[Any, ...]]:
        self._called()
        assert inline is None
        assert not verify
        return [(letter, 0, None, 1, b"batched:late") for letter in ids]

    def handle(self, _conn: object, _event_id: int, payload: bytes) -> None:
        self._called()
        if payload == b"bad":
            raise ValueError("bad")

    def handle_batch(self, _conn: object, events: list[Event]) -> None:
        self._called()
        if any(event.payload == b"bad" for event in events):
            raise ValueError("bad")

    def validate(self, _payload: bytes) -> None:
        self._called()


class Singly:
    def __init__(self, failing: Failing) -> None:
        self.handle = failing.handle


EVENTS = (
    b"singly:x",
    b"singly:bad",
    b"none",
    None,
    b"batched:x",
    b"batched:y",
    None,
    b"batched:bad",
)


def _attempt(at: int, error: BaseException) -> bool:
    """Whether there was an n-th call."""
    failing = Failing(at, error)
    registry = EventHandlerRegistry()
    registry.register("singly", Singly(failing))
    registry.register("batched", failing)
    group = Group(DlqReplayConfig(history_limit=3), failing.clock)
    rows = [(2**40 + place, 0, None, 2**41, event) for place, event in enumerate(EVENTS)]
    limits = Limits(math.inf, 0.0, 1000, 50, 10**6, set(), outside_only=False)
    with suppress(type(error)):
        attempt(rows, group, cast(Store, failing), registry, cast(Stop, failing), limits, [None])
    error.__traceback__ = error.__context__ = None
    return failing.left <= 0


@pytest.mark.parametrize("kind", [ValueError, TransactionLost, KeyboardInterrupt])
def test_an_error_of_any_call_of_the_loop_leaves_no_reference_behind(
    kind: type[BaseException], attack: Attack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "azoth_dlq")
    error, at = kind("why"), 1
    while _attempt(at, error):
        for _ in range(20):
            _attempt(at, error)
        assert _kept(partial(_attempt, at, error), CALLS // 3, [error, kind]) == [], at
        attack.struck("call of the loop over letters that ends in an error", CALLS // 3)
        at += 1
    assert at > 40
