"""What a drain learns from groups that were lost."""

from __future__ import annotations

import logging

from azoth_dlq.engine._group import Group
from azoth_dlq.engine.failure import one_line
from azoth_dlq.store.base import CommitRefused, StorageFault, TransactionLost
from azoth_dlq.store.settlement import Settlement

_MOST_ASIDE = 1000  # letters in a row; beyond it is the table that refuses them
_LARGE_GROUP = 4096  # letters; larger ones are as many as their time allows
_MOST_CALLED_ASIDE = 10  # the same, where each of them was called for nothing
logger = logging.getLogger("azoth_dlq.letters")


class Kept:
    """Letters that stay as they were, since the database refuses every change of them."""

    def __init__(self) -> None:
        self._count = 0
        self._first = ""
        self.were_called = False  # outside a transaction, some of them

    def note(self, letter_id: int, why: str) -> None:
        text = f"letter {letter_id} stays as it was: {why}"
        logger.error("%s", one_line(text))
        self._count += 1
        self._first = self._first or text

    def error(self) -> CommitRefused | None:
        """What tells of them, None where there are none. A run goes on with the others, unless it
        would make calls again and again that cannot be taken back."""
        if not self._count:
            return None
        others = f" (and {self._count - 1} more: see the log)" if self._count > 1 else ""
        error = CommitRefused(f"{self._first}{others}")
        error.transient = not self.were_called
        return error


class Recovery:
    """Which letters fail without a further call and which are settled already, by id, and how
    large groups may be while the culprit of a loss is looked for.

    settled: their outcome was committed out of the plan's order. condemned: their call took a
    group away, or kept it from being committed; they fail in their place of the order. aside: those
    of them of which nothing can be written. singly:
    letters of a batch that failed, to be called one by one.
    """

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.settled: set[int] = set()
        self.condemned: dict[int, str] = {}
        self.aside: set[int] = set()
        self._aside_in_row = 0
        self.singly: set[int] = set()
        self._largest_group: int | None = None
        self._suspects_end = 0  # the place in the plan behind the last group that was lost

    def most(self, otherwise: int) -> int:
        """The most letters of the next group."""
        return self._largest_group or otherwise

    def committed(self, settlement: Settlement, place: int) -> None:
        """These letters are settled, with all before `place` of the plan."""
        if self._aside_in_row and settlement.ids():
            self._aside_in_row = 0
        if self._largest_group is not None and place >= self._suspects_end:
            # Not at once as large as before: letters of one kind may be refused one after another.
            larger = 2 * self._largest_group
            self._largest_group = larger if larger < _LARGE_GROUP else None
        if self.singly:
            self.singly.difference_update(settlement.ids())

    def without_settled(self, ids: list[int], claimed: set[int]) -> list[int]:
        """Those that are not `claimed` by others either."""
        if not self.settled and not claimed:
            return ids
        return [i for i in ids if i not in self.settled and i not in claimed]

    def without_condemned(self, ids: list[int]) -> list[int]:
        """Those before the first condemned one."""
        first = next((n for n, i in enumerate(ids) if i in self.condemned), len(ids))
        return ids[:first]

    def condemn(self, group: Group, lost: TransactionLost | CommitRefused) -> None:
        """The letter called last is known as the culprit."""
        if group.last_called is not None:
            self.condemned[group.last_called[0]] = culprit_text(group, lost)

    def halve(self, attempted: int, end: int) -> None:
        """A group of so many letters, which reached to `end`, is lost: the next are smaller."""
        self._largest_group = max(1, attempted // 2)
        self._suspects_end = end

    def halve_refused(self, group: Group, refused: CommitRefused, end: int) -> None:
        """Some letter of the group, which reached to `end`, keeps it from being committed.

        Errors: CommitRefused where that is none of them, or too many.
        """
        if group.written > 1:
            self.halve(group.written, end)
        elif group.unreadable:
            (parking,) = group.settlement.parked
            self.give_up(parking.id, refused)
        elif group.batch:
            self.singly.update(group.batch)
        elif group.last_called is not None:
            if group.errors:
                (group.error,) = group.errors  # its own
            self.condemn(group, refused)
        else:
            culprits = self.condemned.keys() & group.settlement.ids()
            if not culprits:
                raise refused
            self.give_up(culprits.pop(), refused)

    def give_up(self, letter_id: int, refused: CommitRefused) -> None:
        """What became of the letter cannot be written in any form: it stays as it was.

        Errors: CommitRefused where it is the table that refuses them.
        """
        why = self.condemned.get(letter_id) or str(refused)
        self._put_aside(letter_id, why, refused, _MOST_ASIDE)

    def give_up_called(self, letter_id: int, why: str, refused: CommitRefused) -> None:
        """The same of one whose call cannot be taken back."""
        why = f"its handler was called outside a transaction, and will be again; {why}"
        self._put_aside(letter_id, why, refused, _MOST_CALLED_ASIDE)
        self.kept.were_called = True

    def give_up_dead(self, letter_id: int, refused: CommitRefused) -> None:
        """The same of one that cannot be charged with a death."""
        why = f"a process died in its handler; {refused}"
        self._put_aside(letter_id, why, refused, _MOST_ASIDE)

    def _put_aside(self, letter_id: int, why: str, refused: CommitRefused, most: int) -> None:
        if self._aside_in_row >= most:
            raise refused
        self._aside_in_row += 1
        self.aside.add(letter_id)
        self.condemned[letter_id] = why
        self.kept.note(letter_id, why)

    def halve_failing(self, group: Group, fault: StorageFault, start: int) -> None:
        """The database failed: what can be committed in smaller groups, down to one letter, is.

        Errors: StorageFault where that was one letter.
        """
        met_in_call = group.error is not None
        in_hand = len(group.batch or ()) if met_in_call else 0
        attempted = len(group) + in_hand
        if attempted == 0 or (attempted == 1 and (in_hand or not met_in_call)):
            raise fault
        self.halve(attempted, start + attempted + 1)


def culprit_text(group: Group, lost: TransactionLost | CommitRefused) -> str:
    """What is said of the culprit, with the name of its handler."""
    text = f"{group.handler}: {lost}"
    return text if group.error is None else f"{text}: {group.error}"
