"""What is imported when: a program waits for no more than it uses."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

import azoth_dlq
from azoth_dlq import DlqReplayConfig
from tests.programs import run_program

ADD = """
from azoth_dlq import DeadLetterQueue
with DeadLetterQueue.open("letters.db") as queue:
    queue.add(1, b"ok:", "boom")
"""
DRAIN = f"""
from azoth_dlq import DlqReplayConfig, DlqReplayer, EventHandlerRegistry
registry = EventHandlerRegistry()
registry.register("ok", lambda conn, event_id, payload: None)
{ADD}
    assert DlqReplayer(queue, registry, DlqReplayConfig()).drain(now=True).succeeded == 1
"""
# What takes as long as all of the package, or a good part of that, and serves few programs.
NEVER = {"azoth_dlq.cli", "azoth_dlq.types", "click", "difflib", "pathlib", "urllib.parse"}
NOT_ON_POSIX = set() if sys.platform == "win32" else {"platform"}
NOT_TO_ADD = {"azoth_dlq.config", "azoth_dlq.engine.drain", "dataclasses", "inspect", "logging"}


def _brought(program: str, folder: Path) -> set[str]:
    """The modules that it imports beyond those of Python's start and `sqlite3`."""
    around = "import sqlite3, sys\nbefore = set(sys.modules)\n{}\nprint(*{{*sys.modules}} - before)"
    return set(run_program(around.format(program), folder).split())


def test_the_package_alone_brings_none_of_its_modules(tmp_path: Path) -> None:
    brought = _brought("import azoth_dlq", tmp_path)
    assert "azoth_dlq" in brought
    assert not [module for module in brought if module.startswith("azoth_dlq.")]
    assert not brought & {"dataclasses", "enum", "inspect", "logging", "re", "typing"}


@pytest.mark.parametrize(
    ("program", "unneeded"),
    [(ADD, NEVER | NOT_TO_ADD | NOT_ON_POSIX), (DRAIN, NEVER | NOT_ON_POSIX)],
    ids=["add", "drain"],
)
def test_a_program_brings_no_module_that_it_does_not_need(
    program: str, unneeded: set[str], tmp_path: Path
) -> None:
    brought = _brought(program, tmp_path)
    assert "azoth_dlq.store.sqlite" in brought
    assert not brought & unneeded


def test_a_command_brings_no_other_one(tmp_path: Path) -> None:
    run_program(ADD, tmp_path)
    program = "from azoth_dlq.cli import main\nmain(['status', 'letters.db', '--json'])"
    brought = _brought(program, tmp_path)
    assert "azoth_dlq.cli.status" in brought
    assert not brought & {"azoth_dlq.cli.listing", "azoth_dlq.replayer", "pathlib", "tomllib"}


def test_what_draws_is_brought_by_a_view_alone(tmp_path: Path) -> None:
    run_program(ADD, tmp_path)
    (tmp_path / "handlers.py").write_text(
        "from azoth_dlq import EventHandlerRegistry\nregistry = EventHandlerRegistry()\n"
        "registry.register('ok', lambda conn, event_id, payload: None)"
    )
    for command in ("drain', '--handlers', 'handlers:registry", "status"):
        program = f"from azoth_dlq.cli import main\nmain(['{command}', 'letters.db', '--json'])"
        brought = _brought(program, tmp_path)
        assert "azoth_dlq.cli.output" in brought
        assert not {name for name in brought if name.startswith("rich")}
        assert not brought & {"azoth_dlq.cli.live", "azoth_dlq.cli.watch", "termios"}


def test_the_names_are_listed_before_they_are_used(tmp_path: Path) -> None:
    listed = run_program("import azoth_dlq; print(*dir(azoth_dlq))", tmp_path).split()
    assert listed == sorted(set(listed))
    assert {*vars(azoth_dlq)["__all__"], "__doc__", "__all__"} <= set(listed)


def test_a_name_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert not hasattr(azoth_dlq, "DeadLetters")
    with pytest.raises(AttributeError, match="module 'azoth_dlq' has no attribute 'DeadLetters'"):
        getattr(azoth_dlq, "DeadLetters")  # noqa: B009 -- type checkers know that there is none
    program = "try: from azoth_dlq import Letters\nexcept ImportError as error: print(error)"
    assert run_program(program, tmp_path).startswith(
        "cannot import name 'Letters' from 'azoth_dlq'"
    )


@pytest.mark.parametrize("name", ["backoff", "errors", "filters", "metrics", "queue", "types"])
@pytest.mark.parametrize(
    "statement",
    ["import azoth_dlq", "import azoth_dlq.{0}", "import azoth_dlq; from azoth_dlq import {0}"],
)
def test_a_module_that_holds_names_is_there(name: str, statement: str, tmp_path: Path) -> None:
    program = f"{statement.format(name)}; print(azoth_dlq.{name}.__name__)"
    assert run_program(program, tmp_path) == f"azoth_dlq.{name}\n"


def test_a_pickle_is_read_where_nothing_is_imported(tmp_path: Path) -> None:
    config = DlqReplayConfig(max_retries=7)
    program = f"import pickle; print(pickle.loads({pickle.dumps(config)!r}).max_retries)"
    assert run_program(program, tmp_path) == "7\n"


# One program of four met a deadlock of imports where a package imported modules of its own.
@pytest.mark.parametrize("_", range(10))
def test_threads_that_ask_at_once_get_the_same(tmp_path: Path, _: int) -> None:
    program = """
import sys, threading
import azoth_dlq
sys.setswitchinterval(1e-6)
names, found = azoth_dlq.__all__, []
barrier = threading.Barrier(8)
def ask(shift):
    barrier.wait()
    order = names[shift:] + names[:shift]
    found.append({name: getattr(azoth_dlq, name) for name in order})
threads = [threading.Thread(target=ask, args=(3 * n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), all(one == found[0] for one in found))
"""
    assert run_program(program, tmp_path) == "8 True\n"
