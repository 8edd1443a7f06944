"""At most so many attempts a second, of whatever kind."""

from __future__ import annotations

import threading
import time

import pytest

from azoth_dlq import ConfigError
from azoth_dlq.engine.rate import Rate
from tests.conftest import Scene
from tests.engine.at_once import KINDS, AtOnce, InBatches, at_once, in_batches, meanwhile, until

with_kinds = pytest.mark.parametrize("kind", ["transactional", "in turn", *KINDS])


class Recorder:
    """When each letter was attempted."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def __call__(self, _event_id: int) -> None:
        self.at.append(time.monotonic())

    def most_within(self, seconds: float) -> int:
        at = sorted(self.at)
        return max(sum(1 for t in at if start <= t < start + seconds) for start in at)


def register(scene: Scene, kind: str, recorder: Recorder) -> int:
    """The concurrency of its drain."""
    if kind in KINDS:
        at_once(scene, kind, recorder)
        return 8
    scene.registry.register(
        "outside",
        lambda _conn, event_id, _payload: recorder(event_id),
        transactional=kind == "transactional",
    )
    return 1


@with_kinds
def test_no_more_are_attempted_than_the_rate_allows(scene: Scene, kind: str) -> None:
    recorder = Recorder()
    concurrency = register(scene, kind, recorder)
    for _ in range(60):
        scene.letter("outside")
    began = time.monotonic()
    report = scene.drain(concurrency=concurrency, rate_limit=100)
    took = time.monotonic() - began
    assert report.succeeded == 60
    # The bucket holds a tenth of a second's attempts.
    assert took >= (60 - 10) / 100 * 0.95
    assert recorder.most_within(0.25) <= 0.25 * 100 + 10 + 1
    assert took < 15


@with_kinds
def test_a_slow_rate_is_one_after_the_other(scene: Scene, kind: str) -> None:
    recorder = Recorder()
    concurrency = register(scene, kind, recorder)
    for _ in range(4):
        scene.letter("outside")
    assert scene.drain(concurrency=concurrency, rate_limit=8).succeeded == 4
    gaps = [after - before for before, after in zip(recorder.at, recorder.at[1:], strict=False)]
    assert min(gaps) > 0.12 * 0.8
    assert recorder.at[-1] - recorder.at[0] >= 3 / 8 * 0.95


def test_it_is_one_rate_for_all_handlers_of_a_drain(scene: Scene) -> None:
    recorder = Recorder()
    at_once(scene, "thread", recorder, name="threads")
    at_once(scene, "task", recorder, name="tasks")
    scene.registry.register("inside", lambda _conn, event_id, _payload: recorder(event_id))
    for _ in range(20):
        for name in ("threads", "tasks", "inside"):
            scene.letter(name)
    began = time.monotonic()
    assert scene.drain(concurrency=8, rate_limit=120).succeeded == 60
    assert time.monotonic() - began >= (60 - 12) / 120 * 0.95
    assert recorder.most_within(0.25) <= 0.25 * 120 + 12 + 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_counts_as_many_attempts_as_it_has_letters(scene: Scene, kind: str) -> None:
    handler = in_batches(scene, kind, InBatches(lambda _: None))
    for _ in range(200):
        scene.letter("outside")
    began = time.monotonic()
    assert scene.drain(concurrency=4, rate_limit=400).succeeded == 200
    # What the bucket held at first, and the last batch, which one token lets begin.
    assert time.monotonic() - began >= (200 - 2 * 40) / 400 * 0.95
    assert max(map(len, handler.batches)) <= 40


def test_the_rate_can_be_changed_while_it_drains(scene: Scene) -> None:
    recorder = Recorder()
    handler: AtOnce = at_once(scene, "thread", recorder)
    for _ in range(300):
        scene.letter("outside")
    replayer = scene.replay(concurrency=4, rate_limit=0.01)
    assert replayer.rate_limit == 0.01

    def watch() -> None:
        until(lambda: len(handler.began) == 1)
        time.sleep(0.1)
        assert len(handler.began) == 1
        replayer.rate_limit = 1000
        until(lambda: len(handler.began) > 100)
        replayer.rate_limit = None

    with meanwhile(watch):
        assert replayer.drain().succeeded == 300
    assert replayer.rate_limit is None
    with pytest.raises(ConfigError, match="rate_limit="):
        replayer.rate_limit = 0


@with_kinds
def test_a_shutdown_does_not_wait_for_the_rate(scene: Scene, kind: str) -> None:
    recorder = Recorder()
    concurrency = register(scene, kind, recorder)
    for _ in range(10):
        scene.letter("outside")
    replayer = scene.replay(concurrency=concurrency, rate_limit=0.01)

    def watch() -> None:
        until(lambda: recorder.at)
        replayer.shutdown()

    began = time.monotonic()
    with meanwhile(watch):
        report = replayer.drain()
    assert time.monotonic() - began < 10
    assert (report.stopped, report.succeeded, report.remaining) == ("shutdown", 1, 9)


def test_a_bucket_that_is_not_emptied_holds_no_more_than_a_tenth_of_a_second() -> None:
    rate = Rate(1000)
    assert rate.available() == 1
    time.sleep(0.3)
    assert rate.available() == 100
    rate.take(100)
    assert rate.available() < 100
    slow = Rate(0.5)
    slow.take(1)
    assert 1.9 < slow.wait() <= 2
    assert not slow.try_to_take(1)
    slow.a_second = None
    assert (slow.wait(), slow.try_to_take(50), slow.is_limited) == (0, True, False)
    # What was attempted without a limit is no debt when there is one again.
    slow.take(5000)
    slow.a_second = 50
    assert slow.wait() < 0.05


def test_any_thread_may_take_from_it() -> None:
    rate, taken = Rate(200), []

    def work() -> None:
        until_ = time.monotonic() + 0.5
        while time.monotonic() < until_:
            if rate.try_to_take(1):
                taken.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 60 <= len(taken) <= 0.6 * 200 + 20
