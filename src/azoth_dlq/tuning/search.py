"""Trials in turn and repeatedly, and what can be told from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import Any, Final

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.errors import AzothError
from azoth_dlq.report import ReplayReport
from azoth_dlq.tuning import candidates
from azoth_dlq.tuning.candidates import AGAIN, AS_GIVEN, CYCLE_AS_GIVEN, Candidate
from azoth_dlq.tuning.copies import Facts
from azoth_dlq.tuning.trials import Trial, Trials

FEWEST_ROUNDS: Final = 3  # from which a gain can be told from noise
_MOST_ROUNDS: Final = 25
_LEAST_SECONDS: Final = 0.1  # of a trial
_FIRST_SHARE: Final = 0.05  # of the time, for the first trial
_CHECK_SHARE: Final = 0.25  # for trying the winner again
_CYCLE_SHARE: Final = 0.02  # of the time, for the largest cycle
_PRUDENCE: Final = 1.2
_LEAST_GAIN: Final = 0.02


class NothingToTune(AzothError):
    """There is nothing that a trial could tell."""


class BudgetTooSmall(AzothError):
    """The time is too short for enough rounds."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A candidate beside the settings given: how many times as fast it was, a ratio a round.

    cost: seconds a letter, those of the settings given by the median ratio. is_better: by more than
    the noise.
    """

    candidate: Candidate
    cost: float
    ratios: Sequence[float]
    is_better: bool

    @property
    def gain(self) -> float:
        """The share by which it was faster, the median."""
        return statistics.median(self.ratios) - 1

    @property
    def spread(self) -> tuple[float, float]:
        """Between which gains half of the rounds lie."""
        first, _, third = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return first - 1, third - 1


@dataclass(slots=True)
class Findings:
    """What was found. `base`: the first trial, of the settings given. `phases`: seconds a letter by
    phase with the settings given, the medians. `noise`: by what share two trials of one candidate
    differ in a quarter of the rounds or more. `given`: seconds a letter with the settings given,
    the median; `cycle_given`: the same of cycles, None where none was tried. `chosen`: settings
    that are better, of drains and of cycles; `verified`: those of drains, tried again together."""

    base: Trial
    phases: dict[str, float]
    noise: float
    rounds: int
    compared: list[Compared]
    given: float
    cycle_given: float | None = None
    trials: int = 0
    chosen: dict[str, Any] = field(default_factory=dict)
    chosen_for_cycles: dict[str, Any] = field(default_factory=dict)
    verified: Compared | None = None


class Search:
    """Looks for better settings than `config`, until `until` (monotonic seconds).

    `only_drains`: nothing is tried that is for cycles. `on_trial` is told how many trials are over,
    and of how many as far as is known.
    """

    def __init__(  # noqa: PLR0913 -- by name
        self,
        trials: Trials,
        config: DlqReplayConfig,
        facts: Facts,
        *,
        until: float,
        only_drains: bool,
        on_trial: Callable[[int, int], None],
    ) -> None:
        self._trials = trials
        self._config = config
        self._facts = facts
        self._until = until
        self._only_drains = only_drains
        self._on_trial = on_trial
        self._as_given: list[Trial] = []
        self._done = 0
        self._planned = 1
        self._most_seconds = (until - monotonic()) * _FIRST_SHARE

    def run(self) -> Findings:
        """Search. Errors: NothingToTune, BudgetTooSmall; and as of drains."""
        began = monotonic()
        base = self._try(AS_GIVEN)
        _check(base)
        copying = monotonic() - began - base.seconds
        drains = candidates.of_drains(self._config, self._facts)
        cycles = self._cycles(base)
        everyone = [AS_GIVEN, AGAIN, *drains, *([CYCLE_AS_GIVEN, *cycles] if cycles else [])]
        self._plan(everyone, base, copying)
        costs = self._rounds(everyone, self._until - (self._until - monotonic()) * _CHECK_SHARE)
        noise = _noise(costs[AS_GIVEN.name], costs[AGAIN.name])
        compared = [
            _compare(one, costs, CYCLE_AS_GIVEN if one.is_cycle else AS_GIVEN, noise)
            for one in (*drains, *cycles)
        ]
        given = {name: statistics.median(of_rounds) for name, of_rounds in costs.items()}
        findings = Findings(
            base,
            self._phases(),
            noise,
            len(costs[AS_GIVEN.name]),
            compared,
            given=given[AS_GIVEN.name],
            cycle_given=given.get(CYCLE_AS_GIVEN.name),
        )
        self._choose(findings)
        findings.trials = self._done
        return findings

    def _phases(self) -> dict[str, float]:
        trials = [trial.cost_by_phase() for trial in self._as_given]
        return {phase: statistics.median(one[phase] for one in trials) for phase in trials[0]}

    def _cycles(self, base: Trial) -> list[Candidate]:
        """Those of cycles that do not take the time of all others."""
        if self._only_drains:
            return []
        most = (self._until - monotonic()) * _CYCLE_SHARE - base.phases["plan"]
        attempted = max(base.report.attempted, 1)
        letters = int(most / (base.seconds - base.phases["plan"]) * attempted)
        return candidates.of_cycles(self._config, most=min(letters, base.due))

    def _plan(self, contenders: Sequence[Candidate], base: Trial, copying: float) -> None:
        """How long a trial may last, for as many rounds as a gain is told from.

        A drain that is ended early goes on until its group is over, or its letter. Errors:
        BudgetTooSmall.
        """
        whole = math.inf if base.report.remaining else base.seconds
        groups = [
            one.settings.get("max_transaction_time", self._config.max_transaction_time)
            for one in contenders
        ]
        letter = base.seconds / base.report.attempted  # may be longer than a group
        least = sum(
            copying + min(_LEAST_SECONDS + _seconds(group) + letter, whole) for group in groups
        )
        left = (self._until - monotonic()) * (1 - _CHECK_SHARE)
        share = left / FEWEST_ROUNDS
        if share < least:
            needed = base.seconds + copying + FEWEST_ROUNDS * least / (1 - _CHECK_SHARE)
            raise BudgetTooSmall(
                f"{FEWEST_ROUNDS} rounds of {len(contenders)} trials of this file take about "
                f"{math.ceil(needed * _PRUDENCE)} s"
            )
        self._most_seconds = _LEAST_SECONDS + (share - least) / len(contenders)
        round_seconds = len(contenders) * (copying + min(self._most_seconds, whole))
        rounds = max(FEWEST_ROUNDS, min(int(left / round_seconds), _MOST_ROUNDS))
        self._planned = self._done + rounds * len(contenders) + 2 * FEWEST_ROUNDS

    def _rounds(self, contenders: Sequence[Candidate], until: float) -> dict[str, list[float]]:
        """Seconds a letter of each of them, by its name, a round after the other."""
        costs: dict[str, list[float]] = {one.name: [] for one in contenders}
        longest = 0.0
        for n in range(_MOST_ROUNDS):
            began = monotonic()
            if n >= FEWEST_ROUNDS and began + longest > until:
                break
            if 0 < n < FEWEST_ROUNDS:
                self._hurry((until - began) / (FEWEST_ROUNDS - n) / longest)
            # Another begins each round: what comes with the order is to meet each of them.
            first = n % len(contenders)
            for one in (*contenders[first:], *contenders[:first]):
                costs[one.name].append(self._try(one).cost)
            longest = max(longest, monotonic() - began)
        return costs

    def _hurry(self, share: float) -> None:
        """Rounds may take that share of what they took, where it is less."""
        if share < 1:
            self._most_seconds = max(self._most_seconds * share, _LEAST_SECONDS)

    def _choose(self, findings: Findings) -> None:
        """Take the best of each setting, of equals the smallest; those of drains are tried again,
        all together."""
        best: dict[str, Compared] = {}
        for one in findings.compared:
            for name in one.candidate.settings:
                least = best[name].gain + max(findings.noise, _LEAST_GAIN) if name in best else 0.0
                if one.is_better and one.gain > least:
                    best[name] = one
        drains: dict[str, Any] = {}
        for one in best.values():
            of = findings.chosen_for_cycles if one.candidate.is_cycle else drains
            of.update(one.candidate.settings)
        if drains:
            together = candidates.with_settings(**drains)
            costs = self._rounds([AS_GIVEN, together], self._until)
            findings.verified = _compare(together, costs, AS_GIVEN, findings.noise)
            if findings.verified.is_better:
                findings.chosen.update(drains)

    def _try(self, candidate: Candidate) -> Trial:
        trial = self._trials.run(candidate, most_seconds=self._most_seconds)
        self._done += 1
        if candidate is AS_GIVEN:
            self._as_given.append(trial)
        self._on_trial(self._done, max(self._planned, self._done))
        return trial


def _seconds(duration: float | timedelta) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def _check(base: Trial) -> None:
    report = base.report
    if not report.attempted:
        others = [*_others(report)] or ["there is none to try with"]
        raise NothingToTune("; ".join(["no letter is due", *others]))
    if not report.succeeded:
        commonest = f"; the commonest error: {report.errors[0][0]}" if report.errors else ""
        raise NothingToTune(f"none of {report.attempted:,} letters succeeded{commonest}")


def _others(report: ReplayReport) -> Iterator[str]:
    """The letters that are not due, in words."""
    if report.waiting == 1:
        yield "1 is not yet (--now takes it, too)"
    elif report.waiting:
        yield f"{report.waiting:,} are not yet (--now takes them, too)"
    if report.exhausted:
        yield f"{report.exhausted:,} would be parked, their retries used up (max_retries)"
    if report.unreadable:
        yield f"{report.unreadable:,} would be parked as unreadable"


def _noise(once: Sequence[float], again: Sequence[float]) -> float:
    differences = [abs(a / b - 1) for a, b in zip(once, again, strict=True)]
    return statistics.quantiles(differences, n=4, method="inclusive")[2]


def _compare(
    candidate: Candidate, costs: dict[str, list[float]], given: Candidate, noise: float
) -> Compared:
    own = costs[candidate.name]
    ratios = [theirs / ours for theirs, ours in zip(costs[given.name], own, strict=True)]
    cost = statistics.median(costs[given.name]) / statistics.median(ratios)
    compared = Compared(candidate, cost, ratios, is_better=False)
    is_better = compared.spread[0] > max(noise, _LEAST_GAIN)
    return replace(compared, is_better=is_better)
