"""Shell completion: what is offered for what stands on the line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Workplace

BASH = shutil.which("bash")
SCRIPTS = Path(sys.executable).parent


def offered(workplace: Workplace, *words: str, form: str = "bash") -> list[str]:
    """What is offered for the last word, in the form that the shell's function reads."""
    workplace.environment |= {
        "_AZOTH_DLQ_COMPLETE": f"{form}_complete",
        "COMP_WORDS": " ".join(["azoth-dlq", *words]),
        "COMP_CWORD": words[-1] if form == "fish" else str(len(words)),
    }
    done = workplace.run()
    assert done.returncode == 0
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def test_commands_are_completed(workplace: Workplace) -> None:
    assert offered(workplace, "d") == ["plain,demo", "plain,discard", "plain,drain"]
    assert offered(workplace, "st", form="zsh")[:2] == ["plain", "status"]
    assert offered(workplace, "st", form="fish")[0].startswith("plain,status\t")


def test_options_are_completed(workplace: Workplace) -> None:
    assert offered(workplace, "show", "x.db", "--pa") == ["plain,--parked", "plain,--payload"]
    assert "plain,--check-interval" in offered(workplace, "run", "x.db", "--ch")


@pytest.mark.parametrize(
    "command", ["discard", "drain", "list", "requeue", "run", "show", "status"]
)
def test_a_database_is_completed_to_files(workplace: Workplace, command: str) -> None:
    assert offered(workplace, command, "proj") == ["file,proj"]


@pytest.mark.parametrize(
    "words", [("status", "x.db", "--config", "re"), ("demo", "--output", "re")]
)
def test_an_option_that_takes_a_file_is_completed_to_files(
    workplace: Workplace, words: tuple[str, ...]
) -> None:
    assert offered(workplace, *words) == ["file,re"]


@pytest.mark.parametrize(
    ("option", "start", "words"),
    [
        ("--priority", "l", ["lifo"]),
        ("--priority", "b", ["by-retry-count"]),
        ("--stop-on-consecutive-failures", "n", ["never"]),
        ("--backoff", "f", []),
        ("--handlers", "h", []),
    ],
)
def test_settings_are_completed_to_words_that_stand_alone(
    workplace: Workplace, option: str, start: str, words: list[str]
) -> None:
    expected = [f"plain,{word}" for word in words]
    assert offered(workplace, "drain", "x.db", option, start) == expected


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_bash_completes_by_the_function_that_the_help_names(workplace: Workplace) -> None:
    told = workplace.run("--help").stdout
    assert 'eval "$(_AZOTH_DLQ_COMPLETE=bash_source azoth-dlq)"' in told
    workplace.environment["_AZOTH_DLQ_COMPLETE"] = "bash_source"
    source = workplace.run()
    assert source.returncode == 0, source.stderr
    del workplace.environment["_AZOTH_DLQ_COMPLETE"]
    completes = "COMP_WORDS=(azoth-dlq re) COMP_CWORD=1; _azoth_dlq_completion azoth-dlq"
    script = f'{source.stdout}\n{completes}\necho "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        [str(BASH), "-c", script],
        env={**workplace.environment, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "requeue\n", done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_their_function(workplace: Workplace, shell: str) -> None:
    told = workplace.run("--help").stdout
    assert f"_AZOTH_DLQ_COMPLETE={shell}_source azoth-dlq" in told
    workplace.environment["_AZOTH_DLQ_COMPLETE"] = f"{shell}_source"
    done = workplace.run()
    assert done.returncode == 0
    assert f"_AZOTH_DLQ_COMPLETE={shell}_complete" in done.stdout
