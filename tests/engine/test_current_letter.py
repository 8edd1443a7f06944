"""Which letter a handler works on: told by context variables, task names and log records."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from azoth_dlq import current_letter_id
from tests.conftest import Scene
from tests.engine.at_once import KINDS

TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
with_kinds = pytest.mark.parametrize("kind", ["transactional", "in turn", *KINDS])


def register(scene: Scene, kind: str, look: Any) -> dict[str, Any]:
    """Have `look(event_id)` called by a handler; the settings of its drain."""

    def call(_conn: Any, event_id: int, _payload: bytes) -> None:
        look(event_id)

    async def call_async(_conn: Any, event_id: int, _payload: bytes) -> None:
        await asyncio.sleep(0.001)
        look(event_id)

    registered = call_async if kind == "task" else call
    scene.registry.register("looks", registered, transactional=kind == "transactional")
    return {"concurrency": 4 if kind in KINDS else 1}


@with_kinds
def test_the_letter_whose_handler_runs_is_known(scene: Scene, kind: str) -> None:
    seen: dict[int, int | None] = {}
    settings = register(scene, kind, lambda e: seen.update({e: current_letter_id()}))
    made = [scene.letter("looks", event_id=1000 + n) for n in range(20)]
    assert current_letter_id() is None
    scene.drain(**settings)
    assert seen == {1000 + n: letter for n, letter in enumerate(made)}
    assert current_letter_id() is None


@with_kinds
def test_log_records_carry_it(scene: Scene, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("bank")
    settings = register(scene, kind, lambda e: logger.warning("event %d", e))
    made = [scene.letter("looks") for _ in range(10)]
    scene.drain(**settings)
    records = [record for record in caplog.records if record.name == "bank"]
    assert sorted(vars(record)["azoth_letter_id"] for record in records) == made
    assert all(vars(record)["azoth_letter_id"] == record.args[0] for record in records)  # type: ignore[index]  # our records have args


@pytest.fixture
def factory() -> Iterator[None]:
    """What is set of it is undone."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("factory")
def test_records_of_others_have_none(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    other = logging.getLogger("other")
    other.warning("before the first drain")
    scene.letter("ok")
    scene.replay().drain(on_progress=lambda _: other.warning("between groups"))
    other.warning("later")
    before, between, later = [record for record in caplog.records if record.name == "other"]
    assert "azoth_letter_id" not in vars(before)
    assert [vars(record)["azoth_letter_id"] for record in (between, later)] == [None, None]
    carrying = logging.getLogRecordFactory()
    scene.letter("ok")
    scene.drain()
    assert logging.getLogRecordFactory() is carrying


@pytest.mark.usefixtures("factory")
@pytest.mark.parametrize("around", [True, False])
def test_a_factory_of_others_around_it_or_in_its_place_stays(
    scene: Scene, caplog: pytest.LogCaptureFixture, around: bool
) -> None:
    scene.letter("ok")
    scene.drain()
    inner = logging.getLogRecordFactory() if around else logging.LogRecord

    def theirs(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = inner(*arguments, **named)
        record.theirs = True
        return record

    logging.setLogRecordFactory(theirs)
    scene.registry.register("tells", lambda *_: logging.getLogger("other").warning("told"))
    for _ in range(3):
        scene.letter("tells")
        scene.drain()
    told = [vars(record) for record in caplog.records if record.name == "other"]
    assert [(t["theirs"], t["azoth_letter_id"]) for t in told] == [(True, 2), (True, 3), (True, 4)]


def test_a_task_is_named_after_its_letter(scene: Scene) -> None:
    names: dict[int, str] = {}

    def look(event_id: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        names[event_id] = task.get_name()

    settings = register(scene, "task", look)
    made = [scene.letter("looks") for _ in range(5)]
    scene.drain(**settings)
    assert names == {letter: f"azoth-dlq letter {letter}" for letter in made}


@with_kinds
def test_context_variables_are_those_of_the_caller(scene: Scene, kind: str) -> None:
    seen: set[str] = set()
    settings = register(scene, kind, lambda _: seen.add(TENANT.get()))
    for _ in range(8):
        scene.letter("looks")
    context = contextvars.copy_context()
    context.run(TENANT.set, "acme")
    context.run(lambda: scene.drain(**settings))
    assert seen == {"acme"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_handler_sets_of_them_is_seen_by_no_other(scene: Scene, kind: str) -> None:
    seen: list[str] = []

    def look(event_id: int) -> None:
        seen.append(TENANT.get())
        TENANT.set(f"of letter {event_id}")

    settings = register(scene, kind, look)
    for _ in range(20):
        scene.letter("looks")
    scene.drain(**settings)
    assert seen == ["nobody"] * 20


def test_drains_in_several_threads_know_each_its_own(tmp_path: Any) -> None:
    from azoth_dlq import DeadLetterQueue, DlqReplayer, EventHandlerRegistry  # noqa: PLC0415 -- a program

    wrong: list[tuple[int, int | None]] = []
    registry = EventHandlerRegistry()

    @registry.handler("looks")
    def look(_conn: Any, event_id: int, _payload: bytes) -> None:
        if current_letter_id() != event_id:
            wrong.append((event_id, current_letter_id()))

    def drain(number: int) -> None:
        with DeadLetterQueue.open(tmp_path / f"{number}.db") as queue:
            first = number * 1000
            queue.connection.execute(
                "INSERT INTO sqlite_sequence VALUES ('dead_letter_queue', ?)", (first,)
            )
            queue.add_many([(first + n + 1, b"looks:", "boom") for n in range(500)])
            assert DlqReplayer(queue, registry).drain(now=True).succeeded == 500

    threads = [threading.Thread(target=drain, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
