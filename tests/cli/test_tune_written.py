"""The file that `azoth-dlq tune --write` makes."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from azoth_dlq import DlqReplayConfig, ReplayReport
from azoth_dlq.cli.findings import write_settings
from azoth_dlq.tuning.search import Findings
from azoth_dlq.tuning.trials import Trial


@pytest.mark.parametrize("name", ["of\nbackoff = 'fixed=1' #.db", "of\udcff.db", "of\x7f\r.db"])
def test_the_name_of_the_database_stays_in_the_comment(tmp_path: Path, name: str) -> None:
    base = Trial(ReplayReport(started_at=datetime.now(UTC)), 1, 1.0, {}, is_cycle=False)
    findings = Findings(base, {}, 0.1, 3, [], given=1.0, chosen={"batch_size": 1000})
    target = tmp_path / "found.toml"
    write_settings("found.toml", target, findings, DlqReplayConfig(), name)
    assert tomllib.loads(target.read_text(encoding="utf-8")) == {"batch_size": 1000}
