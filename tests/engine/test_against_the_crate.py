"""Where the Rust crate azoth 0.2.5 goes wrong, and this package must not."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    ConfigError,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    ReplayPriority,
)
from tests.conftest import DATA, NOW, Scene
from tests.engine.deaths import die_in_the_handler_of


def _seconds_ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="microseconds")


@pytest.mark.parametrize("attempt", [32, 40, 63, 64, 1000, 2**63 - 1])
def test_the_exponential_delay_of_late_attempts_is_the_longest(scene: Scene, attempt: int) -> None:
    backoff = BackoffStrategy.exponential(10, 3600)
    assert backoff.calculate(attempt) == timedelta(hours=1)
    if attempt < 2**31 - 1:
        scene.letter(retry_count=attempt, last_retry_at=_seconds_ago(3599))
        assert scene.drain(backoff=backoff, max_retries=2**31 - 1).waiting == 1


@pytest.mark.parametrize("attempt", [46, 47, 48, 93, 94, 2**63 - 1])
def test_the_fibonacci_delay_of_late_attempts_is_the_longest(scene: Scene, attempt: int) -> None:
    backoff = BackoffStrategy.fibonacci(1, 3600)
    assert backoff.calculate(attempt) == timedelta(hours=1)
    if attempt < 2**31 - 1:
        scene.letter(retry_count=attempt, last_retry_at=_seconds_ago(3599))
        assert scene.drain(backoff=backoff, max_retries=2**31 - 1).waiting == 1


@pytest.mark.parametrize("make", [BackoffStrategy.exponential, BackoffStrategy.fibonacci])
def test_no_later_attempt_waits_less(
    make: Callable[[timedelta, timedelta], BackoffStrategy],
) -> None:
    """Also where no maximum hides a factor of more than 32 bits."""
    backoff = make(timedelta(microseconds=1), timedelta.max)
    delays = [backoff.calculate(attempt) for attempt in range(100)]
    assert delays == sorted(delays)
    assert delays[47] > 2**32 * timedelta(microseconds=1)


def test_letters_not_due_do_not_starve_those_behind_them(scene: Scene) -> None:
    for _ in range(150):
        scene.letter(failed_at=_seconds_ago(9))
    behind = scene.letter(failed_at=_seconds_ago(8), retry_count=1, last_retry_at=_seconds_ago(60))
    report = scene.replay(batch_size=100).run_replay_cycle()
    assert scene.calls == [behind]
    assert (report.succeeded, report.waiting) == (1, 150)


def test_one_drain_attempts_far_more_than_a_batch(scene: Scene) -> None:
    for _ in range(1000):
        scene.letter()
    assert scene.drain(batch_size=100).succeeded == 1000
    assert scene.slept == []


def test_the_letter_that_stops_a_drain_is_parked_if_it_is_exhausted(scene: Scene) -> None:
    letters = [scene.letter("fails", retry_count=4) for _ in range(3)]
    report = scene.drain(stop_on_consecutive_failures=2, max_retries=5)
    assert report.stopped == "failures"
    assert sorted(scene.parked()) == letters[:2]
    assert scene.left() == letters[2:]


def test_letters_that_the_crate_left_behind_exhausted_are_parked(scene: Scene) -> None:
    stranded = [scene.letter(retry_count=count) for count in (5, 6, 100)]
    scene.drain(max_retries=5)
    assert sorted(scene.parked()) == stranded
    assert (scene.left(), scene.calls) == ([], [])


def test_effect_and_ack_are_one_transaction(scene: Scene) -> None:
    """Another connection sees, at any instant, either the letter or its effect."""
    letters = [scene.letter() for _ in range(40)]
    seen: set[tuple[int, ...]] = set()
    done = threading.Event()

    def watch() -> None:
        other = sqlite3.connect(str(scene.path))
        while not done.is_set():
            both = other.execute(
                "SELECT id FROM dead_letter_queue UNION ALL SELECT event_id FROM effects ORDER BY 1"
            )
            seen.add(tuple(letter for (letter,) in both))
        other.close()

    thread = threading.Thread(target=watch)
    thread.start()
    report = scene.replay(max_transaction_time=1e-6).drain(
        on_progress=lambda _report: time.sleep(0.005)
    )
    done.set()
    thread.join()
    assert report.succeeded == 40
    assert seen == {tuple(letters)}


def test_parking_inserts_and_deletes_in_one_transaction(scene: Scene) -> None:
    scene.letter("fails", retry_count=4)
    scene.letter(retry_count=9)
    changes: list[str] = []
    scene.conn.set_trace_callback(lambda text: changes.append(" ".join(text.split()[:3])))
    assert scene.drain().parked == 2
    scene.conn.set_trace_callback(None)
    open_since: int | None = None
    parked = []
    for place, text in enumerate(changes):
        if text.startswith("BEGIN"):
            open_since = place
        elif text.startswith("COMMIT"):
            assert open_since is not None
            parked.append(Counter(changes[open_since:place]))
    for group in parked:
        assert group["INSERT INTO main.permanent_failures"] == 1
        assert group["DELETE FROM main.dead_letter_queue"] == 1
    assert len(parked) == 2


def test_commits_and_selects_do_not_grow_with_the_letters(scene: Scene) -> None:
    scene.registry.register("nothing", lambda *_args: None)
    for _ in range(1500):
        scene.letter("nothing")
    counted: Counter[str] = Counter()
    scene.conn.set_trace_callback(lambda text: counted.update([text.split()[0]]))
    assert scene.drain(max_transaction_time=30).succeeded == 1500
    assert counted["COMMIT"] == 1
    assert counted["SELECT"] + counted["WITH"] < 20


@pytest.mark.parametrize("column", ["failed_at", "last_retry_at"])
def test_an_unreadable_timestamp_ends_nothing(scene: Scene, column: str) -> None:
    before = scene.letter()
    columns: dict[str, Any] = {column: "24/11/2026"}
    bad = scene.letter(**columns)
    after = scene.letter()
    report = scene.replay().run_replay_cycle()
    assert scene.calls == [before, after]
    assert (report.succeeded, report.unreadable) == (2, 1)
    assert list(scene.parked()) == [bad]


def test_an_empty_list_of_error_types_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        ReplayPriority.by_error_type([])


def test_an_underscore_in_an_error_type_matches_itself_alone(scene: Scene) -> None:
    wild = scene.letter(error="timeXout", failed_at="2026-11-24 01:00:00")
    literal = scene.letter(error="time_out", failed_at="2026-11-24 02:00:00")
    scene.drain(priority=ReplayPriority.by_error_type(["time_out"]))
    assert scene.calls == [literal, wild]


def test_an_error_type_beyond_the_thousandth_comes_before_unlisted_ones(scene: Scene) -> None:
    priority = ReplayPriority.by_error_type([f"cause {n}x" for n in range(1200)])
    unlisted = scene.letter(error="another", failed_at="2026-11-24 01:00:00")
    listed = scene.letter(error="cause 1100x", failed_at="2026-11-24 02:00:00")
    scene.drain(priority=priority)
    assert scene.calls == [listed, unlisted]


@pytest.mark.parametrize(("elapsed", "due"), [(1.499999, False), (1.5, True)])
def test_least_age_and_elapsed_time_are_not_cut_to_seconds(
    scene: Scene, elapsed: float, due: bool
) -> None:
    scene.letter(failed_at=_seconds_ago(elapsed))
    report = scene.drain(min_age=1.5, backoff=BackoffStrategy.fixed(0))
    assert report.succeeded == due


def test_shutdown_does_not_wait_out_a_sleep(scene: Scene) -> None:
    scene.registry.register("slow", lambda *_args: time.sleep(1.05))
    for _ in range(2):
        scene.letter("slow")
    config = DlqReplayConfig(yield_time=300)
    replayer = DlqReplayer(scene.queue, scene.registry, config, clock=scene.clock)
    timer = threading.Timer(1.3, replayer.shutdown)
    timer.start()
    began = time.monotonic()
    report = replayer.drain()
    took = time.monotonic() - began
    timer.join()
    assert (report.stopped, report.succeeded) == ("shutdown", 1)
    assert took < 10


def test_the_error_of_a_failed_replay_is_kept(scene: Scene) -> None:
    letter = scene.letter("fails", error="the first error")
    scene.drain()
    failed = scene.queue.get(letter)
    assert failed is not None
    assert failed.error_message == "the first error"
    assert failed.last_error == f"ValueError: event {letter} failed"


def test_a_death_in_a_letter_with_the_highest_count_is_charged_without_an_overflow(
    scene: Scene,
) -> None:
    letter = scene.letter(retry_count=2**63 - 1)
    die_in_the_handler_of(scene, letter)
    scene.drain()
    assert scene.left() == []
    assert list(scene.parked()) == [letter]


def test_a_letter_whose_handler_kills_the_process_is_charged_and_parked(scene: Scene) -> None:
    scene.letter()
    scene.drain()
    poison = scene.letter(error="the first error")
    others = [scene.letter() for _ in range(3)]
    die_in_the_handler_of(scene, poison)
    settings: dict[str, Any] = {"max_retries": 2, "backoff": BackoffStrategy.fixed(100)}
    scene.drain(**settings)
    charged = scene.queue.get(poison)
    assert charged is not None
    assert charged.retry_count == 1
    assert "the process died" in str(charged.last_error)
    assert poison not in scene.calls
    assert scene.effects()[1:] == others
    scene.letter(failed_at="2026-11-24 09:00:00")
    die_in_the_handler_of(scene, poison)
    scene.drain(**settings)
    assert "the process died" in scene.parked()[poison]


def test_a_death_is_charged_once(scene: Scene) -> None:
    scene.letter()
    scene.drain()
    poison = scene.letter(failed_at=_seconds_ago(0))
    die_in_the_handler_of(scene, poison)
    for _ in range(3):
        scene.letter()
        scene.drain(backoff=BackoffStrategy.fixed(3600))
    charged = scene.queue.get(poison)
    assert charged is not None
    assert charged.retry_count == 1


def test_the_crates_own_file_drains(tmp_path: Path) -> None:
    """5,000 letters that the crate wrote, of which 500 were retried once."""
    path = tmp_path / "crate.db"
    path.write_bytes((DATA / "azoth-0.2.5.db").read_bytes())
    with DeadLetterQueue.open(path) as queue:
        scene = Scene(queue, path)
        for kind in ("deposit", "withdraw"):
            scene.registry.register(kind, scene._ok)  # noqa: SLF001 -- a handler like any other
        assert scene.drain(now=True).succeeded == 5000
        assert len(scene.calls) == 5000
        assert scene.left() == []
