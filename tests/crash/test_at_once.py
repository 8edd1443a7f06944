"""Handlers that ask another system, many at once, in processes that are killed, are ended, or drain
beside one another."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from tests.attacks import Attack
from tests.crash.asking import AT_ONCE, CLAIMED, Drain, Kills, Scene
from tests.crash.at_once import TIMEOUT_SECONDS
from tests.crash.http_server import HttpServer, until
from tests.crash.processes import NEEDS_SIGKILL, DlqFile

NEEDS_SIGTERM = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows delivers no SIGTERM to handlers"
)
KINDS = pytest.mark.parametrize("kind", ["thread", "task"])
SOON = 20.0  # seconds: far less than a process waits for an answer, also on a busy machine


@pytest.fixture
def scene(dlq_file: DlqFile) -> Iterator[Scene]:
    with HttpServer() as server:
        yield Scene(dlq_file, server)


# What handlers meet

WAITED = {"thread": "timed out", "task": "no answer within 0.5 s"}
GIVEN_UP = f"the handler took longer than its timeout of {TIMEOUT_SECONDS:g} s, and "
GIVEN_UP_HOW = {"thread": "was left behind in its thread", "task": "was cancelled"}


@KINDS
@pytest.mark.parametrize("whose", ["the client's timeout", "the registered timeout"])
def test_calls_that_are_refused_or_reset_or_hang_cost_their_own_letters(
    scene: Scene, kind: str, whose: str
) -> None:
    hangs, error = f"{kind}:hang 0.5", f"TimeoutError: {WAITED[kind]}"
    lost = 0
    if whose == "the registered timeout":
        hangs, error = f"bounded_{kind}:hang", f"TimeoutError: {GIVEN_UP}{GIVEN_UP_HOW[kind]}"
        lost = 4 * (kind == "thread")
    good, bad = [f"{kind}:ok"] * 30, [f"{kind}:unavailable"] * 2 + [f"{kind}:reset"] * 2 + [hangs]
    events = (good + bad) * 4
    letters = dict(zip(scene.file.add(*events), events, strict=True))
    scene.server.hold()
    drain = scene.start()
    until(lambda: scene.hands_are_full(drain))
    scene.server.release()
    report = drain.program.report()
    counts = [report[name] for name in ("succeeded", "failed", "lost", "remaining", "skipped")]
    assert counts == [120, 20, lost, 0, 0]
    failed = [letter for letter, event in letters.items() if event in bad]
    assert scene.file.charges() == dict.fromkeys(failed, 1)
    assert scene.file.left() == failed
    # Where the machine stands still, the time of one that hangs is up before it asks.
    assert set(scene.begun().values()) == {1}
    assert scene.begun().keys() >= {i for i, event in letters.items() if event != hangs}
    assert scene.answered() == set(letters) - set(failed)
    assert scene.server.overlaps == []
    assert AT_ONCE <= scene.server.most_at_once[0] <= AT_ONCE + lost
    told = {
        f"{kind}:unavailable": "UnavailableError: the server answered 503",
        f"{kind}:reset": "ConnectionResetError: ",
        hangs: error,
    }
    for letter, text in scene.file.query("SELECT id, azoth_last_error FROM dead_letter_queue"):
        assert told[letters[letter]] in text


@pytest.mark.parametrize(
    ("where", "until_then"),
    [
        ("registered", "the thread"),
        ("in the settings", "the process"),
        ("registered", "a killed process"),
    ],
)
def test_a_handler_left_behind_keeps_its_letter_until_it_is_over(
    scene: Scene, where: str, until_then: str
) -> None:
    kind, timeout = ("bounded_thread", "never") if where == "registered" else ("thread", 1)
    (letter,) = scene.file.add(f"{kind}:ok")
    scene.server.hold()
    first = scene.start("drained", timeout=timeout)
    first.program.wait_for("drained")
    (words,) = map(json.loads, (line for line in first.program.said if line.startswith("{")))
    counts = [words["report"][name] for name in ("failed", "lost", "parked", "remaining")]
    assert counts == [1, 1, 0, 0]
    for _ in range(2):
        report = scene.drain(now=True)
        assert [report[name] for name in ("attempted", "skipped")] == [0, 1]
    until(lambda: scene.begun() == {letter: 1})
    assert (scene.file.charges(), scene.claims()) == ({letter: 1}, [letter])
    if until_then == "the process":
        scene.file.let_go("go")
        assert first.program.wait() == 0
    elif until_then == "a killed process":
        first.program.kill()
    scene.server.release()
    until(lambda: not scene.server.open_of(first.number))
    if until_then == "the thread":
        until(lambda: not scene.beside())
    report = scene.drain()
    # No death is charged: that the handler failed is written.
    assert [report[name] for name in ("succeeded", "failed", "skipped")] == [1, 0, 0]
    assert scene.begun() == {letter: 2}
    assert scene.file.left() == scene.server.overlaps == []


# Processes that are killed


@NEEDS_SIGKILL
@pytest.mark.parametrize(
    "kinds", [["thread"], ["task"], ["thread", "task"]], ids=["thread", "task", "both"]
)
def test_drains_killed_at_random_instants_charge_the_letters_that_were_called(
    scene: Scene, attack: Attack, kinds: list[str]
) -> None:
    count = attack.size(1, long=200)
    kills, struck = Kills(scene, kinds), 0
    while struck < count or not kills.were_full:
        kills.have_letters(200)
        struck += kills.strike()
    attack.struck("SIGKILL at a random instant of 16 calls at once", struck)
    kills.finish()
    assert scene.answered() == set(kills.letters)
    assert scene.file.parked() == {}
    assert scene.server.overlaps == []
    assert scene.server.most_at_once[0] == AT_ONCE
    # The next drain removes what the last one that was killed has left beside the file.
    scene.file.add(f"{kinds[0]}:ok")
    assert scene.drain()["succeeded"] == 1
    scene.assert_nothing_is_left()


# Processes that are ended in good order


@NEEDS_SIGTERM
@KINDS
def test_sigterm_gives_back_what_is_claimed_ahead_and_lets_calls_end(
    scene: Scene, kind: str
) -> None:
    letters = scene.file.add(*[f"{kind}:ok"] * 100)
    scene.server.hold()
    drain = scene.start(is_command=True)
    until(lambda: scene.hands_are_full(drain) and len(scene.claims()) == CLAIMED)
    in_hand = sorted(scene.begun())
    drain.program.interrupt(signal.SIGTERM)
    until(lambda: len(scene.claims()) == AT_ONCE)
    assert scene.claims() == in_hand
    assert scene.file.left() == letters
    assert not drain.program.has_ended
    scene.server.release()
    began = time.monotonic()
    assert drain.program.wait() == 0
    assert time.monotonic() - began < SOON
    assert scene.begun() == dict.fromkeys(in_hand, 1)
    assert scene.answered() == set(in_hand)
    assert scene.file.left() == sorted(set(letters) - set(in_hand))
    assert scene.file.charges() == {}
    scene.assert_nothing_is_left()


@NEEDS_SIGTERM
@KINDS
def test_drains_ended_at_random_instants_call_each_letter_once(
    scene: Scene, attack: Attack, kind: str
) -> None:
    ends = attack.size(1, long=100)
    chance = random.Random(AT_ONCE)
    letters: list[int] = []
    for _ in range(ends):
        letters += scene.file.add(*[f"{kind}:ok"] * (200 - len(scene.file.left())))
        before = set(scene.file.left())
        drain = scene.start(is_command=True)
        until(lambda drain=drain: scene.begun(drain))  # type: ignore[misc]  # it is inferred
        time.sleep(chance.uniform(0, 0.15))
        drain.program.interrupt(signal.SIGTERM)
        began = time.monotonic()
        assert drain.program.wait() == 0
        assert time.monotonic() - began < SOON
        attack.struck("SIGTERM at a random instant of 16 calls at once")
        assert before - set(scene.file.left()) == scene.answered(drain) == set(scene.begun(drain))
        assert scene.file.charges() == {}
        scene.assert_nothing_is_left()
    scene.drain()
    assert scene.begun() == dict.fromkeys(letters, 1)
    assert scene.answered() == set(letters)
    assert scene.server.most_at_once[0] <= AT_ONCE
    assert scene.file.left() == scene.server.overlaps == []


# Processes beside one another


def _two_with_full_hands(scene: Scene) -> tuple[Drain, Drain]:
    scene.server.hold()
    first, second = scene.start(), scene.start()
    until(lambda: scene.hands_are_full(first) and scene.hands_are_full(second))
    return first, second


def test_two_drains_of_a_file_call_each_letter_once(scene: Scene) -> None:
    letters = scene.file.add(*["thread:ok", "task:ok"] * 150)
    drains = _two_with_full_hands(scene)
    scene.server.release()
    reports = [drain.program.report() for drain in drains]
    assert sum(report["succeeded"] for report in reports) == len(letters)
    assert [report["failed"] for report in reports] == [0, 0]
    assert scene.begun() == dict.fromkeys(letters, 1)
    assert scene.answered() == set(letters)
    assert [scene.server.most_at_once[n] for n in (0, 1, 2)] == [2 * AT_ONCE, AT_ONCE, AT_ONCE]
    assert scene.file.left() == scene.server.overlaps == []
    scene.assert_nothing_is_left()


@NEEDS_SIGKILL
def test_of_two_drains_the_letters_of_the_one_that_is_killed_alone_are_called_again(
    scene: Scene,
) -> None:
    letters = scene.file.add(*["thread:ok", "task:ok"] * 150)
    survivor, victim = _two_with_full_hands(scene)
    scene.server.release(100)
    until(lambda: len(scene.answered()) == 100)
    until(lambda: scene.hands_are_full(survivor) and scene.hands_are_full(victim))
    victim.program.kill()
    scene.server.release()
    report = survivor.program.report()
    scene.server.settle(victim.number)
    left, claims = scene.file.left(), scene.claims()
    assert report["succeeded"] == len(scene.begun(survivor)) == len(scene.answered(survivor))
    assert not scene.begun(survivor).keys() & set(left)
    assert claims == left
    owed = scene.begun(victim).keys() & set(left)
    assert len(owed) >= AT_ONCE
    assert scene.answered(victim) - owed
    later = scene.drain()
    charged = scene.file.charges()
    assert owed <= charged.keys()
    assert set(charged.values()) == {1}
    assert len(charged.keys() - owed) <= AT_ONCE
    assert (later["failed"], later["succeeded"]) == (len(charged), len(left) - len(charged))
    assert scene.drain()["succeeded"] == len(charged)
    assert scene.begun() == {letter: 1 + (letter in owed) for letter in letters}
    assert scene.answered() == set(letters)
    assert scene.file.left() == scene.server.overlaps == []
    scene.assert_nothing_is_left()
