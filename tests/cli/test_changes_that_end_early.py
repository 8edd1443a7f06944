"""`requeue` and `discard` that are ended, or refused, midway."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.cli.conftest import Workplace, last_error_line
from tests.cli.test_requeue_and_discard import left

FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) "
    "SELECT i, 'ok:x', 'boom' FROM n"
)
PARK_ALL = (
    "INSERT INTO permanent_failures (event_id, event_bytes, error_message, failed_at, retry_count) "
    "SELECT event_id, event_bytes, error_message, failed_at, 5 FROM dead_letter_queue"
)
# A thousand deletions take about a tenth of a second.
SLOW = (
    "CREATE TRIGGER slow AFTER DELETE ON dead_letter_queue BEGIN SELECT count(*) FROM ("
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
    "SELECT i FROM n); END"
)


@contextmanager
def slow_discard(workplace: Workplace, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A discard of 30,000 letters that has begun."""
    workplace.make()
    workplace.execute(FILL.format(30_000))
    workplace.execute(SLOW)
    with workplace.start("discard", "projection.db", "--all", "--yes", *arguments) as process:
        deadline = time.monotonic() + 30
        while workplace.count("dead_letter_queue") == 30_000:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process


@pytest.mark.skipif(os.name == "nt", reason="Windows delivers no SIGTERM to handlers")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_after_the_chunk_in_hand(
    workplace: Workplace, number: signal.Signals, code: int
) -> None:
    with slow_discard(workplace, "--json") as process:
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert stderr.splitlines()[-1] == "azoth-dlq: interrupted; what was done is committed"
    done = json.loads(stdout)["discarded"]
    assert 0 < done < 30_000
    assert done % 1000 == 0
    assert done == 30_000 - workplace.count("dead_letter_queue")


def test_a_file_that_is_locked_midway_is_told_with_what_was_done(workplace: Workplace) -> None:
    with slow_discard(workplace) as process:
        with closing(sqlite3.connect(workplace.database, timeout=20)) as other:
            other.execute("BEGIN IMMEDIATE")
            stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == 1
    done = 30_000 - workplace.count("dead_letter_queue")
    assert stdout == f"{done:,} dead letters discarded\n"
    assert "projection.db is locked by another program" in stderr
    assert "what was done before is committed" in stderr
    assert 0 < done < 30_000


def test_a_row_that_cannot_be_moved_takes_its_own_chunk_back_alone(workplace: Workplace) -> None:
    workplace.make()
    workplace.execute(FILL.format(2001))
    workplace.execute(PARK_ALL)
    workplace.execute("DELETE FROM dead_letter_queue")
    workplace.execute(
        "CREATE TRIGGER no BEFORE INSERT ON dead_letter_queue WHEN NEW.event_id = 1500 "
        "BEGIN SELECT RAISE(ABORT, 'not that one'); END"
    )
    done = workplace.run("requeue", "projection.db", "--all", "--yes")
    assert (done.returncode, done.stdout) == (1, "1,000 permanent failures requeued\n")
    assert "not that one" in done.stderr
    assert left(workplace, "permanent_failures") == list(range(1001, 2002))
    given = [str(n) for n in range(1001, 2002)]
    line = last_error_line(workplace.run("requeue", "projection.db", *given), 1)
    assert "not that one" in line
    assert workplace.count("dead_letter_queue") == 1000
