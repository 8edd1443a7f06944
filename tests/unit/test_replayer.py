"""What a replayer does not take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from azoth_dlq import ConfigError, DeadLetterQueue, DlqReplayer, EventHandlerRegistry


@pytest.fixture
def queue() -> Iterator[DeadLetterQueue]:
    with DeadLetterQueue.open(":memory:") as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("dlq", "letters.db", "a DeadLetterQueue"),
        ("registry", {}, "an EventHandlerRegistry"),
        ("config", {"max_retries": 3}, "a DlqReplayConfig or None"),
        ("clock", 0, "a callable that returns microseconds"),
        ("clock", None, "a callable that returns microseconds"),
        ("sleep", 0.5, "a callable that takes seconds, or None"),
    ],
)
def test_an_argument_of_another_kind_is_refused_by_name(
    queue: DeadLetterQueue, name: str, value: object, allowed: str
) -> None:
    arguments: dict[str, Any] = {"dlq": queue, "registry": EventHandlerRegistry(), name: value}
    with pytest.raises(ConfigError, match=f"^{name}=.*must be {allowed}"):
        DlqReplayer(**arguments)


@pytest.mark.parametrize("clock", [time.time, datetime.now, lambda: None])
@pytest.mark.parametrize("verb", ["drain", "run_replay_cycle"])
def test_a_clock_that_gives_no_microseconds_is_refused(
    queue: DeadLetterQueue, clock: Any, verb: str
) -> None:
    letter = queue.add(1, b"deposit:5", "boom")
    replayer = DlqReplayer(queue, EventHandlerRegistry(), clock=clock)
    with pytest.raises(ConfigError, match=r"^clock\(\)=.*must be an int, microseconds since 1970"):
        getattr(replayer, verb)()
    assert queue.get(letter) is not None
    assert replayer.metrics.snapshot().last_check == 0


@pytest.mark.parametrize("now", [1, 0, None, "yes"])
def test_whether_to_wait_is_a_bool(queue: DeadLetterQueue, now: Any) -> None:
    with pytest.raises(ConfigError, match=f"^now={now!r}: must be True or False"):
        DlqReplayer(queue, EventHandlerRegistry()).drain(now=now)


def test_progress_is_told_to_callables_alone(queue: DeadLetterQueue) -> None:
    on_progress: Any = []
    with pytest.raises(ConfigError, match=r"^on_progress=\[\]: must be a callable"):
        DlqReplayer(queue, EventHandlerRegistry()).drain(on_progress=on_progress)
