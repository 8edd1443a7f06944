"""What people do to letters on purpose, and the record of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.sqlite import history
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite import upkeep_statements as upkeep
from azoth_dlq.store.sqlite.presence import is_alive
from azoth_dlq.store.sqlite.queue import SqliteQueue, chunks

if TYPE_CHECKING:
    from azoth_dlq.store.upkeep import NewAction
    from azoth_dlq.types import AuditRecord

_EDITED, _PUT_BACK = "edited", "put back"
_ROWS_LOOKED_AT = 10_000


class SqliteUpkeep(SqliteQueue):
    """Beside the verbs of the queue: edits, purges and the audit."""

    def record(self, action: NewAction) -> int:
        values = action._replace(
            filter=_json_or_none(action.filter), details=_json_or_none(action.details)
        )
        with self._writing():
            self._execute(upkeep.RECORD_ACTION, values)
            return self._cursor.lastrowid or 0

    def record_done(
        self,
        action_id: int,
        done: int,
        details: Mapping[str, Any] | None = None,
        matched: int | None = None,
    ) -> None:
        with self._writing():
            self._execute(upkeep.ADD_DONE, (done, _json_or_none(details), matched, action_id))

    def actions(self, limit: int = -1) -> list[AuditRecord]:
        from azoth_dlq.store.sqlite import values  # noqa: PLC0415 -- as is said there

        if not self._known_schema().migrated:
            return []
        return [values.audit_record(row) for row in self._query(upkeep.ACTIONS, (limit,))]

    def edit(
        self, letter_id: int, event_bytes: bytes, now: int, who: str, *, parked: bool = False
    ) -> bool:
        with self._writing(changes_letters=not parked):
            self._check_in_no_hand(letter_id, parked=parked)
            if self._is_of_another(letter_id, parked=parked):
                history.delete(self._cursor, [letter_id], parked=False)
            self._execute(upkeep.record_edit(parked=parked), (now, _EDITED, f"by {who}", letter_id))
            self._execute(upkeep.edit(parked=parked), (event_bytes, letter_id))
            return self._cursor.rowcount == 1

    def original(self, letter_id: int, *, parked: bool = False) -> bytes | None:
        from azoth_dlq.store.sqlite import values  # noqa: PLC0415 -- as is said there

        if not self._known_schema().migrated or self._is_of_another(letter_id, parked=parked):
            return None
        rows = self._query(upkeep.original(parked=parked), (letter_id,))
        return values.bytes_of(rows[0][0]) if rows else None

    def put_back(self, letter_id: int, now: int, who: str, *, parked: bool = False) -> bool:
        with self._writing(changes_letters=not parked):
            self._check_in_no_hand(letter_id, parked=parked)
            if self._is_of_another(letter_id, parked=parked):
                return False
            if not self._query(upkeep.original(parked=parked), (letter_id,)):
                return False
            self._execute(
                upkeep.record_edit(parked=parked), (now, _PUT_BACK, f"by {who}", letter_id)
            )
            self._execute(upkeep.put_back(parked=parked), (letter_id, letter_id))
            return self._cursor.rowcount == 1

    def purge_attempts(self, until: int, after: int = 0) -> tuple[int, int | None]:
        with self._writing():
            looked_at, last = self._query(upkeep.OLD_ATTEMPTS, (after, _ROWS_LOOKED_AT))[0]
            if not looked_at:
                return 0, None
            self._execute(upkeep.PURGE_ATTEMPTS, (after, last, until))
            return self._cursor.rowcount, last

    def _check_in_no_hand(self, letter_id: int, *, parked: bool) -> None:
        """Whoever calls a handler with the letter would have it do what it was before. Within a
        transaction that writes, which no drain has meanwhile. Errors: InvalidStateError."""
        holders = [name for (name,) in self._query(upkeep.HOLDERS[parked], (letter_id,))]
        if any(is_alive(self._database_file(), name) for name in holders):
            raise InvalidStateError(
                f"letter {letter_id} is in the hands of a handler now; it can be changed when that "
                "call is over, if the letter is still there then"
            )

    def _is_of_another(self, letter_id: int, *, parked: bool) -> bool:
        """Whether what is kept by this id is of a letter before, whose id was given again."""
        return not parked and not self._query(sql.HAS_ATTEMPTS, (letter_id,))

    def identities(self, ids: Sequence[int], *, parked: bool = False) -> list[int | None]:
        found: dict[int, int] = {}
        if self._known_schema().has_queue:
            for some in chunks(ids):
                for row_id, *rest in self._query(
                    upkeep.identities(len(some), parked=parked), tuple(some)
                ):
                    plain = (bytes(one) if isinstance(one, bytearray) else one for one in rest)
                    found[row_id] = hash(tuple(plain))
        return [found.get(row_id) for row_id in ids]


def _json_or_none(details: Mapping[str, Any] | None) -> Any:
    import json  # noqa: PLC0415 -- who only adds letters needs none

    return None if details is None else json.dumps(details)
