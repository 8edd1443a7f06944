"""Letters fetched chunk by chunk, and attempted within an open group."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.current import IN_HAND
from azoth_dlq.engine._group import Group
from azoth_dlq.engine._loop import attempt
from azoth_dlq.engine.course import Course
from azoth_dlq.engine.in_turn import CallsInTurn
from azoth_dlq.engine.letters import INLINE, Limits
from azoth_dlq.engine.phases import Phases
from azoth_dlq.engine.recovery import Recovery
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.store.base import Store

if TYPE_CHECKING:
    from azoth_dlq.engine.at_once import CallsAtOnce

Row = tuple[Any, ...]
_CHUNK = 500  # letters fetched at once, where no handler takes batches
_FEWEST = 50  # the same, where one is attempted: those before it may be skipped
_FIRST_ACK_SECONDS = 2e-6
_MOST_HEARD = 50_000  # letters of a group whose outcomes a program hears
_MOST_BESIDE_LOOP = 5000  # letters: what is done with more of them at once keeps a loop waiting


class Attempting:
    """Goes on in the plan with each group. `ack_seconds`: what the ack of a letter takes."""

    def __init__(  # noqa: PLR0913 -- what a drain is made of
        self,
        store: Store,
        registry: EventHandlerRegistry,
        config: DlqReplayConfig,
        surroundings: Surroundings,
        *,
        course: Course,
        recovery: Recovery,
        calls: CallsInTurn | CallsAtOnce,
    ) -> None:
        self._store = store
        self._registry = registry
        self._config = config
        self._around = surroundings
        self._stop = surroundings.stop
        self._course = course
        self._recovery = recovery
        self._calls = calls
        # A chunk is let go only when the next is there.
        has_batches = any(one.batch_call is not None for one in registry.registrations)
        most = max(_CHUNK, registry.batch.max_batch_size if has_batches else 0)
        self.largest_chunk = max(1, min(most, config.memory_limit // (2 * INLINE)))
        self._chunk = self.largest_chunk
        self._fetches_for_one = not has_batches  # where a group ends at a call outside
        self.ack_seconds = _FIRST_ACK_SECONDS

    @property
    def still_allowed(self) -> int:
        """How many letters may be attempted beside those in hand."""
        course = self._course
        return course.still_allowed - (self._calls.letters if course.has_limit else 0)

    def attempt(
        self, group: Group, *, verify: bool, ends_at: float, claimed: set[int], phases: Phases
    ) -> bool:
        """Attempt letters until the group is full; whether nobody but the drain has changed any
        until then. `verify`: somebody may have. `claimed` are in the hands of other drains."""
        course, recovery, calls = self._course, self._recovery, self._calls
        # What calls beside the drain came to is no part of what this group may do.
        apart = group.written if calls.are_beside else 0
        allowed = self.still_allowed - (0 if calls.are_beside else len(group))
        attempted_before = len(group)
        limits = Limits(
            ends_at=ends_at,
            ack_seconds=self.ack_seconds,
            most=apart + self._most(group, allowed),
            batch_size=self._registry.batch.max_batch_size,
            batch_bytes=self._config.memory_limit // 2,
            singly=recovery.singly,
            outside_only=False,
        )
        glance, start = 1, course.place
        while not (course.is_over or group.full) and _letters_of(group) < limits.most:
            taken = _letters_of(group)
            useful = max(limits.most - taken, _FEWEST)
            left = allowed - (taken - group.written + len(group) - attempted_before)
            if calls.has_no_room(group):
                # The next may be one that is called outside: the others are fetched for nothing.
                useful, glance = min(useful, glance), 8 * glance
            ids = course.next_ids(min(self._chunk, useful, left))
            if ids[0] in recovery.condemned:
                self._fail_condemned(ids[0], group, claimed)
                continue
            ids = recovery.without_condemned(ids) if recovery.condemned else ids
            wanted = recovery.without_settled(ids, claimed)
            phases.begin("fetch")
            rows = self._store.fetch(wanted, inline=INLINE, verify=verify) if wanted else []
            if verify:
                rows = course.letters.unchanged(rows, course.place, course.place + len(ids))
            phases.begin("handlers")
            taken = self._attempt_rows(rows, group, limits)
            phases.begin()
            self._pass(ids, rows, taken, group)
            verify, group.stale = verify or group.stale, False
            group.full |= not rows and monotonic() >= limits.ends_at
        self._around.rate.take(len(group) - attempted_before)
        if group.is_blocked or (group.next_calls and self._fetches_for_one):
            # As many as this group could use.
            self._chunk = min(max(1, self._course.place - start), self.largest_chunk)
        return not verify

    def _most(self, group: Group, allowed: int) -> int:
        """How many letters a group may attempt."""
        if group.is_probe:
            return 0 if self._calls.go_on_beside else min(1, allowed)
        most = min(self._recovery.most(len(self._course.letters)), allowed)
        if self._around.loop is not None:
            most = min(most, _MOST_BESIDE_LOOP)
        if group.heard is not None:
            most = min(most, _MOST_HEARD)
        return min(most, self._around.rate.available()) if self._around.rate.is_limited else most

    def _attempt_rows(self, rows: list[Row], group: Group, limits: Limits) -> int:
        """How many of them were attempted, or are to be called behind this group."""
        taken = 0
        while True:
            some = rows[taken:] if taken else rows
            now = self._calls.limited(limits, group)
            taken += attempt(
                some, group, self._store, self._registry, self._stop, now, IN_HAND.get()
            )
            gathered = self._calls.gather(rows[taken:], group, now)
            taken += gathered
            is_over = group.full or group.stale or _letters_of(group) >= limits.most
            if not gathered or is_over or taken == len(rows):
                return taken

    def _pass(self, ids: list[int], rows: list[Row], taken: int, group: Group) -> None:
        """Go on in the plan behind the rows that were taken; the letters of `ids` before that
        place without a row were skipped."""
        places = len(ids) if taken == len(rows) else ids.index(rows[taken][0])
        settled = self._recovery.settled
        known = sum(i in settled for i in ids[:places]) if settled else 0
        group.skipped += places - known - taken
        self._course.place += places
        # Where handlers change other letters, few of those fetched will be used.
        fitting = self._chunk // 2 if group.stale else self._chunk * 2
        self._chunk = min(max(1, fitting), self.largest_chunk)

    def _fail_condemned(self, letter_id: int, group: Group, claimed: set[int]) -> None:
        """The letter's call took a group away, or kept it from being committed: it fails in its
        place of the order, without another call."""
        self._course.place += 1
        if letter_id in self._recovery.aside or letter_id in self._recovery.settled:
            return
        wanted = [] if letter_id in claimed else [letter_id]
        rows = self._store.fetch(wanted, inline=INLINE, verify=False)
        if rows:
            group.failed_with(rows[0], self._recovery.condemned[letter_id])
        else:
            group.skipped += 1


def _letters_of(group: Group) -> int:
    """Those of which it writes what became, and those to be called behind it."""
    return group.written + sum(map(len, group.next_calls))
