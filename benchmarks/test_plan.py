"""Planning a drain, beside the same in plain Python."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, ReplayPriority, clock
from azoth_dlq.engine.plan import make_plan
from benchmarks import subjects
from benchmarks.conftest import Figure

pytestmark = pytest.mark.benchmark(group=subjects.PLANS)


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
    figure: Figure,
    outages: Mapping[bool, Path],
    tmp_path: Path,
    priority: ReplayPriority,
) -> None:
    config = DlqReplayConfig(priority=priority)
    path = shutil.copyfile(outages[True], tmp_path / "copy.db")
    with DeadLetterQueue.open(path) as dlq:
        start = time.perf_counter()
        by_hand = plan_by_hand(dlq, config)
        hand_seconds = time.perf_counter() - start
        plan = benchmark.pedantic(
            lambda: make_plan(dlq.store, config, config.rules(clock.now())).letters,
            rounds=7,
            warmup_rounds=1,
        )
        assert plan.ids() == by_hand
        assert len(plan) == dlq.count()
    figure(
        f"plan {priority}: plain Python / plan",
        hand_seconds / benchmark.stats["min"],
        at_least=5,
        floor=2,
        plan_us=benchmark.stats["min"] / len(plan) * 1e6,
        bytes_a_letter=plan.nbytes / len(plan),
    )
