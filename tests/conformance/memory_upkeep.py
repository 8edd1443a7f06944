"""What people do to letters in memory, and the record of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from azoth_dlq.clock import to_datetime
from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.settlement import Attempted
from azoth_dlq.store.upkeep import NewAction
from azoth_dlq.types import AuditRecord
from tests.conformance.memory_claims import MemoryClaims
from tests.conformance.memory_database import Row, Tables


class MemoryUpkeep(MemoryClaims):
    """Edits, purges and the audit."""

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._connection.writing():
            yield

    def record(self, action: NewAction) -> int:
        with self._connection.writing() as tables:
            tables.actions = [*tables.actions, action]
            return len(tables.actions)

    def record_done(
        self,
        action_id: int,
        done: int,
        details: Mapping[str, Any] | None = None,
        matched: int | None = None,
    ) -> None:
        with self._connection.writing() as tables:
            actions = list(tables.actions)
            action = actions[action_id - 1]
            actions[action_id - 1] = action._replace(
                done=action.done + done,
                details=action.details if details is None else details,
                matched=action.matched if matched is None else matched,
            )
            tables.actions = actions

    def actions(self, limit: int = -1) -> list[AuditRecord]:
        records = [
            AuditRecord(
                id=number,
                at=to_datetime(action.at),
                who=action.who,
                action=action.action,
                filter=json.loads(json.dumps(action.filter)),
                matched=action.matched,
                done=action.done,
                details=None if action.details is None else dict(action.details),
            )
            for number, action in enumerate(self._connection.tables.actions, start=1)
        ]
        records.reverse()
        return records if limit < 0 else records[:limit]

    def edit(
        self, letter_id: int, event_bytes: bytes, now: int, who: str, *, parked: bool = False
    ) -> bool:
        with self._connection.writing() as tables:
            row = self._row(tables, letter_id, parked=parked)
            if row is None:
                return False
            original = row.event_bytes if row.original is None else row.original
            change = Attempted(letter_id, now, "edited", "", f"by {who}", "", None)
            changed = row._replace(event_bytes=event_bytes, original=original)
            self._change(tables, changed, change, parked=parked)
            return True

    def identities(self, ids: Sequence[int], *, parked: bool = False) -> list[int | None]:
        rows = [self._row(self._connection.tables, i, parked=parked) for i in ids]
        return [
            None if row is None else hash((row.event_id, row.failed_at, row.error_message))
            for row in rows
        ]

    def original(self, letter_id: int, *, parked: bool = False) -> bytes | None:
        row = self._row(self._connection.tables, letter_id, parked=parked)
        return None if row is None else row.original

    def put_back(self, letter_id: int, now: int, who: str, *, parked: bool = False) -> bool:
        with self._connection.writing() as tables:
            row = self._row(tables, letter_id, parked=parked)
            if row is None or row.original is None:
                return False
            change = Attempted(letter_id, now, "put back", "", f"by {who}", "", None)
            changed = row._replace(event_bytes=row.original)
            self._change(tables, changed, change, parked=parked)
            return True

    def purge_attempts(self, until: int, after: int = 0) -> tuple[int, int | None]:
        assert after == 0  # all at once
        deleted = 0
        with self._connection.writing() as tables:
            for letter_id, row in tables.letters.items():
                kept = tuple(a for a in row.history if a.at > until or a.outcome == "edited")
                deleted += len(row.history) - len(kept)
                tables.letters[letter_id] = row._replace(history=kept)
        return deleted, None

    def in_hands(self) -> set[int]:
        alive, claims = self._connection.database.alive, self._connection.tables.claims
        return {letter_id for letter_id, one in claims.items() if one.drainer in alive}

    def _row(self, tables: Tables, letter_id: int, *, parked: bool) -> Row | None:
        if parked:
            return tables.parked[letter_id].row if letter_id in tables.parked else None
        return tables.letters.get(letter_id)

    def _change(self, tables: Tables, row: Row, change: Attempted, *, parked: bool) -> None:
        letter_id = change.letter_id
        row = row._replace(history=(*row.history, change))
        dead_id = tables.parked[letter_id].dead_letter_id if parked else letter_id
        if dead_id in self.in_hands():
            raise InvalidStateError(f"letter {letter_id} is in the hands of a handler now")
        if parked:
            tables.parked[letter_id] = tables.parked[letter_id]._replace(row=row)
            return
        latest = row.error_message if row.last_error is None else row.last_error
        tables.letters[letter_id] = row._replace(last_error=latest)
