"""Children that open a queue of their own on a file that was open where they were forked."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from azoth_dlq import (
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    InvalidStateError,
    ReplayReport,
)
from tests.crash.processes import NEEDS_SIGKILL, DlqFile
from tests.crash.talk import wait_for

pytestmark = [
    NEEDS_SIGKILL,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]
REFUSED = 42
SETTINGS = DlqReplayConfig(min_age=0, busy_timeout=5, max_retries=5)
Handler = Callable[[sqlite3.Connection | None, int, bytes], object]


def drain(path: Path, handler: Handler) -> ReplayReport:
    """In a queue of its own; the handler is called outside any transaction."""
    registry = EventHandlerRegistry()
    registry.register("calls", handler, transactional=False)
    with DeadLetterQueue.open(path) as queue:
        return DlqReplayer(queue, registry, SETTINGS).drain(now=True)


def forked(action: Callable[[], object]) -> int:
    """A child that does it, and ends; its pid."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            action()
            status = 0
        except InvalidStateError:
            status = REFUSED
        finally:
            os._exit(status)
    return child


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def thread(action: Callable[[], object]) -> Iterator[None]:
    beside = threading.Thread(target=action)
    beside.start()
    try:
        yield
    finally:
        beside.join()


@pytest.mark.parametrize("who", ["its child", "a third process"])
def test_claims_of_the_dead_are_freed_while_a_child_of_theirs_lives(
    dlq_file: DlqFile, who: str
) -> None:
    letters = dlq_file.add("calls:")
    folder = dlq_file.path.parent

    def in_the_child() -> None:
        if who == "its child":
            wait_for(folder / "dead")
            died = drain(dlq_file.path, lambda *_: None)
            again = drain(dlq_file.path, lambda *_: None)
            (folder / "drained").write_text(f"{died.failed} {again.succeeded}")
        wait_for(folder / "child may end")

    def call(*_: object) -> None:
        forked(in_the_child)
        (folder / "called").touch()
        time.sleep(60)

    parent = forked(lambda: drain(dlq_file.path, call))
    wait_for(folder / "called")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    dlq_file.let_go("dead")
    try:
        if who == "its child":
            wait_for(folder / "drained")
            while not (said := (folder / "drained").read_text()):
                time.sleep(0.01)
            assert said == "1 1"
        else:
            assert dlq_file.drain()["failed"] == 1
            assert dlq_file.charges() == {letters[0]: 1}
            assert drain(dlq_file.path, lambda *_: None).succeeded == 1
        assert dlq_file.left() == []
    finally:
        dlq_file.let_go("child may end")


def test_what_a_child_commits_outlives_its_parents_connection(dlq_file: DlqFile) -> None:
    """SQLite takes the parent's locks for the child's; in WAL mode the log would be deleted."""
    folder = dlq_file.path.parent

    def add() -> None:
        with DeadLetterQueue.open(dlq_file.path) as own:
            assert own.count() == 0
            (folder / "opened").touch()
            wait_for(folder / "closed")
            own.add(1, b"ok:", "boom")
            assert own.count() == 1
            (folder / "added").touch()
            wait_for(folder / "seen")

    with DeadLetterQueue.open(dlq_file.path) as queue:
        queue.count()
        child = forked(add)
        wait_for(folder / "opened")
    dlq_file.let_go("closed")
    wait_for(folder / "added")
    seen = dlq_file.left()
    dlq_file.let_go("seen")
    assert status_of(child) == 0
    assert seen == dlq_file.left() == [1]


def test_a_child_is_refused_a_file_that_was_in_a_transaction(dlq_file: DlqFile) -> None:
    with DeadLetterQueue.open(dlq_file.path) as queue:
        queue.connection.execute("BEGIN IMMEDIATE")
        queue.add(1, b"ok:", "boom")
        child = forked(lambda: DeadLetterQueue.open(dlq_file.path))
        assert status_of(child) == REFUSED
        queue.connection.execute("COMMIT")
        assert queue.count() == 1


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that it has threads
def test_a_child_is_refused_a_file_that_another_thread_drains(dlq_file: DlqFile) -> None:
    dlq_file.add("calls:")
    called, forked_meanwhile = threading.Event(), threading.Event()

    def call(*_: object) -> None:
        called.set()
        assert forked_meanwhile.wait(30)

    with thread(lambda: drain(dlq_file.path, call)):
        try:
            assert called.wait(30)
            status = status_of(forked(lambda: DeadLetterQueue.open(dlq_file.path)))
        finally:
            forked_meanwhile.set()
    assert status == REFUSED
    assert dlq_file.left() == []


def test_a_connection_of_the_childs_own_is_refused_beside_its_parents(dlq_file: DlqFile) -> None:
    def use() -> None:
        with closing(sqlite3.connect(dlq_file.path)) as connection:
            DeadLetterQueue(connection)

    with DeadLetterQueue.open(dlq_file.path) as queue:
        queue.count()
        assert status_of(forked(use)) == REFUSED
    assert status_of(forked(use)) == 0
    with DeadLetterQueue.open(f"{dlq_file.path}.other"):
        assert status_of(forked(use)) == 0
