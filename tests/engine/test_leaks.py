"""What drains hold does not grow from one to the next, whatever becomes of the letters."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayer
from azoth_dlq._event import Event
from tests.attacks import Attack
from tests.engine import every_outcome

PORTIONS = 10
FIRST_ALIKE = 4  # of the portions: by then all that is kept once is there
BLOCKS, REFERENCES, BYTES = 60, 60, 8 * 2**20  # that may come and go
STATM = Path("/proc/self/statm")


class Held(NamedTuple):
    """Blocks of Python's allocator, references to objects that letters share, and resident bytes
    (0 where the system does not say)."""

    blocks: int
    references: int
    resident: int


def held(shared: Sequence[object]) -> Held:
    for _ in range(3):
        gc.collect()
    pages = int(STATM.read_text().split()[1]) if STATM.exists() else 0
    references = sum(sys.getrefcount(one) for one in shared)
    return Held(sys.getallocatedblocks(), references, pages * 4096)


@pytest.fixture
def unheard() -> Iterator[None]:
    """Every line of the log is made, and kept by nobody; pytest would keep it."""

    def refuse(_: logging.LogRecord) -> bool:
        return False

    loggers = [logging.getLogger(name) for name in ("azoth_dlq", "azoth_dlq.letters")]
    for logger in loggers:
        logger.addFilter(refuse)
        logger.setLevel(logging.DEBUG)
    yield
    for logger in loggers:
        logger.removeFilter(refuse)
        logger.setLevel(logging.NOTSET)


@pytest.mark.skipif(
    sys.getallocatedblocks() == 0, reason="malloc, which is used here, does not count blocks"
)
@pytest.mark.usefixtures("unheard")
def test_drains_keep_nothing_of_their_letters(path: Path, attack: Attack) -> None:
    registry = every_outcome.a_registry()
    letters = attack.size(8_000, long=1_000_000) // PORTIONS
    shared: list[object] = [None, True, registry, every_outcome.CONFIG, Event, ValueError]
    shared += registry.registrations
    seen = []
    for _ in range(PORTIONS):
        # sqlite3 keeps up to 200 cursors in mind that are gone, until their connection is, too.
        with DeadLetterQueue.open(path) as queue:
            every_outcome.make_effects(queue.connection)
            every_outcome.fill(queue.connection, letters)
            replayer = DlqReplayer(queue, registry, every_outcome.CONFIG)
            attempted = [replayer.drain(now=True).attempted for _ in range(2)]
        assert attempted[0] > letters * 0.9
        assert attempted[1] > letters * 0.2
        attack.struck("letter drained under a leak check", sum(attempted))
        del replayer, queue
        seen.append(held(shared))
    alike = seen[FIRST_ALIKE:]
    grown = [max(column) - alike[0][place] for place, column in enumerate(zip(*alike, strict=True))]
    attack.measured("growth of resident memory under a leak check, MB", grown[2] / 1e6)
    assert grown[0] < BLOCKS, seen
    assert grown[1] < REFERENCES, seen
    assert grown[2] < BYTES, seen
