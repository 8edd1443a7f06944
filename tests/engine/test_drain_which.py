"""A drain of some letters: those that fit when it begins, and no others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from azoth_dlq import ConfigError, LetterFilter
from tests.conftest import Scene

JUST_NOW = "2026-11-24T11:59:59Z"


def test_those_that_fit_are_attempted_and_no_others(scene: Scene) -> None:
    first, second, third = (scene.letter() for _ in range(3))
    scene.letter("fails")
    report = scene.replay().drain(LetterFilter(ids=[first, third, 99], event_type="ok"))
    assert (report.succeeded, report.attempted, report.remaining) == (2, 2, 0)
    assert sorted(scene.effects()) == [first, third]
    assert second in scene.left()


def test_what_is_not_due_waits_unless_it_is_waived(scene: Scene) -> None:
    due, waiting = scene.letter(), scene.letter(retry_count=1, last_retry_at=JUST_NOW)
    other = scene.letter(error="other", retry_count=1, last_retry_at=JUST_NOW)
    which = LetterFilter(error="boom")
    report = scene.replay().drain(which)
    assert (report.succeeded, report.waiting) == (1, 1)
    assert sorted(scene.left()) == [waiting, other]
    assert scene.replay().drain(which, now=True).succeeded == 1
    assert scene.left() == [other]
    assert due


def test_what_arrives_meanwhile_is_not_attempted(scene: Scene) -> None:
    scene.letter("adds")

    @scene.registry.handler("adds")
    def adds(_conn: Any, event_id: int, _payload: bytes) -> None:
        scene.queue.add(event_id, b"ok:later", "boom")

    report = scene.replay(min_age=0).drain(LetterFilter(error="boom"), now=True)
    assert (report.succeeded, scene.queue.count()) == (1, 1)


def test_a_letter_that_fits_no_more_when_its_turn_comes_is_skipped_if_it_is_gone(
    scene: Scene,
) -> None:
    letters = [scene.letter("first"), scene.letter()]

    @scene.registry.handler("first")
    def first(*_: Any) -> None:
        scene.queue.remove(letters[1])

    report = scene.replay().drain(LetterFilter(ids=letters))
    assert (report.succeeded, report.skipped, scene.effects()) == (1, 1, [])


def test_what_is_due_is_told_by_the_replayers_own_settings(scene: Scene) -> None:
    scene.letter(retry_count=7)
    assert scene.replay(max_retries=5).drain(LetterFilter(due=True)).attempted == 0
    assert scene.replay(max_retries=9).drain(LetterFilter(due=True), now=True).attempted == 1


def test_a_drain_that_an_event_loop_awaits_takes_some_too(scene: Scene) -> None:
    first, second = scene.letter(), scene.letter()
    report = asyncio.run(scene.replay().drain_async(LetterFilter(ids=[second])))
    assert (report.succeeded, scene.left()) == (1, [first])


@pytest.mark.parametrize("which", ["ok", [1], 1])
def test_only_a_filter_says_which(scene: Scene, which: Any) -> None:
    with pytest.raises(ConfigError, match=r"^which=.*must be a LetterFilter or None"):
        scene.replay().drain(which)


def test_permanent_failures_are_not_drained(scene: Scene) -> None:
    with pytest.raises(ConfigError, match=r"^parked=True: must be False or None here"):
        scene.replay().drain(LetterFilter(parked=True))
