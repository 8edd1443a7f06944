"""Calls outside any transaction, between the group that claims and the one that settles."""

from __future__ import annotations

from azoth_dlq.engine._group import Group
from azoth_dlq.engine.outside import OutsideCall
from azoth_dlq.store.base import CommitRefused


class InHand:
    """What is claimed and not called yet, and what was called and is not settled yet.

    A call is settled in the group after it, with what else that group does; one that cannot be is
    `settled_alone`, letter by letter.
    """

    def __init__(self) -> None:
        self.claimed: OutsideCall | None = None
        self.called: OutsideCall | None = None
        self.settled_alone = False
        self._called_with_it: list[OutsideCall] = []

    @property
    def has_outcome(self) -> bool:
        """Whether there is one to be written."""
        return self.called is not None and not self.called.is_to_be_released

    def committed(self, group: Group) -> None:
        """A group that is told twice counts once."""
        self.claimed = group.next_call
        if group.settled_call is not None and group.settled_call is self.called:
            self.called = self._called_with_it.pop(0) if self._called_with_it else None
            self.settled_alone = self.called is not None

    def settle_alone(self) -> bool:
        """The group that was to settle the call is lost; whether it did nothing else."""
        was_alone, self.settled_alone = self.settled_alone, True
        return was_alone

    def refuse(self, refused: CommitRefused) -> OutsideCall | None:
        """Such a group is refused: what is tried next is letter by letter, then a failure of the
        letter, and then to give it up, which is returned.

        Errors: CommitRefused where not even that a call is over can be written.
        """
        if self.called is None or not self.settle_alone():
            return None
        if self.called.is_to_be_released:
            raise refused
        if len(self.called) > 1:
            self.called, *self._called_with_it = self.called.singly()
            return None
        return None if self.called.refuse(refused) else self.called
