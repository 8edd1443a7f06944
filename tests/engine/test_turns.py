"""When a drain leaves the file to others."""

from __future__ import annotations

from datetime import timedelta

import pytest

from azoth_dlq import DlqReplayConfig
from azoth_dlq.engine.phases import Phases
from azoth_dlq.engine.stop import Stop
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.engine.turns import Turns
from azoth_dlq.metrics import MetricsRecorder

# The turns of several drains, by the monotonic clock: each period of 0.82 s ends with 0.22 s.
PERIOD = 0.82
TURN = 0.22
START = 1000 * PERIOD + 1e-9


class Scenery:
    """A monotonic clock that moves by what is slept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: float | timedelta) -> None:
        self.now = START
        self.stop = Stop()
        monkeypatch.setattr("azoth_dlq.engine.turns.monotonic", lambda: self.now)
        monkeypatch.setattr("azoth_dlq.engine.turns.sleep", self.sleep)
        config = DlqReplayConfig(**settings)  # type: ignore[arg-type]  # of several types
        around = Surroundings(lambda: 0, self.sleep, self.stop, MetricsRecorder())
        self.turns = Turns(config, around, Phases())

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def take(self) -> float:
        """When the file was locked, after the start."""
        at = self.turns.take(lambda: self.now)
        self.turns.freed()
        return at - START


@pytest.fixture
def scenery(monkeypatch: pytest.MonkeyPatch) -> Scenery:
    return Scenery(monkeypatch)


@pytest.mark.parametrize("after", [0.0, 0.59, 0.61, 0.81])
def test_a_drain_alone_takes_the_file_at_any_time(scenery: Scenery, after: float) -> None:
    scenery.now += after
    assert scenery.take() == pytest.approx(after)


@pytest.mark.parametrize(
    ("after", "taken"), [(0.0, 0.0), (0.59, 0.59), (0.61, PERIOD), (0.81, PERIOD), (0.83, 0.83)]
)
def test_beside_others_it_waits_for_the_end_of_their_turn(
    scenery: Scenery, after: float, taken: float
) -> None:
    scenery.turns.meet(others=True)
    scenery.now += after
    assert scenery.take() == pytest.approx(taken, abs=0.006)


def test_when_the_others_are_gone_it_waits_no_more(scenery: Scenery) -> None:
    scenery.turns.meet(others=True)
    scenery.turns.meet(others=False)
    scenery.now += 0.7
    assert scenery.take() == pytest.approx(0.7)
    assert scenery.turns.end_of_group(scenery.now) == pytest.approx(scenery.now + 0.25)


def test_a_drain_that_is_to_yield_nothing_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    scenery = Scenery(monkeypatch, yield_time=0)
    scenery.turns.meet(others=True)
    scenery.now += 0.7
    assert scenery.take() == pytest.approx(0.7)


@pytest.mark.parametrize("yield_time", [0.001, 0.05, 2.0])
def test_the_turn_is_of_one_length_whatever_a_drain_is_to_yield(
    monkeypatch: pytest.MonkeyPatch, yield_time: float
) -> None:
    scenery = Scenery(monkeypatch, yield_time=yield_time)
    scenery.turns.meet(others=True)
    scenery.now += 0.61
    assert scenery.take() == pytest.approx(PERIOD, abs=0.006)


def test_a_shutdown_ends_the_wait_for_the_end_of_their_turn(scenery: Scenery) -> None:
    scenery.turns.meet(others=True)
    scenery.stop.request()
    scenery.now += 0.61
    assert scenery.take() == pytest.approx(0.61)


@pytest.mark.parametrize(
    ("after", "commit_seconds", "ends"),
    [
        (0.0, 0.0, 0.25),  # max_transaction_time
        (0.5, 0.0, PERIOD - TURN),
        (0.5, 0.04, PERIOD - TURN - 0.04),
        # A commit that is slower than a group may last: a group has its time, too.
        (0.5, 5.0, 0.65),
        (0.3, 5.0, 0.45),
        (0.59, 0.02, 0.61),
    ],
)
def test_beside_others_a_group_is_committed_before_their_turn(
    scenery: Scenery, after: float, commit_seconds: float, ends: float
) -> None:
    scenery.turns.meet(others=True)
    scenery.turns.commit_seconds = commit_seconds
    assert scenery.turns.end_of_group(START + after) - START == pytest.approx(ends)


def test_a_drain_leaves_the_file_after_a_second_of_held_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenery = Scenery(monkeypatch, yield_time=0.25)
    for held in (0.6, 0.3, 0.2):
        scenery.turns.give()
        scenery.turns.take(lambda: None)
        scenery.sleep(held)
        scenery.turns.freed()
    assert scenery.now == pytest.approx(START + 1.1)
    scenery.turns.give()
    assert scenery.now == pytest.approx(START + 1.1 + 0.25)


def test_between_two_groups_drains_let_one_another_in(scenery: Scenery) -> None:
    scenery.turns.meet(others=True)
    scenery.turns.take(lambda: None)
    scenery.turns.freed()
    scenery.turns.give()
    assert scenery.now > START
