"""The write-ahead log: copied and begun anew between groups, and emptied at the end."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq import ReplayReport
from azoth_dlq.store.sqlite import checkpoint, pragmas
from azoth_dlq.store.sqlite.checkpoint import bytes_of_log_in_use, length_of_log
from tests.conftest import Scene
from tests.store.conftest import execute


@pytest.mark.parametrize(("pages", "checkpointed"), [(1000, True), (0, False)])
def test_the_log_is_emptied_at_the_end_unless_its_owner_does_that(
    any_scene: Scene, pages: int, checkpointed: bool
) -> None:
    assert any_scene.path is not None
    any_scene.letter()
    execute(any_scene.path, "PRAGMA wal_checkpoint(TRUNCATE)")
    any_scene.conn.execute(f"PRAGMA wal_autocheckpoint = {pages}")
    before = any_scene.path.read_bytes()
    any_scene.drain()
    assert (any_scene.path.read_bytes() != before) is checkpointed


def test_a_large_log_begins_anew_between_groups(
    any_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where others write meanwhile; what was only copied would grow. Its file keeps its length
    until the end: to lengthen it again takes time."""
    monkeypatch.setattr(checkpoint, "LARGE_BYTES", 40_000)
    for _ in range(40):
        any_scene.letter()
    path = str(any_scene.path)
    in_use, lengths = [], []

    def look(_: ReplayReport) -> None:
        in_use.append(bytes_of_log_in_use(path))
        lengths.append(length_of_log(path))

    any_scene.replay(max_transaction_time=1e-6).drain(on_progress=look)
    assert len(in_use) == 40
    begun_anew = [before > after for before, after in itertools.pairwise(in_use)]
    assert sum(begun_anew) > 5
    assert max(in_use) < 80_000
    assert lengths == sorted(lengths)
    assert length_of_log(path) == 0


def test_a_log_that_a_reader_made_long_is_cut_once_it_has_left(
    any_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LARGE_BYTES", 40_000)
    assert any_scene.path is not None
    for _ in range(60):
        any_scene.letter()
    path, lengths = str(any_scene.path), []
    with closing(sqlite3.connect(any_scene.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM dead_letter_queue").fetchall()

        def look(report: ReplayReport) -> None:
            lengths.append(length_of_log(path))
            if report.attempted == 30:
                reader.execute("COMMIT")

        any_scene.replay(max_transaction_time=1e-6).drain(on_progress=look)
    assert max(lengths) > 200_000
    assert lengths[-1] < 90_000


def test_the_part_of_a_log_in_use_is_told_from_what_is_left_behind_it(path: Path) -> None:
    assert bytes_of_log_in_use(str(path)) == 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE filled (content)")
        for letters in (3, 50, 1, 0, 7):
            for _ in range(letters):
                connection.execute("INSERT INTO filled VALUES (randomblob(3000))")
            _, frames, _ = connection.execute(pragmas.CHECKPOINT).fetchone()
            if letters:
                assert bytes_of_log_in_use(str(path)) == 32 + frames * (24 + 4096)
            assert connection.execute(pragmas.BEGIN_LOG_ANEW).fetchone()[0] == 0
        assert length_of_log(str(path)) > 50 * 4096
        connection.execute(pragmas.EMPTY_LOG)
        assert bytes_of_log_in_use(str(path)) == length_of_log(str(path)) == 0
    path.with_name(f"{path.name}-wal").write_bytes(b"no log")
    assert bytes_of_log_in_use(str(path)) == 0


def test_a_log_that_a_reader_needs_grows_by_a_piece_before_it_is_tried_again(
    any_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any_scene.path is not None
    for _ in range(40):
        any_scene.letter()
    piece = 100_000
    monkeypatch.setattr(checkpoint, "LARGE_BYTES", piece)
    statements: list[str] = []
    with closing(sqlite3.connect(any_scene.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM dead_letter_queue").fetchall()
        any_scene.conn.set_trace_callback(statements.append)
        assert any_scene.drain(max_transaction_time=1e-6).succeeded == 40
        size = length_of_log(str(any_scene.path))
        assert size > 3 * piece
        ends = [s for s in statements if s in (pragmas.BEGIN_LOG_ANEW, pragmas.EMPTY_LOG)]
        assert 2 < len(ends) <= size / piece + 2
        reader.execute("COMMIT")
        any_scene.letter()
        any_scene.drain()
    assert length_of_log(str(any_scene.path)) < piece
