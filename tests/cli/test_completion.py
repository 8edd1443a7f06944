"""Shell completion: what is offered for what stands on the line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Workplace, error_line

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
    assert offered(workplace, "d") == ["plain,drain", "plain,discard", "plain,demo"]
    assert offered(workplace, "st", form="zsh")[:2] == ["plain", "status"]
    assert offered(workplace, "st", form="fish")[0].startswith("plain,status\t")


def test_options_are_completed(workplace: Workplace) -> None:
    assert offered(workplace, "show", "x.db", "--pa") == [
        "plain,--parked",
        "plain,--parked-for",
        "plain,--payload",
    ]
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


def script(workplace: Workplace, shell: str) -> str:
    """What the command prints for a shell."""
    done = workplace.run("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def in_shell(workplace: Workplace, program: str, *arguments: str) -> str:
    """What a shell prints, which finds azoth-dlq."""
    done = subprocess.run(
        [program, *arguments],
        env={**workplace.environment, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"},
        cwd=workplace.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["req"], "requeue"),
        (["completion", "f"], "fish"),
        (["show", "x.db", "--pay"], "--payload"),
        (["drain", "x.db", "--priority", "li"], "lifo"),
    ],
)
def test_bash_completes_by_the_line_that_the_help_names(
    workplace: Workplace, words: list[str], completed: str
) -> None:
    told = workplace.run("completion", "--help").stdout
    [line] = re.findall(r"^ +bash +(eval .*)$", told, re.MULTILINE)
    typed = " ".join(["azoth-dlq", *words])
    completes = f"COMP_WORDS=({typed}) COMP_CWORD={len(words)}; _azoth_dlq_completion azoth-dlq"
    printed = in_shell(workplace, str(BASH), "-c", f'{line}; {completes}; echo "${{COMPREPLY[@]}}"')
    assert printed == f"{completed}\n"


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_reads_its_script(workplace: Workplace) -> None:
    asked = (
        f"autoload -U compinit; compinit -u; {script(workplace, 'zsh')}; echo $_comps[azoth-dlq]"
    )
    assert in_shell(workplace, "zsh", "-f", "-c", asked).strip() == "_azoth_dlq_completion"


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes_by_its_script(workplace: Workplace) -> None:
    asked = f"{script(workplace, 'fish')}; complete --do-complete 'azoth-dlq req'"
    assert in_shell(workplace, "fish", "--no-config", "-c", asked).startswith("requeue")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_their_function(workplace: Workplace, shell: str) -> None:
    assert f"_AZOTH_DLQ_COMPLETE={shell}_complete" in script(workplace, shell)


def test_a_shell_that_is_not_known_is_told_which_are(workplace: Workplace) -> None:
    line = error_line(workplace.run("completion", "csh"), 2)
    assert all(shell in line for shell in ("bash", "zsh", "fish"))
