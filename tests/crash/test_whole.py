"""Random histories of a file, by everything that may happen to it, against a model."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer, ReplayReport
from azoth_dlq.clock import EPOCH, MICROSECOND
from azoth_dlq.status import look
from tests.attacks import Attack
from tests.crash.clocks import WallClock
from tests.crash.faults import Fault, Forker, Journal, Outcome, Work, killed, killed_halfway
from tests.crash.model import BACKOFF, BATCH_SIZE, MAX_RETRIES, Letter, Model, Seen, Tally
from tests.crash.moods import HALF_HOUR, KINDS, Mood, Moods, effects_outside

STEP = "step of a random history"
ALL = 10**6  # letters
FARES = [
    *(Mood.SUCCEEDS, Mood.SUCCEEDS, Mood.FAILS),
    *(Mood.IS_HOPELESS, Mood.SNOOZES, Mood.RETRIES_LATER),
]
fares = st.lists(st.sampled_from(FARES), min_size=1, max_size=4)
interrupted = st.lists(st.sampled_from([*FARES, Mood.INTERRUPTS]), min_size=1, max_size=4)
deadly = st.lists(st.sampled_from([*FARES, Mood.DIES, Mood.DIES]), min_size=1, max_size=4)
picks = st.integers(0, 10**6)
jumps = st.sampled_from([-(10**6), -48, -2, 2, 4, 6, 48, 10**6])  # half hours, even


def _has(place: str) -> Callable[[Any], bool]:
    """Whether a history has letters there."""
    return lambda history: bool(history.model.of(place))


class World:
    """What outlives a history: where files are made and how, processes that drain, their clock."""

    def __init__(
        self, folder: Path, journal: Journal, forker: Forker, wall: WallClock, attack: Attack
    ) -> None:
        self.folder = folder
        self.journal = journal
        self.forker = forker
        self.wall = wall
        self.attack = attack


class History(RuleBasedStateMachine):
    """One file, what is done to it, and the model that says what must come of it."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.world.folder))
        self.path = self.folder / "projection.db"
        self.model = Model()
        self.began = datetime.now(UTC)
        self.moods = Moods(self.folder, [Mood.SUCCEEDS])
        # Letters called outside by a drain that was killed may have had their effect before.
        self.called_again: set[int] = set()

    @initialize(
        groups=st.booleans(), letters=st.lists(st.sampled_from(KINDS), min_size=2, max_size=8)
    )
    def begin(self, *, groups: bool, letters: list[str]) -> None:
        DeadLetterQueue.open(self.path).close()
        with self.other() as connection:
            connection.execute(f"PRAGMA journal_mode = {self.world.journal.mode}")
            connection.execute("CREATE TABLE effects (event_id INTEGER NOT NULL)")
        self.open(groups=groups)
        for kind in letters:
            self.add(kind, ours=True)

    def open(self, *, groups: bool) -> None:
        """`groups`: a transaction takes more letters than one."""
        self.settings: dict[str, Any] = {
            "backoff": f"fixed={BACKOFF * HALF_HOUR}",
            "min_age": 0,
            "max_retries": MAX_RETRIES,
            "batch_size": BATCH_SIZE,
            "stop_on_consecutive_failures": "never",
            "max_transaction_time": 10 if groups else 1e-6,
        }
        self.queue = DeadLetterQueue.open(self.path)
        self.queue.connection.execute("PRAGMA synchronous = OFF")
        self.replayer = self.new_replayer()

    def new_replayer(self, sleep: Callable[[float], None] | None = None) -> DlqReplayer:
        config = DlqReplayConfig.from_mapping(self.settings)
        return DlqReplayer(self.queue, self.moods.registry(), config, clock=self.clock, sleep=sleep)

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.queue.close()
        shutil.rmtree(self.folder)

    # Time, and what is drawn

    def now(self) -> datetime:
        return self.began + self.model.now * timedelta(seconds=HALF_HOUR)

    def clock(self) -> int:
        return (self.now() - EPOCH) // MICROSECOND

    def mood_of(self, letter_id: int) -> Mood:
        return self.moods.of(letter_id, self.model.letters[letter_id].kind)

    @contextmanager
    def other(self) -> Iterator[sqlite3.Connection]:
        """Another program's connection."""
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            yield connection

    def picked(self, place: str, pick: int) -> int:
        ids = self.model.of(place)
        return ids[pick % len(ids)]

    # What others do, and the verbs of the queue

    @rule(kind=st.sampled_from(KINDS), ours=st.booleans())
    def add(self, kind: str, *, ours: bool) -> None:
        letter_id, event = len(self.model.letters) + 1, f"{kind}:".encode()
        if ours:
            assert self.queue.add(letter_id, event, "boom") == letter_id
        else:
            with self.other() as connection:
                connection.execute(
                    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) "
                    "VALUES (?, ?, 'boom')",
                    (letter_id, event),
                )
        self.model.letters[letter_id] = Letter(kind=kind)

    @precondition(_has("waiting"))
    @rule(pick=picks, ours=st.booleans())
    def retry_elsewhere(self, pick: int, *, ours: bool) -> None:
        letter_id = self.picked("waiting", pick)
        if ours:
            assert self.queue.mark_retry(letter_id)
        else:
            with self.other() as connection:
                connection.execute(
                    "UPDATE dead_letter_queue SET retry_count = retry_count + 1, "
                    "last_retry_at = datetime('now') WHERE id = ?",
                    (letter_id,),
                )
        self.model.letters[letter_id] = self.model.letters[letter_id].counted_elsewhere()

    @precondition(_has("waiting"))
    @rule(pick=picks, ours=st.booleans())
    def discard(self, pick: int, *, ours: bool) -> None:
        letter_id = self.picked("waiting", pick)
        if ours:
            assert self.queue.discard([letter_id]) == 1
        else:
            with self.other() as connection:
                connection.execute("DELETE FROM dead_letter_queue WHERE id = ?", (letter_id,))
        self.model.discard(letter_id)

    @precondition(_has("parked"))
    @rule(pick=picks)
    def discard_parked(self, pick: int) -> None:
        letter_id = self.picked("parked", pick)
        assert self.queue.discard([self.parked_id(letter_id)], parked=True) == 1
        self.model.discard(letter_id)

    @precondition(_has("parked"))
    @rule(pick=picks)
    def requeue(self, pick: int) -> None:
        letter_id = self.picked("parked", pick)
        assert self.queue.requeue([self.parked_id(letter_id)]) == 1
        self.model.letters[letter_id] = self.model.letters[letter_id].requeued()

    def parked_id(self, letter_id: int) -> int:
        rows = self.queue.permanent_failures(ALL)
        return next(row.id for row in rows if row.dead_letter_id == letter_id)

    @rule(half_hours=jumps)
    def jump(self, half_hours: int) -> None:
        self.model.now = max(-(10**6), min(self.model.now + half_hours, 10**6)) | 1

    @rule(groups=st.booleans())
    def reopen(self, *, groups: bool) -> None:
        self.queue.close()
        self.open(groups=groups)

    # Drains

    @rule(moods=interrupted, waived=st.booleans())
    def drain(self, moods: list[Mood], *, waived: bool) -> None:
        self.moods.moods = moods
        report = None
        try:
            report = self.replayer.drain(now=waived)
        except KeyboardInterrupt:
            assert Mood.INTERRUPTS in moods
        self.check(report, self.drained(waived=waived))

    @rule(moods=fares)
    def cycle(self, moods: list[Mood]) -> None:
        self.moods.moods = moods
        self.check(self.replayer.run_replay_cycle(), self.drained(limit=BATCH_SIZE))

    @precondition(lambda self: self.model.letters)
    @rule(moods=fares, pick=picks)
    def replay(self, moods: list[Mood], pick: int) -> None:
        self.moods.moods = moods
        letter_id = 1 + pick % len(self.model.letters)
        is_there = letter_id in self.model.of("waiting")
        report = self.replayer.replay(letter_id)
        assert report.skipped == (not is_there)
        self.check(report, self.drained(ids=[letter_id]))

    @rule(moods=fares, rests=st.lists(st.tuples(st.integers(-2, 6), picks), max_size=3))
    def run(self, moods: list[Mood], rests: list[tuple[int, int]]) -> None:
        """While it rests, the clock goes on, by hours, and others add a letter or retry one."""
        self.moods.moods = moods
        left = iter(rests)

        def rest(_seconds: float) -> None:
            self.check(None, self.drained())
            for hours, pick in left:
                self.model.now += 2 * hours
                if pick % 2 and self.model.of("waiting"):
                    self.retry_elsewhere(pick // 2, ours=False)
                else:
                    self.add("within", ours=False)
                return
            replayer.shutdown()

        replayer = self.new_replayer(rest)
        replayer.run()

    # Other processes

    def work(self, moods: list[Mood]) -> Work:
        """For another process, at the same instant."""
        self.moods.moods = moods
        self.world.wall.stop(self.now())
        return Work(moods, self.settings)

    @rule(moods=fares)
    def drain_elsewhere(self, moods: list[Mood]) -> None:
        outcome = self.world.forker.drain(self.path, self.world.journal, work=self.work(moods))
        self.check(outcome.report(), self.drained())

    @rule(moods=fares, amid=st.booleans())
    def drain_here_and_elsewhere(self, moods: list[Mood], *, amid: bool) -> None:
        """At once, or (`amid`) the other one behind the first commit of the one here."""
        work = self.work(moods)
        others: list[Outcome] = []

        def progress(_report: ReplayReport) -> None:
            if amid and not others:
                others.append(self.world.forker.drain(self.path, self.world.journal, work=work))

        if not amid:
            self.world.forker.start(self.path, self.world.journal, work=work)
        here = self.replayer.drain(on_progress=progress).as_dict()
        if not amid:
            others.append(self.world.forker.outcome())
        told = [here, *(outcome.report() for outcome in others)]
        both = {name: sum(report[name] for report in told) for name in Tally.names()}
        self.check(both, self.drained())

    @rule(moods=deadly)
    def die_in_a_handler(self, moods: list[Mood]) -> None:
        self.crash(moods, None)

    @rule(moods=fares, at=st.integers(1, 60), how=st.sampled_from([killed, killed_halfway]))
    def die_at_a_change(self, moods: list[Mood], at: int, how: Callable[[int], Fault]) -> None:
        self.crash(moods, how(at))

    def crash(self, moods: list[Mood], fault: Fault | None) -> None:
        work = self.work(moods)
        outcome = self.world.forker.drain(self.path, self.world.journal, fault=fault, work=work)
        if outcome.status == 0:
            self.check(outcome.report(), self.drained())
            return
        assert outcome.status == -signal.SIGKILL, outcome
        due = self.model.due()
        self.called_again |= {i for i in due if self.model.letters[i].kind == "outside"}
        self.model = self.model.crashed(self.mood_of, self.seen(), by_handler=fault is None)

    # What must hold

    def drained(self, **how: Any) -> list[tuple[Model, Tally]]:
        """Each way in which a drain may have gone."""
        victims = self.model.victims()
        return [self.model.drained(self.mood_of, victim=victim, **how) for victim in victims]

    def check(
        self, report: ReplayReport | dict[str, Any] | None, ways: list[tuple[Model, Tally]]
    ) -> None:
        """The file is as one of the ways has it, and the report, where there is one."""
        seen = self.seen()
        told = report.as_dict() if isinstance(report, ReplayReport) else report
        figures = None if told is None else {name: told[name] for name in Tally.names()}
        for model, tally in ways:
            if model.seen() == seen and figures in (None, asdict(tally)):
                self.model = model
                return
        raise AssertionError([(figures, tally, model.unlike(seen)) for model, tally in ways])

    def seen(self) -> dict[int, Seen]:
        """Errors: AssertionError where a letter is in two places."""
        with self.other() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            effects = Counter(e for (e,) in connection.execute("SELECT event_id FROM effects"))
            left = dict(connection.execute("SELECT id, retry_count FROM dead_letter_queue"))
        letters = {letter.id: letter for letter in self.queue.letters(ALL)}
        parked = {row.dead_letter_id or 0: row for row in self.queue.permanent_failures(ALL)}
        assert left == {i: letter.retry_count for i, letter in letters.items()}
        assert len(parked) == self.queue.permanent_failure_count()
        assert not letters.keys() & parked.keys()
        seen = {i: Seen("gone", effects=effects[i]) for i in self.model.letters}
        for i, letter in letters.items():
            recorded = len(self.queue.history(i))
            is_put_off = letter.not_before is not None
            seen[i] = Seen("waiting", letter.retry_count, is_put_off, recorded, effects[i])
        for i, row in parked.items():
            recorded = len(self.queue.history(row.id, parked=True))
            seen[i] = Seen("parked", row.retry_count, False, recorded, effects[i])  # noqa: FBT003 -- the columns are in this order
        return seen

    @invariant()
    def is_as_the_model_has_it(self) -> None:
        self.world.attack.struck(STEP)
        assert self.model.seen() == self.seen(), self.model.unlike(self.seen())
        waiting = [self.model.letters[i] for i in self.model.of("waiting")]
        status = look(self.queue.store, self.replayer.config, self.clock())
        assert status.dead_letters == self.queue.count() == len(waiting)
        assert status.permanent_failures == len(self.model.of("parked"))
        assert status.due == len(self.model.due())
        assert status.exhausted == sum(letter.is_exhausted for letter in waiting)
        assert status.not_due == len(waiting) - status.due - status.exhausted
        assert status.by_retry_count == Counter(letter.attempts for letter in waiting)
        assert not status.draining

    @invariant()
    def what_is_done_outside_is_done_once(self) -> None:
        calls = Counter(map(int, effects_outside(self.folder)))
        done = {i for i in self.model.of("done") if self.model.letters[i].kind == "outside"}
        assert done <= calls.keys()
        for i in calls.keys() - self.called_again:
            assert (calls[i], i in done) == (1, True)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_whatever_happens_to_a_file_each_letter_is_in_one_place_and_done_once(
    shim: Path, tmp_path: Path, attack: Attack, mode: str
) -> None:
    wall = WallClock(tmp_path / "clock", shim)
    with Forker(shim, wall.environment) as forker:

        class OfThisWorld(History):
            world = World(tmp_path, Journal(mode), forker, wall, attack)

        run_state_machine_as_test(
            OfThisWorld,
            settings=settings(
                max_examples=attack.size(15, long=400),
                stateful_step_count=attack.size(20, long=50),
                derandomize=not attack.is_long,
                # A short history tells what went wrong; to shrink it would take minutes.
                phases=[Phase.generate, *([Phase.shrink] if attack.is_long else [])],
                report_multiple_bugs=False,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
