"""The request to stop: heard at once, also from a signal handler of the thread that sleeps."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from azoth_dlq.engine.stop import Stop

LONG = 30.0


def test_a_request_from_another_thread_ends_a_wait_at_once() -> None:
    stop = Stop()
    threading.Timer(0.05, stop.request).start()
    began = time.monotonic()
    stop.wait(LONG)
    assert time.monotonic() - began < LONG / 2
    assert stop.requested


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no interval timer")
def test_a_request_from_a_signal_handler_of_the_sleeping_thread_ends_its_wait() -> None:
    stop = Stop()
    before = signal.signal(signal.SIGALRM, lambda *_: stop.request())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        began = time.monotonic()
        stop.wait(LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < LONG / 2


def test_once_requested_no_wait_sleeps_and_requests_may_be_repeated() -> None:
    stop = Stop()
    stop.request()
    stop.request()
    began = time.monotonic()
    for _ in range(3):
        stop.wait(LONG)
    assert time.monotonic() - began < LONG / 2


def test_every_waiting_thread_is_woken() -> None:
    stop = Stop()
    waiters = [threading.Thread(target=stop.wait, args=(LONG,), daemon=True) for _ in range(4)]
    for waiter in waiters:
        waiter.start()
    time.sleep(0.05)
    stop.request()
    for waiter in waiters:
        waiter.join(LONG / 2)
    assert not any(waiter.is_alive() for waiter in waiters)


def test_a_wait_without_a_request_lasts_as_long_as_asked() -> None:
    stop = Stop()
    began = time.monotonic()
    stop.wait(0.05)
    assert time.monotonic() - began >= 0.05
    assert not stop.requested
