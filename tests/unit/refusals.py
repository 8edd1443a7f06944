"""Calls of the compiled modules that end in an error: a function and its arguments each."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from azoth_dlq import DlqReplayConfig
from azoth_dlq._event import Event
from azoth_dlq.engine._calls import Calls
from azoth_dlq.engine._failure import texts_of
from azoth_dlq.engine._group import Group
from azoth_dlq.engine._loop import Attempts, Batch, attempt
from azoth_dlq.engine._resolver import Resolver
from azoth_dlq.kernels import backoff, eligibility, order, templates
from azoth_dlq.store.sqlite._isolation import Guard, Isolation
from azoth_dlq.store.sqlite._put_back import PutBack

STAMP = "2026-11-24 03:45:00"
LARGE = 2**70  # an object of its own
LETTER = (2**40, 0, STAMP, None, None, "boom \ud800", None, 2**41, b"type:payload")
TIMES = {"now": 2**62, "min_age": 0, "initial": 0, "maximum": 0}
RULES: dict[str, Any] = {**TIMES, "max_retries": 3, "kind": backoff.FIXED}
JITTERED = eligibility.Rules(**RULES, jitter=0.5)
PLAIN = eligibility.Rules(**RULES)
SELECTION = eligibility.select([LETTER], PLAIN)
TYPES = order.ErrorTypes(["boom"])
GROUP = Group(DlqReplayConfig(history_limit=3), lambda: 0)


class Raises:
    """Whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __index__(self) -> int:
        raise RuntimeError("index")

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("call")

    def __iter__(self) -> Iterator[Any]:
        yield LETTER
        raise RuntimeError("iter")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __eq__(self, _: object) -> bool:
        raise RuntimeError("eq")


class Connection:
    """Whose execute and total_changes are told by what it is made with."""

    def __init__(self, *, changes: Any = 0, error: Exception | None = None) -> None:
        self._changes, self._error = changes, error
        self.in_transaction = False

    @property
    def total_changes(self) -> int:
        if isinstance(self._changes, Exception):
            raise self._changes
        return int(self._changes)

    def execute(self, statement: str) -> None:
        if self._error is not None and statement.startswith("RELEASE"):
            raise self._error


ANY: Any = Raises()


class Refusal(NamedTuple):
    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] = {}


def _error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("boom")
    error.sqlite_errorcode = code
    return error


def _isolation(connection: Any) -> Isolation:
    isolation = Isolation(
        connection,
        connection,
        Guard(strict=False),
        _int64(*[0] * 10),
        lost=_Lost,
        left_open=_Lost,
    )
    isolation.open()
    return isolation


class _Lost(Exception):
    pass


def _violated() -> None:
    connection = Connection()
    isolation = _isolation(connection)
    connection.in_transaction = True
    isolation.isolate(1)
    isolation.guard.refuse("commit")
    isolation.leave()


def _put_back() -> None:
    put_back = PutBack()
    for action in (Raises(), list, Raises()):
        put_back.later(action)
    put_back.now()


def _int64(*items: int) -> Any:
    return array("q", items)


ZEROS = _int64(*[0] * 500)
COLUMNS = {"retry_count": ZEROS, "failed_at": ZEROS, "out": ZEROS}


def _of_backoff() -> Iterator[Refusal]:
    bad: Any
    for place in range(4):
        for bad in (LARGE, -LARGE, 1.5, None, True, Raises()):
            arguments: list[Any] = [backoff.EXPONENTIAL, 1, 1, 1]
            arguments[place] = bad
            yield Refusal(f"delay {place} {bad!s:.9}", backoff.delay, tuple(arguments))
    for name in [*RULES, "jitter", "waive_delay"]:
        for bad in (LARGE, None, float("nan"), Raises()):
            named = {**RULES, name: bad}
            yield Refusal(f"Rules {name} {bad!s:.9}", eligibility.Rules, (), named)
    fixed = (backoff.FIXED, 1, 1)
    yield Refusal("delays negative", backoff.delays, (*fixed, _int64(0, -1), _int64(0, 0)))
    yield Refusal("delays shorter", backoff.delays, (*fixed, ZEROS, _int64(0)))
    yield Refusal("delays read-only", backoff.delays, (*fixed, ZEROS, bytes(4000)))
    yield Refusal("jittered", backoff.jittered, (1, 2.0, 3, 4))
    yield Refusal("jittered of none", backoff.jittered, (1, 0.5, None, LARGE))


def _of_eligibility() -> Iterator[Refusal]:
    bad: Any
    for bad in ("x" * 99, bytearray(b"x" * 99), b"\xff" * 99, "\ud800", LARGE, None):
        yield Refusal(f"parse {bad!s:.9}", eligibility.parse_timestamp, (bad,))
    for bad in (LARGE, 2**62, None):
        yield Refusal(f"format {bad}", eligibility.format_timestamp, (bad,))
    for name in COLUMNS:
        for bad in (None, _int64(0), array("d", [0.0] * 500), memoryview(ZEROS)[::2], LARGE):
            yield Refusal(
                f"due {name} {bad!s:.9}", eligibility.due, (PLAIN,), {**COLUMNS, name: bad}
            )
    for bad in (ZEROS, bytes(500), bytearray(3)):
        named = {**COLUMNS, "verdicts": bad}
        yield Refusal(f"due verdicts {bad!s:.5}", eligibility.due, (PLAIN,), named)
    yield Refusal("due without ids", eligibility.due, (JITTERED,), COLUMNS)
    yield Refusal("due without rules", eligibility.due, (None,), COLUMNS)


def _of_selections() -> Iterator[Refusal]:
    bad: Any
    rows = [LETTER] * 100
    for bad in ((), (1, 2, 3), (1.5, *LETTER[1:]), (LARGE, *LETTER[1:]), [LETTER], None):
        yield Refusal(f"select {bad!s:.9}", eligibility.select, ([*rows, bad], PLAIN))
        yield Refusal(f"unchanged {bad!s:.9}", SELECTION.unchanged, ([LETTER, bad], 0, 1))
    yield Refusal("select raising", eligibility.select, (Raises(), PLAIN))
    yield Refusal("select none", eligibility.select, (None, PLAIN))
    yield Refusal("select rank", eligibility.select, (rows, PLAIN), {"rank": "x" * 99})
    short = [*rows, LETTER[:5]]
    yield Refusal("select short", eligibility.select, (short, PLAIN), {"rank": TYPES})
    yield Refusal("unchanged order", SELECTION.unchanged, ([LETTER, LETTER], 0, 1))
    yield Refusal("unchanged raising", SELECTION.unchanged, (Raises(), 0, 1))
    for verb in (SELECTION.ids, SELECTION.unfit):
        for bad in (-1, None, 1.5, LARGE):
            yield Refusal(f"{verb.__name__} {bad!s:.9}", verb, (bad,))


def _of_order() -> Iterator[Refusal]:
    bad: Any
    for bad in ([], "x", ["ok", "%"], ["ok", 1], Raises(), None, ["ok", "x" * 129]):
        yield Refusal(f"types {bad!s:.9}", order.ErrorTypes, (bad,))
    yield Refusal("rank", TYPES.rank, (LARGE,))
    yield Refusal("ranks", TYPES.ranks, (["boom", "\ud800", LARGE],))
    for place in range(3):
        for bad in (_int64(0), None, array("i", [1]), bytes(4000)):
            arguments = [ZEROS, ZEROS, ZEROS]
            arguments[place] = bad
            called = {"out": _int64(*ZEROS)} if place < 2 or bad is not None else {"out": None}
            yield Refusal(f"argsort {place} {bad!s:.9}", order.argsort, tuple(arguments), called)
    yield Refusal(
        "argsort rank", order.argsort, (ZEROS, ZEROS, _int64(*[2**40] * 500)), {"out": ZEROS}
    )


def _of_templates() -> Iterator[Refusal]:
    bad: Any
    for bad in (LARGE, None, Raises(), ["x"]):
        yield Refusal(f"template {bad!s:.9}", templates.template, (bad,))
        yield Refusal(f"fingerprint {bad!s:.9}", templates.fingerprint, (bad,))
    good = (1, "boom", "2026-11-24 10:00:00", 0, b"ok:")
    for bad in ((), (LARGE, "x"), ("1", "x", None, 0, None), LARGE):
        yield Refusal(f"tally {bad!s:.9}", templates.tally, ([good, bad], Raises()))
    yield Refusal("tally type_of", templates.tally, ([good], None))
    yield Refusal("tally most", templates.tally, ([good], Raises()), {"most": LARGE})


def _of_letters() -> Iterator[Refusal]:
    yield Refusal("Event payload", Event, (LARGE, None))
    yield Refusal("Event text", Event, (LARGE, "text"))
    yield Refusal("Event hash", hash, (Event(ANY, b""),))
    yield Refusal("Event equal", Event.__eq__, (Event(ANY, b""), Event(LARGE, b"")))
    yield Refusal("Calls", Calls)
    yield Refusal("texts_of", texts_of, (None,), {"with_traceback": True})
    yield Refusal("Group", Group, (Raises(), Raises()))
    yield Refusal("called", GROUP.called, ("type", 0, [1, 2, 3], LARGE, LARGE))
    yield Refusal("called unhashable", GROUP.called, (Raises(), 0, [1], 1.0))
    yield Refusal("succeeded", GROUP.succeeded, (None,))
    yield Refusal("raised row", GROUP.raised, (None, None, ValueError(), 0.0))
    yield Refusal("raised name", GROUP.raised, (LETTER, Raises(), ValueError("x"), 0.0))
    yield Refusal("failed_with", GROUP.failed_with, (None, "text"))
    yield Refusal("charge_death", GROUP.charge_death, (LETTER, None))
    yield Refusal("park", GROUP.park_unattempted, (1, None), {"unreadable": True})
    clockless = Group(DlqReplayConfig(history_limit=3), Raises())
    yield Refusal("raised clock", clockless.raised, (LETTER, None, ValueError("x"), 0.0))
    yield Refusal("failed_with clock", clockless.failed_with, (LETTER, "text"))
    yield Refusal("death clock", clockless.charge_death, (LETTER, "text"))
    yield Refusal("park clock", clockless.park_unattempted, (1, "why"), {"unreadable": True})
    yield Refusal("attempt none", attempt, (None, *[Raises()] * 5))
    yield Refusal("attempt", attempt, ([LETTER], *[Raises()] * 5))
    yield Refusal("Attempts", Attempts, ([LETTER], GROUP, *[Raises()] * 3))
    yield Refusal("Resolver", Resolver, (Raises(),))
    yield Refusal("Batch", Batch, ([LETTER], Raises(), None, Raises(), 1))


def _of_isolation() -> Iterator[Refusal]:
    bad: Any
    connection: Any = Connection()
    named: Any = {"lost": _Lost, "left_open": _Lost}
    guard = Guard(strict=False)
    slots: Any = array("q", bytes(80))
    arguments = [connection, connection, guard, slots]
    for place, bads in enumerate(
        (
            [],
            [Raises()],
            [None, connection],
            [None, bytes(80), bytearray(80), array("q", bytes(64))],
        )
    ):
        for bad in bads:
            wrong = [*arguments]
            wrong[place] = bad
            yield Refusal(f"Isolation {place} {bad!s:.9}", Isolation, tuple(wrong), named)
    yield Refusal("Guard", Guard)
    yield Refusal("authorize", guard.authorize, (None, LARGE, LARGE, LARGE, LARGE))
    yield Refusal("watch", guard.watch, (Raises(),))
    yield Refusal("abandon", guard.refuse, (LARGE,))
    yield Refusal("isolate", _isolation(connection).isolate, (LARGE,))
    yield Refusal("join", _isolation(connection).join, (LARGE,))
    yield Refusal("leave", _isolation(connection).leave)
    yield Refusal("leave violated", _violated)
    for code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_ERROR):
        broken = _isolation(Connection(error=_error(code)))
        yield Refusal(f"release {code}", broken.release)
    yield Refusal("release other", _isolation(Connection(error=RuntimeError("boom"))).release)
    blind: Any = Connection(changes=RuntimeError("boom"))
    other = Isolation(blind, connection, Guard(strict=False), slots, **named)
    for verb in (other.open, other.undone, other.is_untouched):
        yield Refusal(f"{verb.__name__} blind", verb)
    yield Refusal("isolate blind", other.isolate, (1,))
    held = _isolation(connection)
    held.isolate(1)
    yield Refusal("holds", held.holds, (Raises(),))
    yield Refusal("put back", _put_back)


REFUSALS = [
    *_of_backoff(),
    *_of_eligibility(),
    *_of_selections(),
    *_of_order(),
    *_of_templates(),
    *_of_letters(),
    *_of_isolation(),
]
