"""The stores under test, each with what stands around it: handlers, other programs, faults."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from azoth_dlq.store.sqlite import SqliteStore, open_connection
from tests.conformance.backend import Backend, slots_of
from tests.conformance.memory_database import MemoryDatabase, MemoryFault, ReadOnly, Row
from tests.conformance.memory_store import MemoryStore


class MemoryBackend(Backend):
    store: MemoryStore
    read_only_error = ReadOnly

    def __init__(self, _folder: Path) -> None:
        self.database = MemoryDatabase()
        self.store = MemoryStore(self.database)

    def _insert(self, columns: dict[str, Any]) -> int:
        with self._another().writing() as tables:
            wanted = columns.pop("id", None)
            letter_id = tables.next_id() if wanted is None else int(wanted)
            tables.letters[letter_id] = Row(**columns)
            return letter_id

    def update(self, letter_id: int, **columns: Any) -> None:
        with self._another().writing() as tables:
            tables.letters[letter_id] = tables.letters[letter_id]._replace(**columns)

    def remove(self, letter_id: int) -> None:
        with self._another().writing() as tables:
            del tables.letters[letter_id]

    def ids(self) -> list[int]:
        return sorted(self.database.committed.letters)

    def effects(self) -> list[int]:
        return sorted(self.database.committed.effects)

    def write(self, connection: Any, value: int) -> None:
        connection.write(value)

    def begin(self) -> None:
        self.store.connection.begin()

    def commit(self) -> None:
        self.store.connection.commit()

    def roll_back(self) -> None:
        self.store.connection.rollback()

    def close(self) -> None:
        """Nothing outlives the test."""

    def lose_transaction(self, connection: Any) -> None:
        connection.lose_transaction()

    def commit_behind_the_guard(self, connection: Any) -> None:
        connection.commit_behind_the_guard()

    def make_uncommittable(self, connection: Any) -> None:
        connection.uncommittable = True

    def database_fault(self) -> Exception:
        return MemoryFault("the disk is full")

    def others_can_write(self) -> bool:
        return self.database.writer is None

    @contextmanager
    def another_writes(self) -> Iterator[None]:
        another = self._another()
        another.begin()
        yield
        another.rollback()

    @contextmanager
    def another_reads(self) -> Iterator[None]:
        self.database.readers += 1
        yield
        self.database.readers -= 1

    def die_in(self, letter_id: int, *batch: int) -> None:
        another = MemoryStore(self.database)
        another.begin()
        another.isolate(letter_id)
        for member in (letter_id, *batch) if batch else ():
            another.join(member)
        another.connection.write(letter_id)
        # Its death frees the lock and nothing else.
        self.database.alive.discard(another._drain)  # noqa: SLF001 -- nobody is told of a death
        self.database.writer = None

    @contextmanager
    def another_store(self) -> Iterator[MemoryStore]:
        yield MemoryStore(self.database)

    def die_with_claims(
        self,
        *,
        in_batch: Sequence[int] = (),
        singly: Sequence[int] = (),
        started: Sequence[int] | None = None,
    ) -> None:
        another = MemoryStore(self.database)
        another.begin()
        slots = slots_of(in_batch, singly, started)
        another.claim(in_batch, batch=True, slots=slots[: len(in_batch)] or None)
        another.claim(singly, batch=False, slots=slots[len(in_batch) :] or None)
        another.end(commit=True)
        marks = another.start_marks(100)
        for letter_id in started or ():
            marks[letter_id] = 1
        self.database.alive.discard(another._drain)  # noqa: SLF001 -- nobody is told of a death

    def effects_through(self, connection: Any) -> list[int]:
        return sorted(connection.tables.effects)

    def begin_on(self, connection: Any) -> None:
        connection.begin()

    def _another(self) -> Any:
        return MemoryStore(self.database).connection


class SqliteBackend(Backend):
    store: SqliteStore
    read_only_error = sqlite3.OperationalError

    def __init__(self, folder: Path) -> None:
        self.path = folder / "letters.db"
        # With a rollback journal a reader can keep a commit waiting.
        with closing(open_connection(self.path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("CREATE TABLE effects (value INTEGER)")
            connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
            connection.execute(
                "CREATE TABLE child (parent REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)"
            )
        # A plain connection: no method of ours keeps handlers from anything.
        self.connection = sqlite3.connect(self.path, isolation_level=None, timeout=0.1)
        self.connection.execute("PRAGMA foreign_keys = ON")
        # No power is lost here, and waiting for the disk is most of these tests' time.
        self.connection.execute("PRAGMA synchronous = OFF")
        self.store = SqliteStore(self.connection)

    def _insert(self, columns: dict[str, Any]) -> int:
        places = ", ".join("?" * len(columns))
        names = ", ".join(columns)
        statement = f"INSERT INTO dead_letter_queue ({names}) VALUES ({places})"  # noqa: S608 -- own names
        with self._another() as another:
            return another.execute(statement, (*columns.values(),)).lastrowid or 0

    def update(self, letter_id: int, **columns: Any) -> None:
        changes = ", ".join(f"{name} = ?" for name in columns)
        statement = f"UPDATE dead_letter_queue SET {changes} WHERE id = ?"  # noqa: S608 -- own names
        with self._another() as another:
            another.execute(statement, (*columns.values(), letter_id))

    def remove(self, letter_id: int) -> None:
        with self._another() as another:
            another.execute("DELETE FROM dead_letter_queue WHERE id = ?", (letter_id,))

    def ids(self) -> list[int]:
        return self._integers("SELECT id FROM dead_letter_queue ORDER BY 1")

    def effects(self) -> list[int]:
        return self._integers("SELECT value FROM effects ORDER BY 1")

    def write(self, connection: Any, value: int) -> None:
        connection.execute("INSERT INTO effects VALUES (?)", (value,))

    def begin(self) -> None:
        self.connection.execute("BEGIN")

    def commit(self) -> None:
        self.connection.execute("COMMIT")

    def roll_back(self) -> None:
        self.connection.execute("ROLLBACK")

    def close(self) -> None:
        self.connection.close()

    def lose_transaction(self, connection: Any) -> None:
        connection.execute("INSERT INTO parent VALUES (1)")
        with suppress(sqlite3.IntegrityError):
            connection.execute("INSERT OR ROLLBACK INTO parent VALUES (1)")

    def commit_behind_the_guard(self, connection: Any) -> None:
        connection.set_authorizer(None)
        connection.commit()

    def make_uncommittable(self, connection: Any) -> None:
        connection.execute("INSERT INTO child VALUES (7)")

    def database_fault(self) -> Exception:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        return error

    def others_can_write(self) -> bool:
        try:
            with self.another_writes():
                return True
        except sqlite3.OperationalError:
            return False

    @contextmanager
    def another_writes(self) -> Iterator[None]:
        with self._another() as another:
            another.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def another_reads(self) -> Iterator[None]:
        with self._another() as another:
            another.execute("BEGIN")
            another.execute("SELECT count(*) FROM effects").fetchall()
            yield

    def die_in(self, letter_id: int, *batch: int) -> None:
        self._die(
            "store.isolate(ids[0])\n"
            "    all(map(store.join, ids if len(ids) > 1 else []))\n"
            "    store.connection.execute('INSERT INTO effects VALUES (?)', ids[:1])\n",
            [letter_id, *batch],
        )

    @contextmanager
    def another_store(self) -> Iterator[SqliteStore]:
        with closing(open_connection(self.path)) as connection:
            yield SqliteStore(connection)

    def die_with_claims(
        self,
        *,
        in_batch: Sequence[int] = (),
        singly: Sequence[int] = (),
        started: Sequence[int] | None = None,
    ) -> None:
        slots = slots_of(in_batch, singly, started)
        batch = len(in_batch)
        self._die(
            "marks = store.start_marks(100)\n"
            f"    store.claim(ids[:{batch}], batch=True, slots={slots[:batch] or None})\n"
            f"    store.claim(ids[{batch}:], batch=False, slots={slots[batch:] or None})\n"
            "    store.end(commit=True)\n"
            f"    for letter_id in {list(started or ())}: marks[letter_id] = 1\n",
            [*in_batch, *singly],
        )

    def effects_through(self, connection: Any) -> list[int]:
        rows = connection.execute("SELECT value FROM effects ORDER BY 1")
        return [int(value) for (value,) in rows]

    def begin_on(self, connection: Any) -> None:
        connection.execute("BEGIN")

    def _die(self, deeds: str, ids: Sequence[int]) -> None:
        """In a group of its own, after these deeds."""
        code = (
            "import os, sys\n"
            "from azoth_dlq.store.base import DrainSettings\n"
            "from azoth_dlq.store.sqlite import SqliteStore, open_connection\n"
            "store = SqliteStore(open_connection(sys.argv[1]))\n"
            "ids = [int(argument) for argument in sys.argv[2:]]\n"
            "with store.draining(DrainSettings(1.0, '{}')):\n"
            "    store.begin()\n"
            f"    {deeds}"
            "    os._exit(9)\n"
        )
        command = [sys.executable, "-c", code, str(self.path), *map(str, ids)]
        done = subprocess.run(command, check=False, timeout=30)
        assert done.returncode == 9

    def _integers(self, statement: str) -> list[int]:
        with self._another() as another:
            return [int(value) for (value,) in another.execute(statement)]

    def _another(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self.path, isolation_level=None, timeout=0))


BACKENDS: dict[str, type[Backend]] = {"memory": MemoryBackend, "sqlite": SqliteBackend}
