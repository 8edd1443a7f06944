"""The file that an export makes: whole under its name or not there, and gone on with."""

from __future__ import annotations

import errno
import gzip
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import ConfigError, DeadLetterQueue, ExchangeError, ExportReport, LetterFilter
from azoth_dlq.exchange import members, partial, walking
from tests.exchange.files import export, fail_some, lines_of, stored, take_in

NAMES = ["letters.jsonl", "letters.jsonl.gz"]
NOT_WINDOWS = pytest.mark.skipif(os.name == "nt", reason="Windows has neither modes nor links")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    fail_some(tmp_path / "a.db")
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        queue.add_many([(n, f"ok:{n}".encode() * 50, "boom") for n in range(100)])
    return tmp_path / "a.db"


@pytest.fixture(autouse=True)
def _small_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_MEMBER_BYTES", 2000)


def _export(database: Path, target: Path, *args: Any, **options: Any) -> ExportReport:
    with DeadLetterQueue.open(database) as queue:
        return queue.export_to(target, *args, **options)


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")


def _letters(file: Path) -> list[tuple[str, int]]:
    return [(one["table"], one["id"]) for one in lines_of(file)[1:-1]]


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_export_is_gone_on_with_wherever_it_ended(
    database: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name
    whole = export(database, target).read_bytes()
    letters = _letters(target)
    target.unlink()
    resumed = set()
    for end in [*range(0, len(whole), len(whole) // 60), len(whole)]:
        _partial(target).write_bytes(whole[:end])
        report = _export(database, target)
        assert _letters(target) == letters
        assert not _partial(target).exists()
        assert (report.dead, report.parked) == (104, 2)
        resumed.add(report.resumed)
        target.unlink()
    assert {0, 106} <= resumed
    assert len(resumed) > 20


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_letter_in_it_and_all_behind_is_written_anew(
    database: Path, tmp_path: Path, name: str
) -> None:
    """As after a loss of power."""
    target = tmp_path / name
    whole = export(database, target).read_bytes()
    letters = _letters(target)
    target.unlink()
    middle = len(whole) // 2
    _partial(target).write_bytes(whole[:middle] + bytes(4096) + whole[middle + 4096 :])
    report = _export(database, target)
    assert 0 < report.resumed < 106
    assert _letters(target) == letters


def test_letters_that_changed_meanwhile_stand_there_once(database: Path, tmp_path: Path) -> None:
    """Some are gone, parked, requeued or new: none is missing that is there, none stands twice."""
    target = tmp_path / "letters.jsonl"
    lines = export(database, target).read_bytes().splitlines(keepends=True)
    target.unlink()
    _partial(target).write_bytes(b"".join(lines[:50]))
    with DeadLetterQueue.open(database) as queue:
        queue.discard([2, 90])
        queue.requeue([1])  # a dead letter again, with an id that is behind already
        new = queue.add(1, b"new:", "boom")
        queue.mark_retry(3)
    report = _export(database, target)
    assert report.resumed == 49
    ids = [row_id for table, row_id in _letters(target) if table == "dead_letter_queue"]
    assert sorted(ids) == sorted(set(ids))
    with DeadLetterQueue.open(database) as queue:
        there = {letter.id for letter in queue.letters(1000)}
    assert set(ids) == there | {2}
    assert new in ids
    assert 90 not in ids
    assert take_in(tmp_path / "b.db", target).before == 0


def test_what_was_left_of_other_letters_is_not_gone_on_with(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "letters.jsonl"
    lines = export(database, target).read_bytes().splitlines(keepends=True)
    target.unlink()
    begun = b"".join(lines[:50])
    fail_some(tmp_path / "b.db")
    for file, which in (
        (tmp_path / "b.db", None),
        (database, LetterFilter(parked=False)),
        (database, LetterFilter(min_retry_count=9)),
    ):
        _partial(target).write_bytes(begun)
        report = _export(file, target, which)
        assert (report.resumed, report.restarted) == (
            0,
            "it is of other letters, or of another file",
        )
        target.unlink()
    _partial(target).write_bytes(b"something else\n")
    assert _export(database, target).restarted == "it is no export of azoth-dlq"
    target.unlink()
    _partial(target).write_bytes(begun)
    assert _export(database, target, resume=False).resumed == 0


def test_a_file_without_an_identity_is_known_by_its_letters(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "letters.jsonl"
    with DeadLetterQueue.open(database) as queue:
        queue.connection.execute("DELETE FROM azoth_dlq_state WHERE key = 'identity'")
    lines = export(database, target).read_bytes().splitlines(keepends=True)
    for row_id, resumed in ((None, 49), (json.loads(lines[49])["id"], 0)):
        target.unlink()
        _partial(target).write_bytes(b"".join(lines[:50]))
        with DeadLetterQueue.open(database) as queue:
            queue.discard([] if row_id is None else [row_id])
        report = _export(database, target)
        assert report.resumed == resumed


def test_one_that_exists_stays(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "letters.jsonl"
    target.write_text("mine")
    with pytest.raises(ExchangeError, match="exists; choose another name"):
        _export(database, target)
    assert target.read_text() == "mine"
    assert not _partial(target).exists()
    _export(database, target, force=True)
    assert len(_letters(target)) == 106


def test_one_that_is_made_meanwhile_stays(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "letters.jsonl"
    publish = partial.PartialFile.publish

    def publish_later(self: partial.PartialFile) -> None:
        target.write_text("mine")
        publish(self)

    monkeypatch.setattr(partial.PartialFile, "publish", publish_later)
    with pytest.raises(ExchangeError, match="has been made meanwhile"):
        _export(database, target)
    assert target.read_text() == "mine"
    assert _partial(target).exists()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", "-azoth", "-azoth-0f"])
def test_the_database_is_never_written_over(database: Path, tmp_path: Path, suffix: str) -> None:
    before = stored(database)
    (tmp_path / "link").symlink_to(f"{database}{suffix}")
    for name in (f"a.db{suffix}", f"./../{tmp_path.name}/a.db{suffix}", "link"):
        with pytest.raises(ExchangeError, match="belongs to the database itself"):
            _export(database, tmp_path / name, force=True)
    assert stored(database) == before


@NOT_WINDOWS
def test_it_is_its_owners_alone_whatever_the_umask(database: Path, tmp_path: Path) -> None:
    for mask in (0o000, 0o777):
        before = os.umask(mask)
        try:
            file = export(database, tmp_path / f"{mask}.jsonl")
        finally:
            os.umask(before)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@NOT_WINDOWS
def test_no_planted_link_is_followed(database: Path, tmp_path: Path) -> None:
    target, victim = tmp_path / "letters.jsonl", tmp_path / "victim"
    victim.write_text("mine")
    _partial(target).symlink_to(victim)
    with pytest.raises(ExchangeError, match="no ordinary file of yours; move it away"):
        _export(database, target)
    _partial(target).unlink()
    os.mkfifo(_partial(target))
    with pytest.raises(ExchangeError, match="no ordinary file of yours; move it away"):
        _export(database, target)
    _partial(target).unlink()
    _partial(target).hardlink_to(victim)
    _export(database, target)
    target.unlink()
    target.symlink_to(victim)
    with pytest.raises(ExchangeError, match="exists"):
        _export(database, target)
    _export(database, target, force=True)
    assert not target.is_symlink()
    assert victim.read_text() == "mine"


def test_a_folder_or_a_device_is_told(database: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "folder", Path(os.devnull)):
        with pytest.raises(ExchangeError, match=r"is no ordinary file|cannot be written"):
            _export(database, target, force=True)
    with pytest.raises(ExchangeError, match="cannot be written: No such file"):
        _export(database, tmp_path / "none" / "x.jsonl")


def test_two_exports_do_not_write_one_file(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "letters.jsonl"
    other = partial.PartialFile(str(target), force=False)
    with pytest.raises(ExchangeError, match="another export writes"):
        _export(database, target)
    other.leave()
    assert _export(database, target).dead == 104


def test_a_full_disk_is_told_and_what_is_written_is_gone_on_with(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "letters.jsonl"

    class Full:
        def __init__(self, file: Any) -> None:
            self._file = file
            self._room = 50

        def write(self, line: bytes) -> None:
            self._room -= 1
            if not self._room:
                self._file.flush()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._file.write(line)

    monkeypatch.setattr("azoth_dlq.exchange.exporting.MemberWriter", Full)
    with pytest.raises(ExchangeError, match="No space left on device; the same export goes on"):
        _export(database, target, gzip=True)
    assert not target.exists()
    monkeypatch.undo()
    assert _export(database, target).resumed == 48


def test_gzip_is_as_the_name_ends_or_as_it_is_asked_for(database: Path, tmp_path: Path) -> None:
    for name, asked, packed in (
        ("a.gz", None, True),
        ("b.gz", False, False),
        ("c.jsonl", None, False),
        ("d.jsonl", True, True),
    ):
        _export(database, tmp_path / name, gzip=asked)
        content = (tmp_path / name).read_bytes()
        assert content.startswith(b"\x1f\x8b") == packed
        assert (gzip.decompress(content) if packed else content).endswith(b"}\n")
    with pytest.raises(ConfigError, match="'jsonl' or 'csv'"):
        _export(database, tmp_path / "x", form="xml")


@pytest.mark.parametrize("work", [0.0, 1e9])
def test_without_a_log_others_commit_while_letters_are_written(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: float
) -> None:
    """In rollback mode a reader keeps them from it, so letters are read in parts: here of one."""
    monkeypatch.setattr(walking, "WORK_SECONDS", work)
    monkeypatch.setattr(walking, "YIELD_SECONDS", 0)
    with DeadLetterQueue.open(database) as queue:
        queue.connection.execute("PRAGMA journal_mode = DELETE")
        there = {letter.id for letter in queue.letters(1000)}
    with (
        DeadLetterQueue.open(database) as queue,
        DeadLetterQueue.open(database) as other,
        (tmp_path / "letters.jsonl").open("wb") as file,
    ):
        other.connection.execute("PRAGMA busy_timeout = 0")

        class Between:
            lines = 0

            def write(self, line: bytes) -> None:
                file.write(line)
                self.lines += 1

            def flush(self) -> None:
                file.flush()

        queue.export_to(Between())  # type: ignore[arg-type]  # as much of a stream as it takes
        between = Between()
        pauses = []

        def others_turn(_: float) -> None:
            pauses.append(1)
            if len(pauses) == 50:
                other.requeue([1])
                other.discard([2, 90])
                other.add(1, b"new:", "boom")

        monkeypatch.setattr(walking, "sleep", others_turn)
        file.seek(0)
        file.truncate()
        report = queue.export_to(between)  # type: ignore[arg-type]  # as above
        there_now = {letter.id for letter in queue.letters(1000)}
    ids = [i for table, i in _letters(tmp_path / "letters.jsonl") if table == "dead_letter_queue"]
    assert len(ids) == len(set(ids)) == report.dead
    if work:
        assert set(ids) == there == there_now
    else:
        assert set(ids) == there_now | {2}
        assert len(there_now) == len(there)
