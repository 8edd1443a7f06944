"""The site of the documents, and what is checked of pages whose text no command prints."""

from __future__ import annotations

import ast
import html
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

import azoth_dlq
from azoth_dlq import DeadLetterQueue
from azoth_dlq.cli import azoth_dlq as program
from azoth_dlq.store.sqlite.migrations import ALL, migrate
from tests.documents import DOCS

ROOT = DOCS.parent
SOURCE = ROOT / "src" / "azoth_dlq"
PAGES = {path: path.read_text("utf-8") for path in sorted(DOCS.rglob("*.md"))}
# Languages of blocks that are played, compiled or parsed; and those that are drawings.
TRIED = {"python", "console", "py", "ini", "dockerfile", "crontab"}
DRAWN = {"", "mermaid"}
ALL_NAMES: list[str] = vars(azoth_dlq)["__all__"]  # type checkers see imports in its place
SYSTEMD_ANALYZE = shutil.which("systemd-analyze")


def _blocks(*languages: str) -> list[str]:
    """The text of all blocks of these languages."""
    text = "\n".join(PAGES.values())
    kinds = "|".join(languages)
    found = re.findall(rf"^( *)```(?:{kinds})\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def _commands() -> Iterator[list[str]]:
    """The command lines of ours that units, containers, crontabs and sentences have."""
    [unit], [container] = _blocks("ini"), _blocks("dockerfile")
    yield from map(shlex.split, re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE))
    yield from map(json.loads, re.findall(r"^ENTRYPOINT (.*)$", container, re.MULTILINE))
    for line in "".join(_blocks("crontab")).splitlines():
        for command in line.split(maxsplit=5)[5].split("&&"):
            words = shlex.split(command.partition(">")[0])
            if words[0].endswith("azoth-dlq"):
                yield words
    names = "|".join(program.list_commands(click.Context(program)))
    for command in re.findall(rf"`(azoth-dlq (?:{names}) [^`|]*)", "\n".join(PAGES.values())):
        if "…" not in command and "--help" not in command:
            yield shlex.split(command.removesuffix("\\"))


def test_no_block_is_of_a_kind_that_nothing_tries() -> None:
    for page, text in PAGES.items():
        fences = re.findall(r"^ *```(.*)$", text, re.MULTILINE)
        kinds = {fence.removesuffix(" differs") for fence in fences[::2]}
        directives = {kind for kind in kinds if kind.startswith("{")}
        assert kinds - directives <= TRIED | DRAWN, page


@pytest.mark.parametrize("block", _blocks("mermaid"), ids=lambda text: text.partition("\n")[0])
def test_no_drawing_has_what_ends_a_line_of_it(block: str) -> None:
    """A ; does, and of states a second : in a label."""
    assert ";" not in block
    if block.startswith("stateDiagram"):
        assert [line for line in block.splitlines() if line.count(":") > 1] == []


@pytest.mark.parametrize("block", _blocks("python", "py"), ids=lambda text: text.partition("\n")[0])
def test_the_programs_compile(block: str) -> None:
    assert ast.parse(block).body


@pytest.mark.parametrize("words", list(_commands()), ids=" ".join)
def test_the_commands_that_are_not_played_parse(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZOTH_DLQ_DB", "shop.db")
    assert Path(words[0]).name == "azoth-dlq"
    context = click.Context(program)
    command = program.get_command(context, words[1])
    assert command is not None
    command.make_context(words[1], words[2:], parent=context).close()


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="needs systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "azoth-dlq.service"
    unit.write_text(_blocks("ini")[0].replace("/srv/shop/.venv/bin/azoth-dlq", sys.executable))
    done = subprocess.run(
        [SYSTEMD_ANALYZE or "", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if "azoth-dlq" in line]
    assert told == []


def test_the_page_of_tables_has_every_table_and_column(tmp_path: Path) -> None:
    with DeadLetterQueue.open(tmp_path / "new.db") as dlq, dlq.connection:
        migrate(dlq.connection, ALL)
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        found = connection.execute(
            "SELECT t.name, c.name FROM sqlite_master AS t, pragma_table_info(t.name) AS c "
            "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'"
        ).fetchall()
    told = set()
    for section in re.split("^## ", (DOCS / "tables.md").read_text("utf-8"), flags=re.MULTILINE):
        heading, _, text = section.partition("\n")
        told |= {(t, c) for t in heading.split(" and ") for c in re.findall(r"`(\w+)`", text)}
    assert len(found) > 50
    assert set(found) - told == set()


def _texts_of_the_program() -> str:
    """All literals of the source but docstrings, the parts of one joined, with … for what is filled
    in."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for child in ast.iter_child_nodes(node):
                is_docstring = isinstance(node, ast.Expr)
                if isinstance(child, ast.JoinedStr):
                    parts = [p.value if isinstance(p, ast.Constant) else "…" for p in child.values]
                    found.append("".join(map(str, parts)))
                elif isinstance(child, ast.Constant) and not is_docstring:
                    found.append(str(child.value))
    for path in SOURCE.rglob("*.pyx"):
        text = re.sub(r'"""(?:.|\n)*?"""|#.*', "", path.read_text("utf-8"))
        found += re.findall(r'"(.*?)"', text)
    return "\n".join(found)


def test_the_messages_told_are_those_of_the_program() -> None:
    texts = _texts_of_the_program()
    rows = re.findall(r"^\| (`.*?) \|", (DOCS / "errors.md").read_text("utf-8"), re.MULTILINE)
    assert len(rows) > 20
    for row in rows:
        for message in re.findall(r"`(.*?)`", row):
            for part in filter(None, map(str.strip, message.split("…"))):
                assert part in texts, part


def test_the_api_has_every_public_name() -> None:
    text = (DOCS / "api.md").read_text("utf-8")
    named = re.findall(r"^\.\. auto\w+:: (\w+)(?:\(.*\))?$", text, re.MULTILINE)
    assert sorted(named) == sorted(ALL_NAMES)


@pytest.mark.skipif(find_spec("furo") is None, reason="needs `.[docs]`")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "docs", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "site" / "cli.html").read_text("utf-8")
    shown = html.unescape(re.sub("<.*?>", "", page))
    assert _help("drain") in shown


def _help(command: str) -> str:
    """What a wide terminal shows."""
    return subprocess.run(
        [sys.executable, "-m", "azoth_dlq", command, "--help"],
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    ).stdout.strip()
