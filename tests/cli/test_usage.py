"""The command line as a whole: help, wrong usage, and output that cannot be written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import pytest

from azoth_dlq import cli
from azoth_dlq.cli import azoth_dlq, main
from azoth_dlq.store.sqlite import SqliteStore
from tests.cli.conftest import Workplace, error_line

COMMANDS = list(azoth_dlq.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_examples(workplace: Workplace, command: str) -> None:
    done = workplace.run(command, "--help")
    assert done.returncode == 0
    assert f"Usage: azoth-dlq {command} " in done.stdout
    assert re.search(rf"Examples:\n +azoth-dlq {command}", done.stdout)
    assert re.search(r"^Exit codes:\n +0 .*\n +1 .*\n +2 .*\n +130 ", done.stdout, re.MULTILINE)
    assert done.stderr == ""
    see_also = done.stdout.split("See also:\n")[1].rpartition(": ")[0].replace(",", " ").split()
    assert set(see_also) <= set(COMMANDS) - {command}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_example_is_a_command_that_can_be_given(command: str) -> None:
    epilog = str(azoth_dlq.commands[command].epilog).replace("\\\n", " ")
    examples = re.findall(rf"^ +azoth-dlq {command}\b(.*)$", epilog, re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(re.split(r" [|>] ?| &&", example)[0])
        azoth_dlq.commands[command].make_context(command, words)


def test_settings_are_listed_apart(workplace: Workplace) -> None:
    told = workplace.run("drain", "--help").stdout
    options, settings = told.split("\nSettings:\n")
    assert "--handlers" in options
    assert "--json" in options
    assert "--max-retries" not in options
    assert re.findall(r"^  (--[\w-]+)", settings, re.MULTILINE)[:2] == ["--config", "--enabled"]
    assert re.search(r"^Where:\n  DB +the .*\n(.*\n)*  DURATION +seconds, ", told, re.MULTILINE)


def test_without_a_command_it_explains_itself(workplace: Workplace) -> None:
    bare, asked = workplace.run(), workplace.run("--help")
    assert (bare.returncode, bare.stderr) == (0, "")
    assert bare.stdout == asked.stdout
    assert "\nLook:\n  status " in bare.stdout


def test_help_lists_the_commands(workplace: Workplace) -> None:
    done = workplace.run("-h")
    assert done.returncode == 0
    for heading in ("Look", "Replay", "Act on letters", "Move", "Begin and tune"):
        assert f"\n{heading}:\n  " in done.stdout
    listed = re.findall(r"^  ([a-z]+) +[A-Z]", done.stdout.split("\nLook:\n")[1], re.MULTILINE)
    assert [name for name in listed if name in COMMANDS] == COMMANDS
    modules = Path(cli.__file__).parent.glob("*.py")
    made = {m.stem for m in modules if "\ndef command(" in m.read_text("utf-8")}
    elsewhere = {"listing": "list", "exporting": "export", "importing": "import"}
    assert {elsewhere.get(name, name) for name in made} == set(COMMANDS)


def test_help_tells_of_what_all_commands_have_in_common(workplace: Workplace) -> None:
    told = workplace.run("--help").stdout
    for word in ("AZOTH_DLQ_DB", "--utc", "1h30m", "Exit codes", "azoth-dlq completion bash"):
        assert word in told


def test_the_version_is_that_of_the_package(workplace: Workplace) -> None:
    assert workplace.run("--version").stdout == f"azoth-dlq {version('azoth-dlq')}\n"


def test_the_installed_script_runs(workplace: Workplace) -> None:
    """It finds handlers in the current directory, which Python puts in the path for -m alone."""
    script = Path(sys.executable).parent / ("azoth-dlq.exe" if os.name == "nt" else "azoth-dlq")
    workplace.make("ok")
    assert workplace.drain(program=[script]).returncode == 0
    assert workplace.count("effects") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["drian"], "No such command 'drian'"),
        (["--jsno"], "No such option"),
        (["status"], "Missing argument 'DB'; see azoth-dlq status --help"),
        (["status", "a.db", "b.db"], "unexpected extra argument (b.db)"),
        (["status", "a.db", "--min-aeg", "5"], "--min-age"),
        (["status", "a.db", "--min-age"], "requires an argument"),
        (["drain", "a.db"], "Missing option '--handlers'; see azoth-dlq drain --help"),
        (["run", "a.db"], "Missing option '--handlers'; see azoth-dlq run --help"),
        (["run", "a.db", "--now"], "No such option"),
        (["demo", "--output"], "requires an argument"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    workplace: Workplace, arguments: list[str], told: str
) -> None:
    assert told in error_line(workplace.run(*arguments), 2)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("ZeroDivisionError('no')", "unexpected ZeroDivisionError: no ("),
        ("azoth_dlq.InvalidStateError('a transaction is open')", "a transaction is open"),
    ],
)
def test_what_nobody_expected_is_told_in_one_line(
    workplace: Workplace, raised: str, told: str
) -> None:
    workplace.make("ok")
    workplace.add_handler(
        f"import azoth_dlq\ndef drain(*_, **__):\n    raise {raised}\n"
        "azoth_dlq.DlqReplayer.drain = drain\n"
    )
    line = error_line(workplace.drain("--json"), 1)
    assert line.startswith(f"azoth-dlq: {told}")
    assert line.endswith("please report it as a defect") == ("unexpected" in told)


def test_control_characters_of_arguments_are_shown_not_obeyed(workplace: Workplace) -> None:
    line = error_line(workplace.run("status", "a\x1b[31m\nb.db"), 1)
    assert "\x1b" not in line


def test_a_reader_that_goes_away_is_no_trouble(workplace: Workplace) -> None:
    workplace.make("ok")
    reading, writing = os.pipe()
    os.close(reading)
    with workplace.start("status", "projection.db", stdout=writing) as process:
        os.close(writing)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_told(workplace: Workplace) -> None:
    workplace.make("ok")
    with Path("/dev/full").open("w") as full:
        done = workplace.run("status", "projection.db", stdout=full)
    assert done.returncode == 1
    reason = "No space left on device; what was done before stays"
    assert done.stderr == f"azoth-dlq: stdout cannot be written: {reason}\n"


def test_too_little_memory_is_told(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    workplace.make("ok")
    monkeypatch.setattr(SqliteStore, "find", find)
    assert main(["list", str(workplace.database)]) == 1
    told = "azoth-dlq: there is not enough memory; what was committed before stays\n"
    assert capsys.readouterr().err == told


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell closes the streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_are_no_trouble(workplace: Workplace, closed: str) -> None:
    workplace.make("ok", "fails")
    command = f"{sys.executable} -m azoth_dlq drain projection.db --handlers handlers:registry"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} {closed}"],
        cwd=workplace.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert workplace.count("effects") == 1


def test_texts_beyond_the_terminals_encoding_are_escaped(workplace: Workplace) -> None:
    workplace.make("ok", error_message="超时 ü")
    workplace.environment["PYTHONIOENCODING"] = "latin-1"
    done = workplace.run("status", "projection.db", encoding="latin-1")
    assert done.returncode == 0
    assert r"\u8d85\u65f6 ü" in done.stdout


def test_the_version_costs_no_module_that_it_does_not_need() -> None:
    code = "import sys; from azoth_dlq.cli import main; main(['--version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[1].split())
    assert "azoth_dlq.cli.output" in loaded
    assert not loaded & {"asyncio", "azoth_dlq.cli.status", "azoth_dlq.queue", "tomllib"}
