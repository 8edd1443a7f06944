"""SQL comes from a closed set: one home holds its texts, and no value is ever a part of one."""

from __future__ import annotations

import inspect
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

import azoth_dlq
from azoth_dlq import (
    BackoffStrategy,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    NonRetryable,
    ReplayPriority,
    Snooze,
)
from azoth_dlq.clock import EPOCH
from azoth_dlq.filters import LetterFilter
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.status import look
from azoth_dlq.store.sqlite import (
    exchange_statements,
    migrations,
    pragmas,
    search_statements,
    upkeep_statements,
)
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.guard import QueueConnection
from tests import closed_sql
from tests.attacks import Attack

INSTALLED = Path(azoth_dlq.__file__).parent
CHECKOUT = Path(__file__).parents[1] / "src" / "azoth_dlq"
STATEMENTS = (sql, exchange_statements, search_statements, upkeep_statements)
HOME = {
    f"store/sqlite/{module.__name__.rpartition('.')[2]}.py"
    for module in (*STATEMENTS, pragmas, migrations)
}
MODULES = {p.relative_to(INSTALLED).as_posix(): p for p in sorted(INSTALLED.rglob("*.py"))}
OUTSIDE = sorted(MODULES.keys() - HOME)
# A text for other programs, of checked words, which this one never executes.
FOR_OTHERS = {("priority.py", "order_by_clause")}
# The demo plays the program whose letters they are.
ANOTHER_PROGRAM = {"demo.py"}


# In the source


def test_every_module_is_looked_at() -> None:
    assert set(MODULES) >= HOME
    assert len(OUTSIDE) > 80


def test_no_sql_is_put_together_outside_its_home() -> None:
    found = {
        (module, function, text)
        for module in OUTSIDE
        for function, _, text in closed_sql.built(MODULES[module].read_text("utf-8"))
        if (module, function) not in FOR_OTHERS
    }
    assert found == set()


def test_no_sql_is_written_outside_its_home() -> None:
    found = {
        (module, line, text)
        for module in set(OUTSIDE) - ANOTHER_PROGRAM
        for _, line, text in closed_sql.constant(MODULES[module].read_text("utf-8"))
    }
    assert found == set()


def test_only_texts_of_the_home_are_executed() -> None:
    found = {
        (module, line, text)
        for module in OUTSIDE
        for _, line, text in closed_sql.executed(MODULES[module].read_text("utf-8"))
    }
    assert found == set()


def test_the_home_takes_no_text_from_outside() -> None:
    """`among` and `order` are texts of the home itself: see what was prepared, below."""
    found = {
        pair
        for module in HOME
        for pair in closed_sql.interpolated_parameters(MODULES[module].read_text("utf-8"))
    }
    own = {("candidates", "among"), ("_not_noted_where", "among"), ("_not_noted_where", "order")}
    assert found == own


@pytest.mark.skipif(not CHECKOUT.is_dir(), reason="the sources of compiled modules are not here")
def test_compiled_modules_hold_no_sql() -> None:
    sources = sorted(CHECKOUT.rglob("*.p[yx][xd]"))
    assert len(sources) > 10
    texts = [text for path in sources for text in closed_sql.literals(path.read_text("utf-8"))]
    assert [text for text in texts if closed_sql.is_sql(text)] == []


SAMPLES = [
    'f"SELECT * FROM {table}"',
    'f"select id from letters where id = {letter}"',
    '"DELETE FROM " + table',
    '"UPDATE %s SET a = 1" % table',
    '"INSERT INTO {} VALUES (1)".format(table)',
    '" AND ".join(["a = 1", b])',
    '"drop table x".replace("x", name)',
    'f"PRAGMA main.{name} = {value}"',
    'f"{start} WHERE id = {letter}"',
    'f"ATTACH {path!r} AS other"',
    'f"ROLLBACK TO {name}"',
    'f"VACUUM INTO {path!r}"',
    'f"{first} ORDER BY {column}"',
]


@pytest.mark.parametrize("sample", SAMPLES)
def test_such_a_line_would_be_found(sample: str) -> None:
    assert len(list(closed_sql.built(f"def go():\n    return {sample}\n"))) == 1


@pytest.mark.parametrize("sample", ['"SELECT 1"', '"select a from b"', '"BEGIN"', '"""PRAGMA x"""'])
def test_such_a_constant_would_be_found(sample: str) -> None:
    assert len(list(closed_sql.constant(f"text = {sample}\n"))) == 1
    assert list(closed_sql.literals(f"text = {sample.replace(3 * chr(34), chr(34))}")) != []


@pytest.mark.parametrize(
    "sample", ['f"x{y}"', '"x" + y', 'y.replace("a", "b")', "line.text()", "y"]
)
def test_such_an_execution_would_be_found(sample: str) -> None:
    found = list(closed_sql.executed(f"cursor.execute({sample})"))
    assert len(found) == (0 if sample == "y" else 1)


@pytest.mark.parametrize(
    "sample",
    ['f"{count} letters from {first} on"', 'f"see `PRAGMA {name}`"'],
)
def test_prose_is_not_taken_for_sql(sample: str) -> None:
    assert list(closed_sql.built(sample)) == []


# While it runs

MARK = "Zq7"  # in every value that comes from outside
HOSTILE = f"{MARK}'; DROP TABLE dead_letter_queue; --\" % _ \\ \0 ?1 :a /* ` ] [{MARK}"
WHO = "".join(filter(str.isprintable, HOSTILE))


class Watched(QueueConnection):
    """Notes each text before it is prepared, as it is."""

    texts: set[str]

    def __call__(self, text: str) -> Any:
        self.texts.add(text)
        return super().__call__(text)


@pytest.fixture
def watched(path: Path) -> Iterator[Watched]:
    DeadLetterQueue.open(path).close()
    with closing(sqlite3.connect(path, factory=Watched)) as connection:
        connection.texts = set()
        yield connection


def _raising(error: Exception) -> Callable[..., None]:
    def handle(*_: object) -> None:
        raise error

    return handle


INSERT = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at, retry_count, "
    "last_retry_at) VALUES (?, ?, ?, ?, ?, ?)"
)
GOOD = (7, b"fails:x", HOSTILE, "2020-01-01 00:00:00", 0, None)


def _add_rows(path: Path) -> None:
    """Rows of another program's, each with a hostile value in one column."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for place in range(len(GOOD)):
            row = [HOSTILE if n == place else value for n, value in enumerate(GOOD)]
            connection.execute(INSERT, row)


def _handlers() -> EventHandlerRegistry:
    registry = EventHandlerRegistry()
    painted = type(HOSTILE.replace("\0", ""), (Exception,), {})
    registry.register("never", _raising(NonRetryable(HOSTILE)))
    registry.register("fails", _raising(ValueError(HOSTILE)))
    registry.register("waits", _raising(Snooze(0, HOSTILE)))
    registry.register("outside", _raising(KeyError(HOSTILE)), transactional=False)
    registry.register(HOSTILE.replace(":", ""), _raising(painted(HOSTILE)))
    return registry


def _work(connection: Watched, path: Path) -> int:
    """All that a queue does, with a hostile value in each place that takes one; how many places."""
    queue, registry = DeadLetterQueue(connection), _handlers()
    kinds = [*registry.event_types, "unknown", HOSTILE]
    events = [f"{kind}:{HOSTILE}".encode() for kind in kinds]
    _add_rows(path)
    for event in events:
        queue.add(7, event, HOSTILE)
    ids = queue.add_many([(7, event, ValueError(HOSTILE)) for event in events])
    config = DlqReplayConfig(
        stop_on_consecutive_failures=None,
        backoff=BackoffStrategy.fixed(0),
        min_age=0,
        max_retries=3,
        priority=ReplayPriority.by_error_type([MARK, f"{MARK}_x", "DROP TABLE x--"]),
    )
    replayer = DlqReplayer(queue, registry, config, sleep=lambda _: replayer.shutdown())
    replayer.run_replay_cycle()
    queue.mark_retry(ids[0])
    replayer.replay(ids[-1])
    replayer.drain(now=True)
    replayer.run()
    DlqReplayer(queue, registry, DlqReplayConfig(max_retries=3)).drain(now=True)
    searches = _search(queue)
    look(queue.store, config, 0)
    _act(queue)
    return len(GOOD) + 2 * len(events) + len(registry.event_types) + searches


def _search(queue: DeadLetterQueue) -> int:
    """How often a hostile value was looked for."""
    filters = [LetterFilter(error=text) for text in (HOSTILE, f"{MARK}%", f"{MARK}_", f"{MARK}'")]
    filters.append(LetterFilter(event_type=HOSTILE.replace(":", ""), max_age=9, min_retry_count=1))
    for wanted in filters:
        for parked in (False, True):
            queue.find(replace(wanted, parked=parked))
            with queue.store.errors(
                queue.find(replace(wanted, parked=parked)), parked=parked
            ) as rows:
                list(rows)
    assert queue.groups()
    queue.groups(parked=True)
    queue.find(LetterFilter(ids=[1, range(5, 9)], since=EPOCH, until=EPOCH, due=True, group="abcd"))
    queue.find(LetterFilter(parked=True, min_parked_age=1, group="abcd"))
    return 2 * len(filters)


def _act(queue: DeadLetterQueue) -> None:
    """What people do to letters, the last of it to all."""
    parked_ids = [letter.id for letter in queue.permanent_failures()]
    assert len(parked_ids) > 5
    for parked_id in parked_ids:
        queue.history(parked_id, parked=True)
    stream = BytesIO()
    queue.export_to(stream)
    queue.store.exchange.let_return(parked_ids[-1:], parked=True)
    queue.discard(parked_ids[-1:], parked=True)
    for dry_run, again in ((True, False), (False, False), (False, True)):
        stream.seek(0)
        queue.import_from(stream, again=again, dry_run=dry_run)
    for parked, letter_id in ((False, queue.letters(1)[0].id), (True, parked_ids[-1])):
        queue.edit(letter_id, HOSTILE.encode(), parked=parked, by=WHO)
        assert queue.original(letter_id, parked=parked) is not None
        queue.put_back(letter_id, parked=parked, by=MARK)
    queue.requeue(parked_ids[:3], by=WHO)
    queue.purge(10**9)
    queue.purge(0)
    assert len(queue.audit()) > 5
    parked_ids = [letter.id for letter in queue.permanent_failures()]
    queue.discard(parked_ids[3:5], parked=True)
    queue.discard([letter.id for letter in queue.letters(2)])
    queue.clear_permanent_failures()
    assert queue.count() == queue.clear()


def _pattern(text: str) -> str:
    """The text without how many variables it has, and without our own integers."""
    text = re.sub(r"\?(,\?)+", "?", text)
    text = re.sub(r"\(\?\)(, ?\(\?\))+", "(?)", text)
    text = re.sub(r"\(\?,\?\)(,\(\?,\?\))+|\(\?\)(,\(\?\))+", "(?)", text).replace("(?,?)", "(?)")
    return re.sub(r"(?<![\w'])-?\d+", "N", text)


def _made(make: Callable[..., str]) -> Iterator[str]:
    """What a function of the home makes of each kind of argument that it is called with."""
    values: list[list[Any]] = []
    for name, parameter in inspect.signature(make).parameters.items():
        if parameter.annotation == "bool":
            values.append([False, True])
        elif name == "among":
            among = [text for key, text in vars(sql).items() if key.startswith("AMONG_")]
            values.append(["", *among, sql.among_ids(1)])
        elif name == "fields":
            names = ["error", *search_statements._FITS]  # noqa: SLF001 -- the set that is closed
            values.append([f for n in range(5) for f in combinations(names, n)])
        elif name == "columns":
            names = ["failed_at", "marked_permanent_at", "latest_error"]
            values.append([f for n in range(4) for f in combinations(names, n)])
        elif name == "runs":
            values.append([0, 1])
        else:
            values.append([1, None] if "None" in str(parameter.annotation) else [1])
    for chosen in product(*values):
        yield make(**dict(zip(inspect.signature(make).parameters, chosen, strict=True)))


def _closed_set() -> set[str]:
    texts: set[str] = set()
    for module in (*STATEMENTS, pragmas, migrations):
        for name, value in vars(module).items():
            if isinstance(value, str):
                texts.add(value)
            elif isinstance(value, dict) and name != "__builtins__":
                texts |= {text for text in value.values() if isinstance(text, str)}
            elif inspect.isfunction(value) and value.__annotations__.get("return") == "str":
                public = module is not migrations and not name.startswith("_")
                texts |= set(_made(value)) if public else set()
    for step in migrations.STEPS:
        texts |= {f"ALTER TABLE main.{t} ADD COLUMN {c} {kind}" for t, c, kind in step.columns}
    return {_pattern(text) for text in texts}


def test_no_value_becomes_a_part_of_a_statement(
    watched: Watched, path: Path, attack: Attack
) -> None:
    places = _work(watched, path)
    assert len(watched.texts) > 60
    assert [text for text in watched.texts if MARK in text] == []
    attack.struck("hostile value in a place that takes one", places)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert ("dead_letter_queue",) in tables


def test_every_statement_that_is_prepared_is_of_the_closed_set(
    watched: Watched, path: Path
) -> None:
    _work(watched, path)
    assert {_pattern(text) for text in watched.texts} <= _closed_set()


NAMES = ['a"b', 'x"; DROP TABLE dead_letter_queue; --', "a'b", "[x]", "`", "select", "", "a\nb\x1b"]


def test_names_that_a_file_has_are_never_a_part_of_a_statement(path: Path, attack: Attack) -> None:
    """Columns, tables, indexes and triggers of other programs."""
    DeadLetterQueue.open(path).close()
    with closing(sqlite3.connect(path)) as other, other:
        for number, name in enumerate(NAMES):
            quoted = '"' + name.replace('"', '""') + MARK + '"'
            for table in ("dead_letter_queue", "permanent_failures"):
                other.execute(f"ALTER TABLE {table} ADD COLUMN {quoted} TEXT")
            other.execute(f'CREATE INDEX {quoted[:-1]}i" ON dead_letter_queue ({quoted})')
            other.execute(f'CREATE TABLE {quoted[:-1]}t" ({quoted} TEXT)')
            other.execute(
                f'CREATE TRIGGER {quoted[:-1]}r" AFTER DELETE ON dead_letter_queue BEGIN '  # noqa: S608 -- another program's
                f'INSERT INTO {quoted[:-1]}t" VALUES ({number}); END'
            )
    with closing(sqlite3.connect(path, factory=Watched)) as connection:
        connection.texts = set()
        _work(connection, path)
        assert [text for text in connection.texts if MARK in text] == []
        assert {_pattern(text) for text in connection.texts} <= _closed_set()
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert {"dead_letter_queue", "permanent_failures", f'a"b{MARK}t'} <= tables
    attack.struck("hostile name of a table, column, index or trigger", 5 * len(NAMES))
