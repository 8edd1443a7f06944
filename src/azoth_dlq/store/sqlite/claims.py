"""Letters in the hands of handlers that run outside any transaction.

A claim is committed before the call and ends in the group that settles its letter. It stands for as
long as the lock of its drain is held (see `presence`), and no longer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.base import Abandoned, Settlement
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.presence import has_died, is_alive
from azoth_dlq.store.sqlite.queue import chunks
from azoth_dlq.store.sqlite.raw import read


class DrainClaims:
    """Those of one drain, and what it sees of others'; everything within a group."""

    def __init__(self, cursor: sqlite3.Cursor, database: str, drainer: str) -> None:
        self._connection = cursor.connection
        # A cursor of its own would share cached statements with that of the drain before, which
        # resets them when it is collected: CPython 3.11 does so also amid a use by another.
        self._cursor = cursor
        self._database = database
        self._drainer = drainer
        self._open: set[int] = set()  # all that may be there
        self._ended: set[int] = set()  # in the open group

    def claim(self, ids: Sequence[int], *, batch: bool) -> None:
        self._cursor.executemany(sql.CLAIM, ((i, self._drainer, batch) for i in ids))
        if self._cursor.rowcount < len(ids):
            raise InvalidStateError(
                "a letter that another drain has in hand cannot be claimed; leave out those that "
                "are claimed"
            )
        self._open.update(ids)
        self._ended.difference_update(ids)

    def claimed_by_others(self) -> set[int]:
        return {letter_id for letter_id, *_ in self._of_others()}

    def abandoned(self) -> Abandoned:
        """Those of drains that are over end here; those of drains that died are told."""
        claims = self._of_others()
        over = {d for d in {bytes(d) for *_, d in claims} if not is_alive(self._database, d)}
        died = {d for d in over if has_died(self._database, d)}
        for some in chunks([letter_id for letter_id, _, d in claims if bytes(d) in over]):
            self._cursor.execute(sql.delete_claims(len(some), of_drainer=False), some)
        left = [(letter_id, batch) for letter_id, batch, d in claims if bytes(d) in died]
        return Abandoned(
            single=[letter_id for letter_id, batch in left if not batch],
            in_batch=[letter_id for letter_id, batch in left if batch],
        )

    def settle(self, settlement: Settlement) -> None:
        """End our claims of its letters."""
        if not self._open:
            return
        settled = self._open.intersection([*settlement.ids(), *settlement.released])
        for some in chunks(sorted(settled)):
            statement = sql.delete_claims(len(some), of_drainer=True)
            self._cursor.execute(statement, (*some, self._drainer))
        self._ended |= settled

    def group_over(self, *, committed: bool) -> None:
        """What the group wrote is there, or is not."""
        if committed:
            self._open -= self._ended
        self._ended.clear()

    def _of_others(self) -> list[tuple[int, int, bytearray]]:
        rows = read(self._connection, sql.CLAIMED_BY_OTHERS, (self._drainer,))
        return [(letter_id, batch, drainer) for letter_id, batch, drainer in rows]
