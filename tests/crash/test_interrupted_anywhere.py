"""A KeyboardInterrupt at any line of a drain: nothing is lost, nothing stays behind, every figure
is right, and the next drain of the same queue does the rest."""

from __future__ import annotations

import contextlib
import gc
import logging
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import azoth_dlq
from azoth_dlq import (
    Attempt,
    BackoffStrategy,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    ParkedLetter,
    ReplayReport,
)
from azoth_dlq._event import Event
from azoth_dlq.engine.outside import OutsideCall
from tests.attacks import Attack

TRACED = (str(Path(azoth_dlq.__file__).parent), contextlib.__file__)
SETTINGS = DlqReplayConfig(
    min_age=0, max_retries=1, backoff=BackoffStrategy.fixed(0), stop_on_consecutive_failures=None
)
EVENTS = [
    *(b"writes:", b"writes:bad", b"batch:", b"batch:bad", b"calls:", b"calls:bad", b"writes:"),
    *(b"calls_batch:", b"calls_batch:bad", b"writes:"),
]
BAD = [n for n, event in enumerate(EVENTS) if event.endswith(b"bad")]
CALLS = [n for n, event in enumerate(EVENTS) if event.startswith(b"calls:")]
GOOD_WRITES = [n for n, event in enumerate(EVENTS) if n not in BAD and event[:5] != b"calls"]
CLEANING_UP = (
    "session.py",
    "presence.py",
    "store.py",
    "raw.py",
    "reader.py",
    "drain.py",
    "contextlib.py",
)
Line = tuple[str, int]
called: Counter[int] = Counter()
Fresh = Callable[[], DeadLetterQueue]


class OutsideBatches:
    def handle(self, conn: None, event_id: int, payload: bytes) -> None:
        call(conn, event_id, payload)

    def handle_batch(self, conn: None, events: Sequence[Event]) -> None:
        for event in events:
            call(conn, event.event_id, event.payload)


class Batches:
    def handle(self, conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
        write(conn, event_id, payload)

    def handle_batch(self, conn: sqlite3.Connection, events: Sequence[Event]) -> None:
        for event in events:
            write(conn, event.event_id, event.payload)


def write(conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
    conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
    call(None, event_id, payload)


def call(_conn: None, event_id: int, payload: bytes) -> None:
    called[event_id] += 1
    if payload == b"bad":
        raise ValueError(event_id)


def registry() -> EventHandlerRegistry:
    handlers = EventHandlerRegistry()
    handlers.register("writes", write)
    handlers.register("batch", Batches())
    handlers.register("calls", call, transactional=False)
    handlers.register("calls_batch", OutsideBatches(), transactional=False)
    return handlers


class Interruption:
    """Counts how often each line of the package runs; raises where `line` runs for the `time`th
    time."""

    def __init__(self, line: Line | None = None, time: int = 0) -> None:
        self.times: Counter[Line] = Counter()
        self.came_in_call = False  # of a handler outside a transaction, or what tidies up after it
        self._line = line
        self._time = time

    def __repr__(self) -> str:
        return f"{self._line}, time {self._time}"

    def trace(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        return self.within if frame.f_code.co_filename.startswith(TRACED) else None

    def within(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            line = frame.f_code.co_filename, frame.f_lineno
            self.times[line] += 1
            if line == self._line and self.times[line] == self._time:
                self.came_in_call = _is_within(OutsideCall.call.__code__, frame)
                raise KeyboardInterrupt
        return self.within


def _is_within(code: CodeType, frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


@pytest.fixture
def young_garbage() -> Iterator[None]:
    """What was there before the test is no garbage: to collect the rest is quick."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def drain(queue: DeadLetterQueue, interruption: Interruption) -> bool:
    """Whether it was interrupted; its error is gone then, and with it its frames."""
    try:
        return _is_interrupted(queue, interruption)
    finally:
        gc.collect()


def _is_interrupted(queue: DeadLetterQueue, interruption: Interruption) -> bool:
    reports: list[ReplayReport] = []
    told, parked = list[Attempt](), list[ParkedLetter]()
    replayer = DlqReplayer(
        queue, registry(), SETTINGS, on_attempt=told.append, on_parked=parked.append
    )
    before, trace = state(queue.connection), sys.gettrace()
    sys.settrace(interruption.trace)
    try:
        replayer.drain(on_progress=reports.append)
    except KeyboardInterrupt:
        sys.settrace(trace)
        # Not only once the error is gone, which holds the frames of the drain.
        assert state(queue.connection) == before, interruption
        check_figures(queue, replayer, reports, interruption)
        check_told(queue, told, parked)
        return True
    finally:
        sys.settrace(trace)
    return False


def check_figures(
    queue: DeadLetterQueue,
    replayer: DlqReplayer,
    reports: Sequence[ReplayReport],
    interruption: Interruption,
) -> None:
    """The last report and the counters tell what is in the file."""
    waiting, parked = queue.count(), queue.permanent_failure_count()
    succeeded = len(EVENTS) - waiting - parked
    counted = replayer.metrics.snapshot()
    by_outcome: Counter[str] = Counter()
    for (_, outcome), number in counted.attempts.items():
        by_outcome[outcome] += number
    assert (counted.successes, counted.failures, counted.permanent_failures) == (
        (succeeded, parked, parked)
    ), interruption
    assert (by_outcome["succeeded"], by_outcome["failed"]) == (succeeded, parked), interruption
    calls = sum(histogram.count for histogram in counted.handler_seconds.values())
    assert calls == succeeded + parked, interruption
    if reports:
        last = reports[-1]
        assert (last.succeeded, last.failed, last.parked, last.remaining) == (
            (succeeded, parked, parked, waiting)
        ), interruption
    else:
        assert waiting == len(EVENTS), interruption


def check_told(
    queue: DeadLetterQueue, told: Sequence[Attempt], parked: Sequence[ParkedLetter]
) -> None:
    """What the hooks were told is in the file, and was told once."""
    there = {letter.id: letter.dead_letter_id for letter in queue.permanent_failures()}
    waiting = numbers(queue.connection, "SELECT id FROM dead_letter_queue")
    failed = [attempt.letter_id for attempt in told if attempt.outcome == "failed"]
    assert {letter.permanent_failure_id: letter.letter_id for letter in parked}.items() <= (
        there.items()
    )
    assert set(failed) <= set(there.values())
    assert {attempt.letter_id for attempt in told}.isdisjoint(waiting)
    for ids in ([attempt.letter_id for attempt in told], [letter.letter_id for letter in parked]):
        assert len(ids) == len(set(ids))


def state(connection: sqlite3.Connection) -> dict[str, Any]:
    """What must be as it was before the drain."""
    names = ("isolation_level", "text_factory", "row_factory", "in_transaction", "guard")
    pragmas = ("busy_timeout", "wal_autocheckpoint")
    return {name: getattr(connection, name) for name in names} | {
        name: connection.execute(f"PRAGMA {name}").fetchone() for name in pragmas
    }


def numbers(connection: sqlite3.Connection, statement: str) -> list[int]:
    return [number for (number,) in connection.execute(statement)]


def check(queue: DeadLetterQueue, path: Path) -> None:
    """Each letter is waiting, parked, or done with its effect, and one of these alone."""
    effects = numbers(queue.connection, "SELECT event_id FROM effects")
    waiting = numbers(queue.connection, "SELECT event_id FROM dead_letter_queue")
    parked = numbers(queue.connection, "SELECT event_id FROM permanent_failures")
    assert set(parked) <= set(BAD) <= {*waiting, *parked}
    assert set(GOOD_WRITES) <= {*waiting, *effects}
    assert max(Counter([*waiting, *parked, *effects]).values()) == 1
    assert queue.store.figures().draining == []
    assert list(path.parent.glob(f"{path.name}-azoth-*")) == []


@pytest.fixture
def fresh(tmp_path: Path, path: Path) -> Fresh:
    """Opens a queue of all the letters."""
    template = tmp_path / "template.db"
    with DeadLetterQueue.open(template) as queue:
        queue.connection.execute("CREATE TABLE effects (event_id INTEGER NOT NULL)")
        queue.add_many([(n, event, "boom") for n, event in enumerate(EVENTS)])

    def opened() -> DeadLetterQueue:
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()
        shutil.copy(template, path)
        queue = DeadLetterQueue.open(path)
        queue.connection.execute("PRAGMA synchronous = OFF")
        return queue

    return opened


def instants(times: Counter[Line], every: int) -> list[tuple[Line, int]]:
    """The first and the last time of one line in `every`; of those that set up and clean up six
    times as many."""
    chosen = []
    for number, line in enumerate(sorted(times)):
        cleans_up = Path(line[0]).name in CLEANING_UP
        if number % (max(1, every // 6) if cleans_up else every) == 0:
            chosen += [(line, time) for time in sorted({1, times[line]})]
    return chosen


# A connection that is interrupted before anybody knows of it is closed with the garbage.
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.usefixtures("young_garbage")
def test_an_interrupt_at_any_line_leaves_a_queue_that_drains(
    path: Path, fresh: Fresh, attack: Attack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "azoth_dlq")
    # In a thread of its own: where a trace function raises as an except clause begins, CPython
    # takes the error before for handled still, for as long as the thread lives.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(interrupt_everywhere, path, fresh, attack).result()
    gc.collect()


def interrupt_everywhere(path: Path, fresh: Fresh, attack: Attack) -> None:
    undisturbed = Interruption()
    with fresh() as queue:
        assert not drain(queue, undisturbed)
    interrupted = 0
    for instant in instants(undisturbed.times, attack.size(12, long=1)):
        with fresh() as queue:
            called.clear()
            before = state(queue.connection)
            interruption = Interruption(*instant)
            interrupted += drain(queue, interruption)
            assert state(queue.connection) == before, instant
            check(queue, path)
            DlqReplayer(queue, registry(), SETTINGS).drain()
            check(queue, path)
            assert queue.count() == 0, instant
            assert interruption.came_in_call or [called[n] for n in CALLS] == [1, 1], instant
            claims = numbers(queue.connection, "SELECT letter_id FROM azoth_dlq_claims")
            assert claims == [], instant
    attack.struck("KeyboardInterrupt at a line of a drain", interrupted)
    assert interrupted > 150
