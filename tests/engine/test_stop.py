"""The request to stop: heard at once, also from a signal handler of the thread that sleeps."""

from __future__ import annotations

import signal
import threading
import time
from types import SimpleNamespace

import pytest

from azoth_dlq.engine import stop
from azoth_dlq.engine.stop import Stop

LONG = 30.0


@pytest.fixture(autouse=True, params=[True, False], ids=["a lock", "polls"])
def locks_keep_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they don't, none is waited for."""
    monkeypatch.setattr(stop, "locks_keep_time", lambda: request.param)
    if not request.param:
        monkeypatch.setattr(stop, "threading", SimpleNamespace(Lock=UnwaitedLock))


class UnwaitedLock:
    def acquire(self, timeout: float = -1) -> bool:
        assert timeout == -1
        return True

    def release(self) -> None:
        pass


def test_a_request_from_another_thread_ends_a_wait_at_once() -> None:
    stopping = Stop()
    threading.Timer(0.05, stopping.request).start()
    began = time.monotonic()
    stopping.wait(LONG)
    assert time.monotonic() - began < LONG / 2
    assert stopping.requested


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no interval timer")
def test_a_request_from_a_signal_handler_of_the_sleeping_thread_ends_its_wait() -> None:
    stopping = Stop()
    before = signal.signal(signal.SIGALRM, lambda *_: stopping.request())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        began = time.monotonic()
        stopping.wait(LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < LONG / 2


def test_once_requested_no_wait_sleeps_and_requests_may_be_repeated() -> None:
    stopping = Stop()
    stopping.request()
    stopping.request()
    began = time.monotonic()
    for _ in range(3):
        stopping.wait(LONG)
    assert time.monotonic() - began < LONG / 2


def test_every_waiting_thread_is_woken() -> None:
    stopping = Stop()
    waiters = [threading.Thread(target=stopping.wait, args=(LONG,), daemon=True) for _ in range(4)]
    for waiter in waiters:
        waiter.start()
    time.sleep(0.05)
    stopping.request()
    for waiter in waiters:
        waiter.join(LONG / 2)
    assert not any(waiter.is_alive() for waiter in waiters)


def test_a_wait_without_a_request_lasts_as_long_as_asked() -> None:
    stopping = Stop()
    began = time.monotonic()
    stopping.wait(0.05)
    assert time.monotonic() - began >= 0.05
    assert not stopping.requested
