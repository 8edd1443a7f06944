"""What trials have found: for people, as JSON, and as a file of settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from azoth_dlq.cli.output import counted, print_json, print_lines, say
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine.failure import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from azoth_dlq.tuning.search import Compared, Findings

_PHASES: Final = {
    "handlers": "their calls, each letter isolated",
    "fetch": "reading payloads",
    "write": "writing outcomes",
    "commit": "committing them",
    "checkpoint": "copying the log into the file",
    "plan": "looking at letters and ordering them",
}
_OTHER: Final = "other"
_AS_GIVEN: Final = "as given"
_SYNCHRONOUS: Final = (
    "(each connection has its own synchronous, FULL by default; a program sets it by "
    'queue.connection.execute("PRAGMA synchronous = …"))'
)
_WIDTH: Final = len("max_transaction_time = 0.05")


def print_findings(findings: Findings, database: str, *, as_json: bool) -> None:
    """Print them on stdout."""
    if as_json:
        print_json(_as_dict(findings))
        return
    base = findings.base
    print_lines(
        f"Tuned on copies of {database}: {counted(base.due, 'letters')} due, "
        f"{counted(findings.trials, 'trials')} in {counted(findings.rounds, 'rounds')}",
        "",
        "Where the time of a letter goes, with the settings given:",
    )
    shares = _by_phase(findings)
    whole = sum(shares.values())
    for phase, seconds in shares.items():
        remark = _PHASES.get(phase, "the rest")
        print_lines(f"  {phase:<10}  {_us(seconds):>9} µs  {seconds / whole:>4.0%}   {remark}")
    if base.report.failed:
        share = base.report.failed / base.report.attempted
        print_lines(f"{share:.0%} of the letters failed")
    print_lines(
        "",
        f"Beside the settings given (two trials of the same differ by {findings.noise:.0%}):",
    )
    drains = [one for one in findings.compared if not one.candidate.is_cycle]
    _print_compared("setting", [one for one in drains if not one.candidate.risk], findings.given)
    _print_compared("with a risk: yours to choose", _risky(drains), findings.given)
    if any(name == "synchronous" for one in drains for name, _ in one.candidate.pragmas):
        print_lines(f"  {_SYNCHRONOUS}")
    cycles = [one for one in findings.compared if one.candidate.is_cycle]
    _print_compared("for run_replay_cycle()", cycles, findings.cycle_given)
    print_lines("", *_verdict(findings))


def write_settings(
    path: str, target: Path, findings: Findings, config: DlqReplayConfig, database: str
) -> None:
    """Write the settings given with those chosen, as `--config` reads them, to `target`, which was
    given as `path`; a file that exists is left alone. Errors: OSError."""
    found = findings.chosen | findings.chosen_for_cycles
    if not found:
        say(f"{path} was not written: nothing better was found")
        return
    settings, defaults = config.to_mapping() | found, DlqReplayConfig().to_mapping()
    # Within a comment of one line, whatever the name holds.
    lines = [f"# Found by `azoth-dlq tune {one_line(database)}`"]
    for name, value in settings.items():
        if value != defaults[name]:
            text = "never" if value is None else value
            lines.append(f"{name} = {json.dumps(text, ensure_ascii=False)}")
    with target.open("x", encoding="utf-8", errors="backslashreplace") as file:
        file.write("\n".join([*lines, ""]))
    say(f"settings written to {path}; use them by --config {path}")


def _by_phase(findings: Findings) -> dict[str, float]:
    """Seconds a letter of the phases that matter, and of all others together."""
    phases = dict(findings.phases)
    shares = {phase: phases.pop(phase) for phase in _PHASES}
    return shares | {_OTHER: sum(phases.values())}


def _risky(compared: Sequence[Compared]) -> list[Compared]:
    return [one for one in compared if one.candidate.risk]


def _print_compared(heading: str, compared: Sequence[Compared], given: float | None) -> None:
    if not compared or given is None:
        return
    print_lines(
        f"  {heading:<{_WIDTH}}  {'µs a letter':>11}  {'gain':>6}  middle half of the rounds"
    )
    print_lines(f"  {_AS_GIVEN:<{_WIDTH}}  {_us(given):>11}")
    for one in compared:
        low, high = one.spread
        remark = f"   {one.candidate.risk}" if one.candidate.risk else ""
        mark = "   better" if one.is_better and not remark else ""
        print_lines(
            f"  {one.candidate.name:<{_WIDTH}}  {_us(one.cost):>11}  {one.gain:>+6.0%}  "
            f"{low:+.0%} to {high:+.0%}{mark}{remark}"
        )


def _verdict(findings: Findings) -> list[str]:
    lines = [f"Best: {_text(findings.chosen)}"]
    if not findings.chosen:
        harmless = "" if not _risky(findings.compared) else " without a risk"
        lines = [f"No setting{harmless} is better than those given, within the noise."]
    if findings.verified is not None and not findings.verified.is_better:
        lines.append(f"{findings.verified.candidate.name} was not better when it was tried again.")
    if findings.chosen_for_cycles:
        cycles = _text(findings.chosen_for_cycles)
        lines.append(f"For programs that call run_replay_cycle(): {cycles}; drains do not ask.")
    if findings.verified is not None and findings.verified.is_better:
        low, high = findings.verified.spread
        if "max_transaction_time" in findings.chosen:
            lines.append("Other writers of the file wait for up to max_transaction_time.")
        lines.append(
            f"Tried again together: {findings.verified.gain:+.0%}, the middle half of "
            f"{counted(len(findings.verified.ratios), 'rounds')} from {low:+.0%} to {high:+.0%}"
        )
    return lines


def _text(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.2f}"


def _as_dict(findings: Findings) -> dict[str, Any]:
    base = findings.base
    return {
        "due": base.due,
        "attempted": base.report.attempted,
        "failed": base.report.failed,
        "us_a_letter": findings.given * 1e6,
        "us_a_letter_by_phase": {k: v * 1e6 for k, v in _by_phase(findings).items()},
        "noise": findings.noise,
        "rounds": findings.rounds,
        "trials": findings.trials,
        "compared": [_compared_as_dict(one) for one in findings.compared],
        "chosen": findings.chosen,
        "chosen_for_cycles": findings.chosen_for_cycles,
        "verified": None if findings.verified is None else _compared_as_dict(findings.verified),
    }


def _compared_as_dict(one: Compared) -> dict[str, Any]:
    return {
        "name": one.candidate.name,
        "settings": dict(one.candidate.settings),
        "pragmas": dict(one.candidate.pragmas),
        "of_cycles": one.candidate.is_cycle,
        "risk": one.candidate.risk,
        "us_a_letter": one.cost * 1e6,
        "gain": one.gain,
        "ratios": list(one.ratios),
        "is_better": one.is_better,
    }
