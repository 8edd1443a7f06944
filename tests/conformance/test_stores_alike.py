"""The engine over all stores at once: whatever the letters, they end alike."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    DlqReplayConfig,
    ReplayPriority,
)
from azoth_dlq.status import look
from tests.conformance.backends import BACKENDS
from tests.conformance.work import Work


def _mixed_letters(work: Work, seed: int) -> None:
    random_ = random.Random(seed)
    kinds = ["ok"] * 6 + ["fails", "poison", "later", "snoozes", "loses", "spoils", "unknown"]
    for n in range(60):
        work.backend.insert(
            event_id=n,
            event_bytes=f"{random_.choice(kinds)}:x".encode(),
            failed_at=random_.choice(["2026-11-24 10:00:00", "2026-11-24T11:59:59Z", "never"]),
            retry_count=random_.choice([0, 0, 0, 1, 2, 3, -1]),
            last_retry_at=random_.choice([None, None, "2026-11-24T11:58:00Z", "hm"]),
            error_message=random_.choice(["boom", "timeout", "nöpe"]),
        )


def _outcome(work: Work, seed: int) -> tuple[object, ...]:
    _mixed_letters(work, seed)
    reports = []
    for _ in range(4):
        status = look(work.store, DlqReplayConfig(max_retries=3), work.clock())
        report = work.drain(max_retries=3, priority=ReplayPriority.by_error_type(["timeout"]))
        # The wording of errors differs.
        figures = replace(
            status,
            by_error=[("", letters) for _, letters in status.by_error],
            by_group=[],
            parked_by_reason=[("", letters) for _, letters in status.parked_by_reason],
        )
        plain = report.as_dict() | {"duration": None, "errors": None}
        reports.append((figures, plain))
        work.clock.move(seconds=40)
    return (
        reports,
        work.calls,
        work.backend.effects(),
        work.store.read(),
        [_without_wording(failure) for failure in work.store.read(parked=True)],
    )


def _without_wording(failure: Any) -> tuple[object, ...]:
    return failure.id, failure.event_id, failure.retry_count, failure.dead_letter_id


@pytest.mark.parametrize("seed", range(3))
def test_all_stores_end_alike(tmp_path: Path, seed: int) -> None:
    outcomes = []
    for make in BACKENDS.values():
        backend = make(tmp_path)
        outcomes.append(_outcome(Work(backend), seed))
        backend.close()
    assert outcomes[0] == outcomes[1]
