"""Settings as options and in a file: one for each field of the config."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

import pytest

from azoth_dlq import DlqReplayConfig
from tests.cli.conftest import Workplace, error_line

# For each setting: an option's text, what it means, and a text that is not allowed.
EXAMPLES: dict[str, tuple[str, Any, str]] = {
    "check_interval": ("2.5", 2.5, "0"),
    "max_retries": ("7", 7, "0"),
    "backoff": ("fibonacci=1,600", "fibonacci=1,600", "linear=3"),
    "min_age": ("0", 0, "-1"),
    "batch_size": ("1", 1, "2147483648"),
    "priority": ("by-error-type=timeout,dead lock", "by-error-type=timeout,dead lock", "random"),
    "stop_on_consecutive_failures": ("never", None, "0"),
    "jitter": ("0.5", 0.5, "1.5"),
    "max_transaction_time": ("1", 1, "nan"),
    "yield_time": ("0", 0, "1e400"),
    "busy_timeout": ("0.1", 0.1, "soon"),
    "history_limit": ("0", 0, "1.5"),
    "memory_limit": ("1048576", 1048576, "64MiB"),
    "cache_size": ("1048576", 1048576, "1048575"),
    "mmap_size": ("0", 0, "-1"),
    "concurrency": ("16", 16, "0"),
    "timeout": ("2m", 120, "0"),
    "retention": ("30d", 2_592_000, "0"),
    "rate_limit": ("600/m", 10, "50/d"),
}


def option(name: str) -> str:
    return "--rate" if name == "rate_limit" else f"--{name.replace('_', '-')}"


OPTIONS = [text for name, (good, _, _) in EXAMPLES.items() for text in (option(name), good)]


def write_file(workplace: Workplace, *, enabled: bool) -> None:
    mapping = {name: value for name, (_, value, _) in EXAMPLES.items()}
    mapping.update(enabled=enabled, stop_on_consecutive_failures="never")
    lines = [f"{name} = {json.dumps(value)}" for name, value in mapping.items()]
    (workplace.folder / "dlq.toml").write_text("\n".join(lines))


def settings(workplace: Workplace, *arguments: str) -> dict[str, Any]:
    done = workplace.run("status", "projection.db", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)["settings"]
    return shown


def settings_of_drain(workplace: Workplace, *arguments: str) -> dict[str, Any]:
    """Those of a drain that was given these arguments."""
    workplace.make("ok")
    assert workplace.drain(*arguments).returncode == 0
    return settings(workplace)


def test_every_setting_has_an_option(workplace: Workplace) -> None:
    names = {field.name for field in fields(DlqReplayConfig)}
    assert names == {*EXAMPLES, "enabled"}
    expected = {name: value for name, (_, value, _) in EXAMPLES.items()}
    assert settings_of_drain(workplace, *OPTIONS, "--no-enabled") == {**expected, "enabled": False}


def test_every_setting_is_a_key_of_the_file(workplace: Workplace) -> None:
    workplace.make()
    write_file(workplace, enabled=False)
    expected = {name: value for name, (_, value, _) in EXAMPLES.items()}
    assert settings(workplace, "--config", "dlq.toml") == {**expected, "enabled": False}


@pytest.mark.parametrize("given", [OPTIONS, ["--config", "dlq.toml"]], ids=["options", "file"])
@pytest.mark.parametrize("command", ["drain", "run"])
def test_every_setting_reaches_what_drains(
    workplace: Workplace, command: str, given: list[str]
) -> None:
    write_file(workplace, enabled=True)
    workplace.make("ends")
    workplace.add_handler("@registry.handler('ends')\ndef ends(*_):\n    raise SystemExit\n")
    done = workplace.run(command, "projection.db", "--handlers", "handlers:registry", *given)
    assert done.returncode == 1
    expected = {name: value for name, (_, value, _) in EXAMPLES.items()}
    assert settings(workplace) == {**expected, "enabled": True}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_setting_that_is_not_allowed_is_refused_by_name(workplace: Workplace, name: str) -> None:
    line = error_line(workplace.drain(option(name), EXAMPLES[name][2]), 2)
    assert option(name) in line
    assert EXAMPLES[name][2] in line
    assert f"{name}=" not in line
    assert "must be" in line


def test_what_never_stops_a_drain_is_told_by_its_word(workplace: Workplace) -> None:
    line = error_line(workplace.drain("--stop-on-consecutive-failures", "0"), 2)
    assert (
        "must be an int of 1 or more, or None for never (as an option or in a file: never)" in line
    )


@pytest.mark.parametrize("command", ["drain", "run"])
def test_help_tells_every_setting_and_its_default(workplace: Workplace, command: str) -> None:
    told = " ".join(workplace.run(command, "--help").stdout.split())
    defaults = DlqReplayConfig().to_mapping()
    words = {
        "timeout": "never",
        "retention": "never",
        "rate_limit": "unlimited",
        "mmap_size": "as SQLite has it",
    }
    words["enabled"] = "true"
    assert re.findall(r"\[default: ([^\]]+)\]", told) == [
        words.get(name, str(value)) for name, value in defaults.items()
    ]
    assert all(option(name) in told for name in defaults)
    assert "Not used yet" not in told


DURATIONS = {"check_interval": "30s", "min_age": "2m", "busy_timeout": "0.5s", "yield_time": "0s"}
WITH_UNITS = {"check_interval": 30, "min_age": 120, "busy_timeout": 0.5, "yield_time": 0}


@pytest.mark.parametrize("given", ["options", "file"])
def test_durations_may_have_a_unit(workplace: Workplace, given: str) -> None:
    texts = {**DURATIONS, "backoff": "exponential=10s,1h"}
    lines = [f"{name} = {text!r}" for name, text in texts.items()]
    (workplace.folder / "dlq.toml").write_text("\n".join(lines))
    options = [f"{option(name)}={text}" for name, text in texts.items()]
    shown = settings_of_drain(
        workplace, *(options if given == "options" else ["--config", "dlq.toml"])
    )
    assert {name: shown[name] for name in WITH_UNITS} == WITH_UNITS
    assert shown["backoff"] == "exponential=10,3600"


def test_options_win_over_the_file(workplace: Workplace) -> None:
    workplace.make()
    (workplace.folder / "dlq.toml").write_text("max_retries = 3\nmin_age = 1\n")
    shown = settings(workplace, "--config", "dlq.toml", "--max-retries", "9")
    assert (shown["max_retries"], shown["min_age"]) == (9, 1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"max_retires = 3", "dlq.toml: unknown setting 'max_retires' (did you mean max_retries?)"),
        (b"max-retries = 3", "did you mean max_retries?"),
        (b"max_retries = 0", "dlq.toml: max_retries=0: must be"),
        (b"max_retries = '3'", "dlq.toml: max_retries='3': must be"),
        (b"[dlq]\nmax_retries = 3", "unknown setting 'dlq'"),
        (b"max_retries = ", "dlq.toml is not TOML: "),
        (b"max_retries = 1\nmax_retries = 2", "dlq.toml is not TOML: "),
        (b"a = " + b"[" * 16_000, "dlq.toml is not TOML: "),
        (b"max_retries = " + b"9" * 5000, "dlq.toml"),
        (b"max_retries = 0x" + b"f" * 16_000, "max_retries=<int>: must be"),
        (b"jitter = 0x" + b"f" * 16_000, "jitter=<int>: must be"),
        (b"jitter = nan", "jitter=nan: must be"),
        (b"min_age = -inf", "min_age=-inf: must be"),
        (b"min_age = 2020-01-01", "min_age=datetime.date(2020, 1, 1): must be"),
        (b"max_retries = true", "max_retries=True: must be"),
        (b"backoff = ['fixed=1']", "backoff=['fixed=1']: must be"),
        (b"priority = {name = 'fifo'}", "priority={'name': 'fifo'}: must be"),
        (b"enabled = 'no'", "enabled='no': must be"),
        (b"a" + b".a" * 8_000 + b" = 1", "unknown setting 'a'"),
        (b"x" * 16_000 + b" = 1", "unknown setting 'xxxxxxxxxxxx...xxxxxxxxxxxxx'"),
        (b"max_retries = 3\n" + b"#" * 16_384, "has more than 16384 bytes"),
        (b"max_retries: 3\n", "dlq.toml is not TOML: "),
        (b'{"max_retries": 3}', "dlq.toml is not TOML: "),
        (b"import os; os.mkdir('made')", "dlq.toml is not TOML: "),
        (b"max_retries = __import__('os').mkdir('made')", "dlq.toml is not TOML: "),
        (b"[tool.azoth-dlq]\nmax_retries = 3", "unknown setting 'tool'"),
        (b"\xff\xfem\x00a\x00", "dlq.toml is not UTF-8, as TOML must be, at byte 1"),
        (b"max_retries = 3\x00", "dlq.toml is not TOML: "),
        (b"# \xff", "dlq.toml is not UTF-8, as TOML must be, at byte 3"),
    ],
)
def test_a_wrong_file_of_settings_is_told_by_name(
    workplace: Workplace, content: bytes, told: str
) -> None:
    (workplace.folder / "dlq.toml").write_bytes(content)
    line = error_line(workplace.run("status", "none.db", "--config", "dlq.toml"), 2)
    assert "--config" in line
    assert told in line
    assert len(line) < 1000
    assert not (workplace.folder / "made").exists()


@pytest.mark.parametrize(("name", "told"), [("none.toml", "No such file"), (".", "directory")])
def test_a_file_of_settings_that_cannot_be_read_is_told(
    workplace: Workplace, name: str, told: str
) -> None:
    line = error_line(workplace.run("status", "none.db", "--config", name), 2)
    assert f"{name} cannot be read" in line
    assert told in line


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--timeout", "500ms", "90s, 15m, 2h, 3d, 1h30m (seconds, minutes, hours, days)"),
        ("--timeout", "30sec", "at least 0.000001 s, or never"),
        ("--check-interval", "5min", "(seconds, minutes, hours, days); at least 0.000001 s"),
    ],
)
def test_a_duration_of_another_form_is_told_what_is_allowed(
    workplace: Workplace, option: str, value: str, told: str
) -> None:
    arguments = ("drain", "x.db", "--handlers", "handlers:registry", option, value)
    line = error_line(workplace.run(*arguments), 2)
    assert f"{option}" in line
    assert told in line
    assert line.endswith("drain --help")
