"""An event loop that is closed while a run is awaited: the process ends, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue

PROGRAM = """
import asyncio, sys, time
from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer, EventHandlerRegistry

began = []
registry = EventHandlerRegistry()

def slow(*_):
    began.append(True)
    time.sleep(0.3)

registry.register("inside", slow)
registry.register("outside", slow, transactional=False)

async def until_begun():
    while not began:
        await asyncio.sleep(0.01)

queue = DeadLetterQueue.open(sys.argv[1])
replayer = DlqReplayer(queue, registry, DlqReplayConfig(min_age=0))
loop = asyncio.new_event_loop()
task = loop.create_task(replayer.run_async())
loop.run_until_complete(until_begun() if sys.argv[2] == "amid a letter" else asyncio.sleep(0.2))
loop.close()
print("closed", flush=True)
"""


@pytest.mark.parametrize("kind", ["inside", "outside"])
@pytest.mark.parametrize("when", ["amid a letter", "at rest"])
def test_the_process_ends_with_the_letter_in_hand_done(path: Path, kind: str, when: str) -> None:
    with DeadLetterQueue.open(path) as queue:
        if when == "amid a letter":
            queue.add_many([(n, f"{kind}:".encode(), "boom") for n in range(3)])
    command = [sys.executable, "-c", PROGRAM, str(path), when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert list(path.parent.glob(f"{path.name}-azoth-*")) == []
    with DeadLetterQueue.open(path) as queue:
        left = queue.letters()
        assert len(left) == (2 if when == "amid a letter" else 0)
        assert {letter.retry_count for letter in left} <= {0}
        claims = queue.connection.execute("SELECT count(*) FROM azoth_dlq_claims").fetchone()
        assert claims == (0,)
