"""What becomes of letters, as a few lines that keep nothing in a file.

Instants are half hours since a history began. Letters fail at 0, by the clock of whoever adds them;
the clock of drains stands at odd instants, so that no letter is due just then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal, NamedTuple

from tests.crash.moods import RETRY_AFTER, SNOOZE, Mood

MAX_RETRIES = 3
BACKOFF = 2
BATCH_SIZE = 3  # of a cycle

MoodOf = Callable[[int], Mood]


class Seen(NamedTuple):
    """What a file tells of a letter."""

    place: Literal["waiting", "parked", "gone"]
    attempts: int = 0
    is_put_off: bool = False
    recorded: int = 0  # attempts in the history
    effects: int = 0  # in the file


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One at an instant. `until`: what its handler asked for, in place of the backoff."""

    kind: str
    place: Literal["waiting", "parked", "done", "discarded"] = "waiting"
    attempts: int = 0
    base: int = 0
    until: int | None = None
    recorded: int = 0

    @property
    def is_exhausted(self) -> bool:
        return self.attempts >= MAX_RETRIES

    def is_due(self, now: int) -> bool:
        return not self.is_exhausted and now >= self.due_at

    @property
    def due_at(self) -> int:
        return self.base + BACKOFF if self.until is None else self.until

    def seen(self) -> Seen:
        if self.place == "waiting":
            return Seen("waiting", self.attempts, self.until is not None, self.recorded)
        if self.place == "parked":
            return Seen("parked", self.attempts, recorded=self.recorded)
        return Seen("gone", effects=int(self.place == "done" and self.kind != "outside"))

    # What happens to it

    def attempted(self, mood: Mood, now: int) -> Letter:
        recorded = replace(self, recorded=self.recorded + 1)
        match mood:
            case Mood.SUCCEEDS:
                return replace(self, place="done")
            case Mood.SNOOZES:
                return replace(recorded, until=now + SNOOZE)
            case Mood.IS_HOPELESS:
                return replace(recorded, place="parked", attempts=self.attempts + 1)
            case Mood.RETRIES_LATER:
                return recorded.charged(now, until=now + RETRY_AFTER)
        return recorded.charged(now)

    def died(self, now: int) -> Letter:
        return replace(self, recorded=self.recorded + 1).charged(now)

    def charged(self, base: int, until: int | None = None) -> Letter:
        """With one attempt more."""
        spent = replace(self, attempts=self.attempts + 1, base=base, until=until)
        return replace(spent, place="parked") if spent.is_exhausted else spent

    def counted_elsewhere(self) -> Letter:
        """As another program does it, which parks nothing."""
        return replace(self, attempts=self.attempts + 1, base=0, until=None)

    def requeued(self) -> Letter:
        return Letter(kind=self.kind, recorded=self.recorded)


@dataclass
class Tally:
    """What a report tells."""

    succeeded: int = 0
    failed: int = 0
    snoozed: int = 0
    parked: int = 0
    exhausted: int = 0

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]

    def count(self, before: Letter, mood: Mood | None, after: Letter) -> None:
        self.succeeded += mood is Mood.SUCCEEDS
        self.snoozed += mood is Mood.SNOOZES
        self.failed += mood not in (Mood.SUCCEEDS, Mood.SNOOZES)
        self.parked += before.place != after.place == "parked"


@dataclass
class Model:
    """Letters by id. `owed`: whose handler's death is to be charged; `suspects`: of whom one may
    have been in hand when its process died."""

    letters: dict[int, Letter] = field(default_factory=dict)
    now: int = 3
    owed: int | None = None
    suspects: frozenset[int] = frozenset()

    def of(self, place: str) -> list[int]:
        return [i for i, letter in self.letters.items() if letter.place == place]

    def due(self, *, waived: bool = False) -> list[int]:
        """In the order in which they are attempted."""
        waiting = [(self.letters[i].attempts, i) for i in self.of("waiting")]
        return [
            i
            for _, i in sorted(waiting)
            if (not self.letters[i].is_exhausted if waived else self.letters[i].is_due(self.now))
        ]

    def seen(self) -> dict[int, Seen]:
        return {i: letter.seen() for i, letter in self.letters.items()}

    def discard(self, letter_id: int) -> None:
        self.letters[letter_id] = replace(self.letters[letter_id], place="discarded")

    def unlike(self, seen: dict[int, Seen]) -> dict[int, tuple[Seen, Seen | None]]:
        """What is to be seen of a letter, and what is, where they differ."""
        expected = self.seen()
        ids = sorted(expected.keys() | seen.keys())
        return {i: (expected[i], seen.get(i)) for i in ids if expected.get(i) != seen.get(i)}

    def victims(self) -> Sequence[int | None]:
        """Of whom one may be charged with a death by the next drain."""
        return (self.owed,) if self.owed is not None else (None, *sorted(self.suspects))

    def drained(
        self,
        mood_of: MoodOf,
        *,
        waived: bool = False,
        limit: int | None = None,
        ids: Iterable[int] | None = None,
        victim: int | None = None,
    ) -> tuple[Model, Tally]:
        """What a drain makes of it; `ids`: of these letters alone, due or not."""
        after, tally = Model({**self.letters}, self.now, self.owed, self.suspects), Tally()
        wanted = self.of("waiting") if ids is None else [i for i in ids if i in self.of("waiting")]
        exhausted = [i for i in wanted if self.letters[i].is_exhausted]
        due = [i for i in self.due(waived=waived or ids is not None) if i in wanted]
        if not (exhausted or due):
            return after, tally
        after.owed, after.suspects = None, frozenset()
        if victim is not None and self.letters[victim].place == "waiting":
            after.letters[victim] = self.letters[victim].died(self.now)
            tally.count(self.letters[victim], None, after.letters[victim])
            due = [i for i in due if i != victim or (ids and victim in after.of("waiting"))]
        for i in exhausted:
            if after.letters[i].place == "waiting":
                after.letters[i] = replace(after.letters[i], place="parked")
                tally.parked += 1
                tally.exhausted += 1
        # A death that is charged is one of a cycle's attempts.
        for i in due if limit is None else due[: limit - tally.failed]:
            mood, before = mood_of(i), after.letters[i]
            if mood is Mood.INTERRUPTS:
                break
            after.letters[i] = before.attempted(mood, self.now)
            tally.count(before, mood, after.letters[i])
        return after, tally

    def crashed(self, mood_of: MoodOf, seen: dict[int, Seen], *, by_handler: bool) -> Model:
        """What a drain that was killed has made of it, as far as it came, which is `seen`.
        `by_handler`: in the first call that dies. Errors: AssertionError where none makes that."""
        order = [i for i in self.due() if i != self.owed]
        death = None  # where it is certain
        if by_handler and not self.suspects:
            death = next(i for i in order if mood_of(i) is Mood.DIES)
        reached = order if death is None else order[: order.index(death)]
        after = Model({**self.letters}, self.now)
        for i, before in self.letters.items():
            ways = [before]
            if before.place == "waiting" and before.is_exhausted:
                ways.append(replace(before, place="parked"))
            if i in reached:
                ways.append(before.attempted(mood_of(i), self.now))
            if before.place == "waiting" and i in self.victims():
                ways.append(before.died(self.now))
            fitting = [way for way in ways if way.seen() == seen[i]]
            assert fitting, (i, ways, seen[i])
            after.letters[i] = fitting[0]
        changed = {i for i, letter in self.letters.items() if after.letters[i] != letter}
        unchanged = frozenset(order) - changed
        if self.owed in self.of("waiting") and self.owed not in changed:
            assert not changed, "a death is charged before anything else is done"
            after.owed = self.owed
        elif death is None:
            after.suspects = unchanged | (self.suspects - changed)
        elif self.letters[death].kind == "batch":
            after.suspects = frozenset(i for i in unchanged if self.letters[i].kind == "batch")
        else:
            after.owed = death
        return after
