"""What processes had in hand when they died."""

from __future__ import annotations

from azoth_dlq.engine._group import Group
from azoth_dlq.engine.letters import INLINE
from azoth_dlq.engine.recovery import Recovery
from azoth_dlq.store.base import Abandoned, CommitRefused, Opened, Store

DIED = (
    "the process died while the handler of this letter ran (killed, crashed, or out of memory), or "
    "the handler closed the queue's connection"
)


class Deaths:
    """A letter is charged with the death in its own handler; those of a batch, which nobody can
    tell apart, are kept out of batches.

    What the database refuses to have written of one keeps none of the others from it: they are
    settled in several groups then, as much in each as is taken.
    """

    def __init__(self, store: Store, recovery: Recovery) -> None:
        self._store = store
        self._recovery = recovery
        self._frees_claims = True  # of dead drains, in the first group
        self._dead: list[Abandoned] = []  # what a group each is to settle
        self._known: set[int] = set()  # letters of which the store tells again

    def met(self, opened: Opened) -> Abandoned | None:
        """What is to be settled in this group."""
        told = Abandoned([], [])
        if opened.died_in:
            letters = list(opened.died_in)
            told = Abandoned([], letters) if opened.in_batch else Abandoned(letters, [])
        elif self._frees_claims:
            told = self._store.abandoned()
            self._frees_claims = False
        single = [i for i in told.single if i not in self._known]
        in_batch = [i for i in told.in_batch if i not in self._known]
        if single or in_batch:
            self._dead.append(Abandoned(single, in_batch))
        return self._dead.pop(0) if self._dead else None

    def settle(self, dead: Abandoned, group: Group) -> list[int]:
        """Have the group charge them; the letters that it charges."""
        group.settlement.alone += dead.in_batch
        rows = []
        if dead.single:
            rows = self._store.fetch(dead.single, inline=INLINE, verify=False)
        charged = [row for row in rows if type(row[1]) is int]
        for row in charged:
            group.charge_death(row, DIED)
        return [row[0] for row in charged]

    def committed(self) -> None:
        """So is a group that settles some."""
        if not self._dead:
            self._known.clear()

    def refuse(self, dead: Abandoned, refused: CommitRefused) -> None:
        """The group that was to settle these cannot be committed: others are to settle less each.
        Where a single letter is left its death is forgotten, and it is not called in this drain, or
        singly where it died in a batch.

        Errors: CommitRefused where it is no letter's doing.
        """
        single, in_batch = dead
        letters = [*single, *in_batch]
        if not letters:
            raise refused
        self._known.update(letters)
        self._frees_claims = True
        if single and in_batch:
            self._dead[:0] = [Abandoned(single, []), Abandoned([], in_batch)]
            return
        if len(letters) > 1:
            self._dead[:0] = [
                Abandoned(single[::2], in_batch[::2]),
                Abandoned(single[1::2], in_batch[1::2]),
            ]
            return
        if single:
            self._recovery.give_up_dead(single[0], refused)
        self._recovery.singly.update(in_batch)
        # Even so a group is needed in which the store takes them as settled.
        self._dead.insert(0, Abandoned([], []))
