"""What is told from trials, whose costs are made up here."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, ReplayReport, StorageError
from azoth_dlq.cli.findings import print_findings
from azoth_dlq.tuning import candidates, search
from azoth_dlq.tuning.candidates import Candidate
from azoth_dlq.tuning.copies import Facts, copy_of, room_for_copies
from azoth_dlq.tuning.search import BudgetTooSmall, Findings, NothingToTune, Search
from azoth_dlq.tuning.trials import Trial

FACTS = Facts(size=400 * 2**20, is_wal=True)
PHASES = dict.fromkeys(
    ("plan", "open", "fetch", "handlers", "write", "commit", "checkpoint", "yield", "other"), 0.0
)
Cost = Callable[[Candidate, int], float]


class MadeUp:
    """Trials that take no time, but by their own clock; what a letter costs is told by the
    candidate and the round."""

    def __init__(self, cost: Cost, *, seconds: float = 0.0, **report: Any) -> None:
        self.cost = cost
        self.seconds = seconds
        self.now = time.monotonic()
        self.report = ReplayReport(started_at=datetime.now(UTC), **{"succeeded": 1000, **report})
        self.tried: list[str] = []

    def run(self, candidate: Candidate, *, most_seconds: float) -> Trial:
        del most_seconds
        cost = self.cost(candidate, self.tried.count(candidate.name))
        self.tried.append(candidate.name)
        self.now += self.seconds
        seconds = cost * max(self.report.attempted, 1)
        return Trial(self.report, 1000, seconds, PHASES, candidate.is_cycle)


def found(trials: MadeUp, *, budget: float = 60.0, only_drains: bool = False) -> Findings:
    looking = Search(
        trials,  # type: ignore[arg-type]  # it is used for `run` alone
        DlqReplayConfig(),
        FACTS,
        until=trials.now + budget,
        only_drains=only_drains,
        on_trial=lambda *_: None,
    )
    return looking.run()


def gains(**faster: float) -> Cost:
    """How many times as fast candidates are that begin with a name."""

    def cost(candidate: Candidate, _round: int) -> float:
        own = [by for name, by in faster.items() if candidate.name.startswith(name)]
        return 1e-5 / (own[0] if own else 1.0)

    return cost


def test_what_is_faster_in_all_rounds_is_chosen() -> None:
    findings = found(MadeUp(gains(cache_size=1.2)))
    assert findings.chosen == {"cache_size": 64 * 2**20}
    assert findings.verified is not None
    assert findings.verified.gain == pytest.approx(0.2)
    assert findings.rounds >= 3
    assert findings.noise == 0.0


def test_the_best_of_each_setting_is_tried_together() -> None:
    def cost(candidate: Candidate, _round: int) -> float:
        settings = dict(candidate.settings)
        faster = 1.5 if settings.get("max_transaction_time") == 1.0 else 1.0
        return 1e-5 / faster / (1.3 if settings.get("cache_size") == 256 * 2**20 else 1.0)

    trials = MadeUp(cost)
    findings = found(trials)
    assert findings.chosen == {"max_transaction_time": 1.0, "cache_size": 256 * 2**20}
    assert findings.verified is not None
    assert findings.verified.gain == pytest.approx(1.5 * 1.3 - 1)
    assert trials.tried[-1] == "max_transaction_time = 1.0, cache_size = 268435456"


def test_of_values_that_are_equal_within_the_noise_the_smallest_is_chosen() -> None:
    """A longer transaction lets other writers wait longer."""

    def cost(candidate: Candidate, _round: int) -> float:
        if candidate.name == "as given, again":
            return 1.05e-5
        seconds = candidate.settings.get("max_transaction_time", 0.25)
        return 1e-5 / {0.05: 1.3, 0.25: 1.0, 1.0: 1.33}[seconds]

    assert found(MadeUp(cost)).chosen == {"max_transaction_time": 0.05}


def test_what_a_letter_costs_agrees_with_the_gain() -> None:
    """Also where the machine gets slower from round to round."""

    def cost(candidate: Candidate, turn: int) -> float:
        return (1 + turn) * 1e-5 / (1.5 if turn % 2 and candidate.settings else 1.2)

    findings = found(MadeUp(cost))
    for one in findings.compared:
        if not one.candidate.is_cycle:
            assert one.cost == pytest.approx(findings.given / (1 + one.gain))


def test_the_phases_are_those_of_all_trials_with_the_settings_given() -> None:
    class Slower(MadeUp):
        def run(self, candidate: Candidate, *, most_seconds: float) -> Trial:
            trial = super().run(candidate, most_seconds=most_seconds)
            commit = trial.seconds if candidate.name == "as given" else 0.0
            return trial._replace(phases={**PHASES, "commit": commit})

    findings = found(Slower(lambda _, turn: 9e-5 if turn == 0 else 1e-5))
    assert findings.phases["commit"] == pytest.approx(1e-5)


def test_what_is_no_faster_when_it_is_tried_again_is_not_chosen() -> None:
    def cost(candidate: Candidate, _turn: int) -> float:
        is_search = "as given, again" in trials.tried[-11:]
        return 1e-5 / (1.5 if candidate.name == "cache_size = 67108864" and is_search else 1.0)

    trials = MadeUp(cost)
    findings = found(trials)
    assert [one.candidate.name for one in findings.compared if one.is_better] == [
        "cache_size = 67108864"
    ]
    assert findings.verified is not None
    assert not findings.verified.is_better
    assert findings.chosen == {}


def test_a_gain_within_the_noise_is_none() -> None:
    def cost(candidate: Candidate, turn: int) -> float:
        if candidate.name.startswith("cache_size"):
            return 1e-5 / 1.1
        # The first trial is of the settings given: their turns and those of the same differ by one.
        return 1e-5 * (1.3 if turn % 2 else 1.0)

    findings = found(MadeUp(cost))
    assert findings.noise > 0.2
    assert all(one.gain > 0 for one in findings.compared if "cache_size" in one.candidate.settings)
    assert findings.chosen == {}


def test_what_is_risky_is_told_and_never_chosen() -> None:
    findings = found(MadeUp(gains(synchronous=5.0, journal_mode=5.0)))
    risky = [one for one in findings.compared if one.candidate.risk]
    assert [one.candidate.name for one in risky] == ["synchronous = NORMAL", "synchronous = OFF"]
    assert all(one.gain == pytest.approx(4.0) for one in risky)
    assert findings.chosen == {}


def test_cycles_are_compared_with_cycles() -> None:
    def cost(candidate: Candidate, _round: int) -> float:
        return (
            (9e-5 if candidate.name == "a cycle as given" else 3e-5) if candidate.is_cycle else 1e-5
        )

    findings = found(MadeUp(cost))
    assert (findings.chosen, findings.chosen_for_cycles) == ({}, {"batch_size": 1000})
    assert (findings.given, findings.cycle_given) == (1e-5, 9e-5)
    (cycle,) = [one for one in findings.compared if one.candidate.is_cycle]
    assert cycle.gain == pytest.approx(2.0)
    assert not [
        one for one in found(MadeUp(cost), only_drains=True).compared if one.candidate.is_cycle
    ]


def test_a_trial_shares_the_plan_among_all_that_are_due() -> None:
    report = ReplayReport(started_at=datetime.now(UTC), succeeded=10, remaining=90)
    phases = {**PHASES, "plan": 1.0, "fetch": 0.5}
    trial = Trial(report, 100, 1.5, phases, is_cycle=False)
    assert trial.cost == pytest.approx(0.01 + 0.05)
    assert sum(trial.cost_by_phase().values()) == pytest.approx(trial.cost)
    assert trial._replace(is_cycle=True).cost == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ({"succeeded": 0}, "no letter is due; there is none to try with"),
        ({"succeeded": 0, "waiting": 3}, r"no letter is due; 3 are not yet \(--now takes them"),
        (
            {"succeeded": 0, "waiting": 1, "parked": 3, "exhausted": 2, "unreadable": 1},
            r"due; 1 is not yet \(--now .*; 2 would be parked, .*; 1 would be parked as unread",
        ),
        (
            {"succeeded": 0, "failed": 2, "errors": (("boom", 2),)},
            "none of 2 .* error: boom",
        ),
        ({"succeeded": 0, "snoozed": 2}, "none of 2 letters succeeded$"),
    ],
)
def test_nothing_can_be_told(report: dict[str, Any], told: str) -> None:
    with pytest.raises(NothingToTune, match=told):
        found(MadeUp(gains(), **report))


def test_a_budget_for_less_than_three_rounds_is_refused_with_one_that_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of_trials() -> MadeUp:
        trials = MadeUp(gains(), seconds=0.02)
        monkeypatch.setattr(search, "monotonic", lambda: trials.now)
        return trials

    with pytest.raises(BudgetTooSmall, match=r"take about \d+ s") as refused:
        found(of_trials(), budget=0.5)
    needed = float(str(refused.value).split()[-2])
    assert found(of_trials(), budget=needed).rounds >= 3


def test_memory_beyond_the_file_is_not_tried() -> None:
    names = [one.name for one in candidates.of_drains(DlqReplayConfig(), Facts(2**20, is_wal=True))]
    assert not [name for name in names if name.startswith("cache_size")]


def test_settings_that_are_given_are_not_tried() -> None:
    config = DlqReplayConfig(max_transaction_time=1, cache_size=64 * 2**20, mmap_size=2**30)
    names = [one.name for one in candidates.of_drains(config, FACTS)]
    assert "max_transaction_time = 1.0" not in names
    assert "max_transaction_time = 0.25" in names
    assert [name for name in names if name.startswith("cache_size")] == ["cache_size = 268435456"]
    assert not [name for name in names if name.startswith("mmap_size")]


def test_a_file_in_another_journal_mode_is_tried_in_wal_mode() -> None:
    names = [one.name for one in candidates.of_drains(DlqReplayConfig(), FACTS)]
    assert "journal_mode = WAL" not in names
    facts = FACTS._replace(is_wal=False)
    assert "journal_mode = WAL" in [n.name for n in candidates.of_drains(DlqReplayConfig(), facts)]


def test_the_risk_of_a_setting_is_that_of_the_journal_mode() -> None:
    for facts, told in ((FACTS, "undo the last"), (FACTS._replace(is_wal=False), "destroy")):
        (normal,) = (
            one
            for one in candidates.of_drains(DlqReplayConfig(), facts)
            if one.name == "synchronous = NORMAL"
        )
        assert told in normal.risk


# Copies


class Usage(NamedTuple):
    free: int


def test_a_disk_without_room_is_told_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=2_000_000))
    file = str(tmp_path / "letters.db")
    with (
        pytest.raises(StorageError, match=r"2\.0 MB free, and copies of .* need 3\.0 MB"),
        room_for_copies(file, None, 1_000_000),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_copies_lie_beside_the_file_that_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "there" / "letters.db")
    with room_for_copies(str(tmp_path / "link.db"), None, 1) as folder:
        assert folder.parent == tmp_path / "there"


def test_a_disk_that_is_full_is_told_with_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "letters.db"
    with DeadLetterQueue.open(file) as queue:
        queue.add(1, b"ok:", "boom")
    copies = copy_of(str(file), tmp_path, wait=1.0)
    full = OSError(errno.ENOSPC, "No space left on device")
    told = r"letters\.db can be made \(No space left .*\); choose another folder by --copies-in"
    with (
        mock.patch("shutil.copyfile", side_effect=full),
        pytest.raises(StorageError, match=told),
        copies.fresh(),
    ):
        pass


def test_a_disk_that_is_full_of_the_first_copy_is_told_with_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "letters.db"
    DeadLetterQueue.open(file).close()
    source, full = sqlite3.connect(file), sqlite3.connect(tmp_path / "kept.db")
    full.execute("PRAGMA max_page_count = 1")
    told = r"letters\.db can be made \(.* full\); choose another folder by --copies-in"
    with (
        mock.patch("azoth_dlq.tuning.copies.sqlite3.connect", return_value=full),
        mock.patch("azoth_dlq.tuning.copies.open_for_looking", return_value=source),
        pytest.raises(StorageError, match=told),
    ):
        copy_of(str(file), tmp_path, wait=1.0)


def test_each_copy_is_as_the_file_was(tmp_path: Path) -> None:
    file = tmp_path / "letters.db"
    with DeadLetterQueue.open(file) as queue:
        queue.add(1, b"ok:", "boom")
        copies = copy_of(str(file), tmp_path, wait=1.0)
        queue.add(2, b"ok:", "boom")
    for _ in range(2):
        with copies.fresh() as path, DeadLetterQueue.open(path) as copy:
            assert [letter.event_id for letter in copy.letters()] == [1]
            copy.clear()
        assert not path.exists()
    with DeadLetterQueue.open(file) as queue:
        assert queue.count() == 2


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (gains(cache_size=1.2), "Tried again together: +20%"),
        (gains(max_transaction_time=1.2), "Other writers of the file wait for up to"),
        (gains(), "No setting without a risk is better than those given"),
    ],
)
def test_the_verdict_says_what_was_found(
    cost: Cost, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with mock.patch.dict(PHASES, handlers=1.0):
        print_findings(found(MadeUp(cost)), "shop.db", as_json=False)
    assert told in capsys.readouterr().out
