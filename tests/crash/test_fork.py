"""Handlers that fork, and queues that are used in a child."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azoth_dlq import (
    DeadLetterQueue,
    DlqReplayer,
    EventHandlerRegistry,
    InvalidStateError,
    LetterFilter,
)
from tests.attacks import Attack
from tests.crash.processes import DlqFile, Ending

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
INVALID_STATE = 42


def _by_child(endings: list[Ending]) -> dict[bool, Ending]:
    assert len(endings) <= 2
    return {ending.forked: ending for ending in endings}


@pytest.mark.parametrize("way", ["exit", "goes_on", "sys_exit"])
def test_a_child_forked_by_a_handler_harms_no_letter(
    dlq_file: DlqFile, attack: Attack, way: str
) -> None:
    letters = dlq_file.add("grows:5000", "ok:", f"forks:{way}", "ok:", "grows:5000")
    endings = _by_child(dlq_file.start().endings())
    parent = endings[False]
    assert parent.ended == "returned", parent
    assert parent.report is not None
    assert parent.report["succeeded"] == len(letters)
    assert dlq_file.effects() == letters
    dlq_file.assert_whole(letters)
    attack.struck("handler that forks")
    assert (True in endings) == (way != "exit")
    if way != "exit":
        assert endings[True].ended == "InvalidStateError"
        assert "forked" in endings[True].message


def test_letters_after_a_fork_are_isolated_as_before(dlq_file: DlqFile) -> None:
    letters = dlq_file.add("forks:goes_on", "fails:", "ok:", "commits:", "ok:")
    _by_child(dlq_file.start().endings())
    assert dlq_file.effects() == [letters[0], letters[2], letters[4]]
    assert dlq_file.charges() == {letters[1]: 1, letters[3]: 1}


def _status_in_child(action: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        action()
        status = 0
    except InvalidStateError:
        status = INVALID_STATE
    finally:
        os._exit(status)


USES: dict[str, Callable[[DeadLetterQueue], object]] = {
    "count": DeadLetterQueue.count,
    "add": lambda queue: queue.add(1, b"ok:", "boom"),
    "add_many": lambda queue: queue.add_many([]),
    "get": lambda queue: queue.get(1),
    "letters": DeadLetterQueue.letters,
    "find": lambda queue: queue.find(LetterFilter()),
    "history": lambda queue: queue.history(1),
    "mark_retry": lambda queue: queue.mark_retry(1),
    "discard": lambda queue: queue.discard([]),
    "clear": DeadLetterQueue.clear,
    "permanent_failures": DeadLetterQueue.permanent_failures,
    "clear_permanent_failures": DeadLetterQueue.clear_permanent_failures,
    "requeue": lambda queue: queue.requeue([1]),
    "file": lambda queue: queue.file,
    "a queue of its connection": lambda queue: DeadLetterQueue(queue.connection),
    "drain": lambda queue: DlqReplayer(queue, EventHandlerRegistry()).drain(),
    "replay": lambda queue: DlqReplayer(queue, EventHandlerRegistry()).replay(1),
    "run": lambda queue: DlqReplayer(queue, EventHandlerRegistry()).run(),
}


@pytest.mark.parametrize("use", USES)
def test_a_queue_of_the_parent_is_refused_in_a_child(tmp_path: Path, use: str) -> None:
    with DeadLetterQueue.open(tmp_path / "projection.db") as queue:
        assert _status_in_child(lambda: USES[use](queue)) == INVALID_STATE
        assert queue.count() == 0


FORKS_AT_ONCE = """
import os, sys, time, asyncio
from azoth_dlq import *

folder, kind = sys.argv[1:]
registry = EventHandlerRegistry()

def note(event_id):
    with open(f"{folder}/calls", "a") as file:
        file.write(f"{os.getpid()} {event_id}\\n")

def act(event_id):
    note(event_id)
    if event_id == 5:
        child = os.fork()
        if child:
            os.waitpid(child, 0)

def plain(conn, event_id, payload):
    act(event_id)

async def awaited(conn, event_id, payload):
    await asyncio.sleep(0.01)
    act(event_id)

registry.register("x", plain if kind == "thread" else awaited, transactional=False)
with DeadLetterQueue.open(f"{folder}/letters.db") as queue:
    queue.add_many([(number, b"x:", "boom") for number in range(40)])
    report = DlqReplayer(queue, registry, DlqReplayConfig(concurrency=4)).drain(now=True)
    print(os.getpid(), report.succeeded, queue.count(), flush=True)
"""


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_child_that_goes_on_after_a_call_beside_the_drain_calls_no_other(
    tmp_path: Path, kind: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS_AT_ONCE, str(tmp_path), kind],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    [parent, succeeded, left] = done.stdout.split()
    assert (succeeded, left) == ("40", "0"), done.stderr
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    of_parent = sorted(int(event) for process, event in calls if process == parent)
    assert of_parent == list(range(40))
    assert len(calls) == 40
