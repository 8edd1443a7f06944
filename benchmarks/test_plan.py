"""Planning a drain of 100,000 letters, beside the same in plain Python."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, ReplayPriority, clock
from azoth_dlq.engine.plan import make_plan
from benchmarks.conftest import LETTERS


def plan_by_hand(dlq: DeadLetterQueue, config: DlqReplayConfig) -> list[int]:
    now = datetime.now(UTC)
    due = []
    rows = dlq.connection.execute(
        "SELECT id, retry_count, failed_at, last_retry_at, error_message FROM dead_letter_queue"
    )
    for letter_id, retry_count, failed_at, last_retry_at, error in rows:
        failed = datetime.fromisoformat(failed_at).replace(tzinfo=UTC)
        last = datetime.fromisoformat(last_retry_at or failed_at).replace(tzinfo=UTC)
        wait: timedelta = max(config.min_age, config.backoff.calculate(retry_count))
        if retry_count < config.max_retries and now - last >= wait:
            types = config.priority.error_types
            rank = next((n for n, t in enumerate(types) if t in error.lower()), len(types))
            due.append((rank if types else retry_count, failed, letter_id))
    return [letter_id for _, _, letter_id in sorted(due)]


@pytest.mark.parametrize(
    "priority",
    [ReplayPriority.BY_RETRY_COUNT, ReplayPriority.by_error_type(["deadlock", "http 503"])],
    ids=str,
)
def test_plan(
    benchmark: Any,
    capsys: pytest.CaptureFixture[str],
    fresh: Callable[[], Path],
    priority: ReplayPriority,
) -> None:
    config = DlqReplayConfig(priority=priority)
    with DeadLetterQueue.open(fresh()) as dlq:
        start = time.perf_counter()
        by_hand = plan_by_hand(dlq, config)
        hand_seconds = time.perf_counter() - start
        plan = benchmark.pedantic(
            lambda: make_plan(dlq.store, config, config.rules(clock.now())),
            rounds=7,
            warmup_rounds=1,
        )
        assert plan.ids() == by_hand
        assert len(plan) == LETTERS
    ratio = hand_seconds / benchmark.stats["min"]
    benchmark.extra_info |= {"by hand/plan": ratio, "bytes a letter": plan.nbytes / LETTERS}
    with capsys.disabled():
        print(  # noqa: T201 -- the result
            f"\n{benchmark.name}: {benchmark.stats['min'] / LETTERS * 1e6:.2f} us a letter, plain "
            f"Python {ratio:.1f} times that, {plan.nbytes / LETTERS:.0f} bytes a letter"
        )
