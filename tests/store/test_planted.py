"""What somebody who may write to its folder has put beside the database."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayer, EventHandlerRegistry, StorageError
from azoth_dlq.store.sqlite import open_for_looking
from azoth_dlq.store.sqlite.beside import create_beside
from azoth_dlq.store.sqlite.presence import Presence
from tests.attacks import Attack
from tests.store.conftest import execute

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such links and pipes")

PRECIOUS = b"precious" * 1000


def _link(path: Path, precious: Path) -> None:
    path.symlink_to(precious)


def _link_to_nothing(path: Path, precious: Path) -> None:
    path.symlink_to(precious.with_name("nowhere"))


def _pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path, _: Path) -> None:
    path.mkdir()


PLANTS = [_link, _link_to_nothing, _pipe, _folder]


@pytest.fixture
def path(path: Path) -> Path:
    with DeadLetterQueue.open(path) as queue:
        queue.add(1, b"ok:x", "boom")
    return path


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    file = tmp_path / "elsewhere" / "precious"
    file.parent.mkdir()
    file.write_bytes(PRECIOUS)
    return file


def untouched(precious: Path) -> bool:
    return list(precious.parent.iterdir()) == [precious] and precious.read_bytes() == PRECIOUS


def drain(path: Path) -> int:
    registry = EventHandlerRegistry()
    registry.register("ok", lambda *_: None)
    with DeadLetterQueue.open(path) as queue:
        return DlqReplayer(queue, registry).drain(now=True).succeeded


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
@pytest.mark.parametrize("plant", PLANTS)
def test_what_stands_where_sqlite_keeps_its_log_is_refused_at_once(
    path: Path, precious: Path, plant: Callable[[Path, Path], None], suffix: str, attack: Attack
) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    for mode in ("WAL", "DELETE"):
        execute(path, f"PRAGMA journal_mode = {mode}")
        planted = Path(f"{path}{suffix}")
        plant(planted, precious)
        for file in (path, link):
            for go in (drain, DeadLetterQueue.open, open_for_looking):
                with pytest.raises(StorageError, match=f"{suffix} is no ordinary file"):
                    go(file)
                attack.struck("planted file beside the database")
        planted.rmdir() if planted.is_dir() else planted.unlink()
    assert untouched(precious)
    assert drain(path) == 1


def test_a_link_that_takes_the_place_of_a_drains_lock_is_not_written_through(
    path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch, attack: Attack
) -> None:
    """Between its making and its opening by SQLite."""

    def make_and_swap(database: str, file: str, flags: int) -> int:
        descriptor = create_beside(database, file, flags)
        Path(file).unlink()
        Path(file).symlink_to(precious)
        return descriptor

    monkeypatch.setattr("azoth_dlq.store.sqlite.presence.create_beside", make_and_swap)
    present = Presence(str(path))
    try:
        with pytest.raises(StorageError, match="is not an SQLite database"):
            present.take()
    finally:
        present.leave()
    assert untouched(precious)
    attack.struck("planted file beside the database")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
@pytest.mark.parametrize("umask", [0, 0o077])
def test_all_that_lies_beside_a_database_has_its_mode(path: Path, mode: int, umask: int) -> None:
    """The log of SQLite and what a drain keeps, while a handler runs."""
    path.chmod(mode)
    modes: dict[str, int] = {}

    def look(*_: object) -> None:
        modes.update({p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.glob("*.db*")})

    registry = EventHandlerRegistry()
    registry.register("ok", look)
    before = os.umask(umask)
    try:
        with DeadLetterQueue.open(path) as queue:
            DlqReplayer(queue, registry).drain(now=True)
    finally:
        os.umask(before)
    assert len(modes) == 5
    assert set(modes.values()) == {mode}


TUNE = """
import os, pathlib, stat
from azoth_dlq import EventHandlerRegistry
registry = EventHandlerRegistry()
@registry.handler("ok")
def ok(conn, event_id, payload):
    copy = pathlib.Path(conn.execute("PRAGMA database_list").fetchone()[2])
    modes = {stat.S_IMODE(folder.stat().st_mode) for folder in (copy.parent, copy.parent.parent)}
    open("modes", "w").write(" ".join(f"{mode:o}" for mode in modes))
"""


def test_nobody_else_can_read_the_copies_of_tune(path: Path) -> None:
    path.chmod(0o600)
    path.with_name("handlers.py").write_text(TUNE)
    command = [sys.executable, "-m", "azoth_dlq", "tune", path.name, "--now", "--budget", "1"]
    command += ["--handlers", "handlers:registry"]
    before = os.umask(0)
    try:
        subprocess.run(command, cwd=path.parent, check=False, capture_output=True, timeout=60)
    finally:
        os.umask(before)
    assert path.with_name("modes").read_text() == "700"
