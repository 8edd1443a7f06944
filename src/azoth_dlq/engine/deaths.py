"""What processes had in hand when they died."""

from __future__ import annotations

from azoth_dlq.engine._group import Group
from azoth_dlq.engine.recovery import Recovery
from azoth_dlq.store.base import Abandoned, CommitRefused, Opened, Store

DIED = (
    "the process died while the handler of this letter ran (killed, crashed, or out of memory), or "
    "the handler closed the queue's connection"
)


class Deaths:
    """A letter is charged with the death in its own handler; those of a batch, which nobody can
    tell apart, are kept out of batches."""

    def __init__(self, store: Store, recovery: Recovery) -> None:
        self._store = store
        self._recovery = recovery
        self._frees_claims = True  # of dead drains, in the first group
        self._forgotten: set[int] = set()  # letters of which no death can be written

    def met(self, opened: Opened) -> Abandoned | None:
        """What is to be settled in this group."""
        if opened.died_in:
            letters = list(opened.died_in)
            return Abandoned([], letters) if opened.in_batch else Abandoned(letters, [])
        if not self._frees_claims:
            return None
        abandoned = self._store.abandoned()
        self._frees_claims = False
        return abandoned if abandoned.single or abandoned.in_batch else None

    def settle(self, dead: Abandoned, group: Group) -> list[int]:
        """Have the group charge them; the letters that it charges."""
        group.settlement.alone += self._remembered(dead.in_batch)
        ids = self._remembered(dead.single)
        rows = self._store.fetch(ids, inline=0, verify=False) if ids else []
        charged = [row for row in rows if type(row[1]) is int]
        for row in charged:
            group.charge_death(row, DIED)
        return [row[0] for row in charged]

    def forget(self, dead: Abandoned, refused: CommitRefused) -> None:
        """That group cannot be committed: it is to be opened once more, and to charge nobody. In
        this drain letters are not called in whose own handler a process died, and those of a batch
        singly. Errors: CommitRefused where it was so already."""
        if self._forgotten.issuperset([*dead.single, *dead.in_batch]):
            raise refused
        self._forgotten.update(dead.single, dead.in_batch)
        self._recovery.singly.update(dead.in_batch)
        for letter_id in dead.single:
            self._recovery.give_up_dead(letter_id, refused)
        self._frees_claims = True

    def _remembered(self, ids: list[int]) -> list[int]:
        return [letter_id for letter_id in ids if letter_id not in self._forgotten]
