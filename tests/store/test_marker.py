"""The file beside the database that keeps the letter in hand."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq import StorageError
from azoth_dlq.store.sqlite.marker import IN_HAND, LETTER, Marker
from tests.attacks import Attack
from tests.conftest import Scene
from tests.store.conftest import as_nobody

SIZE = 64 * 1024
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes and links")
NOBODY, SOMEBODY = 65534, 65533
AS_ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives files to other users: needs root"
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "letters.db"
    path.touch()
    return path


def beside(database: Path | None) -> Path:
    return Path(f"{database}-azoth")


@pytest.fixture
def marker(database: Path) -> Iterator[Marker]:
    with closing(Marker(str(database))) as marker:
        yield marker


def mark(marker: Marker, letter: int) -> None:
    """As a letter is isolated."""
    marker.slots[LETTER] = letter
    marker.slots[IN_HAND] = 1


def in_hand(marker: Marker) -> int | None:
    return marker.slots[LETTER] if marker.slots[IN_HAND] else None


# What it says


def test_a_new_marker_has_no_letter_in_hand(marker: Marker) -> None:
    assert in_hand(marker) is None
    assert marker.left_behind(None) is None


def test_a_letter_in_hand_is_left_behind_until_it_is_charged(
    marker: Marker, database: Path
) -> None:
    marker.start()
    mark(marker, 7)
    with closing(Marker(str(database))) as next_holder:
        left = next_holder.left_behind(None)
        assert left is not None
        assert (left.letters, left.in_batch) == ((7,), False)
        assert next_holder.left_behind(left.nonce + 1) == left
        assert next_holder.left_behind(left.nonce) is None


@pytest.mark.parametrize("letter", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_every_id_that_sqlite_has_can_be_in_hand(marker: Marker, letter: int) -> None:
    marker.start()
    mark(marker, letter)
    assert in_hand(marker) == letter


def test_each_group_has_a_nonce_of_its_own(marker: Marker) -> None:
    nonces = set()
    for _ in range(100):
        marker.start()
        assert in_hand(marker) is None
        mark(marker, 7)
        left = marker.left_behind(None)
        assert left is not None
        nonces.add(left[0])
    assert len(nonces) == 100
    assert min(nonces) >= 0


def test_a_letter_of_our_own_is_unmarked(marker: Marker) -> None:
    marker.start()
    mark(marker, 7)
    marker.unmark()
    assert marker.left_behind(None) is None


def test_a_letter_of_another_holder_stays_marked(marker: Marker, database: Path) -> None:
    marker.start()
    with closing(Marker(str(database))) as another:
        another.start()
        mark(another, 7)
        marker.unmark()
        assert in_hand(another) == 7


def test_a_start_of_the_machine_charges_nobody(marker: Marker, database: Path) -> None:
    marker.start()
    mark(marker, 7)
    content = bytearray(beside(database).read_bytes())
    content[8] ^= 1
    beside(database).write_bytes(content)
    with closing(Marker(str(database))) as next_holder:
        assert next_holder.left_behind(None) is None


# The file


@pytest.mark.parametrize("content", [b"", bytes(SIZE), b"azothdlq" + b"\xff" * (SIZE - 8)])
def test_an_empty_file_or_a_marker_of_the_past_charges_nobody(scene: Scene, content: bytes) -> None:
    scene.letter()
    beside(scene.path).write_bytes(content)
    report = scene.drain()
    assert (report.succeeded, report.failed) == (1, 0)
    assert beside(scene.path).stat().st_size == SIZE
    assert beside(scene.path).read_bytes().startswith(b"azothdlq")


@pytest.mark.parametrize("content", [b"x", b"SQLite format 3\0" * 256, b"\x07" * SIZE])
def test_a_file_with_something_else_is_left_alone(scene: Scene, content: bytes) -> None:
    scene.letter()
    beside(scene.path).write_bytes(content)
    with pytest.raises(StorageError, match=r"-azoth holds something else"):
        scene.drain()
    assert beside(scene.path).read_bytes() == content
    assert len(scene.left()) == 1


@POSIX
def test_a_file_that_has_another_name_is_left_alone(scene: Scene, tmp_path: Path) -> None:
    scene.letter()
    precious = tmp_path / "precious"
    precious.write_bytes(b"")
    os.link(precious, beside(scene.path))
    with pytest.raises(StorageError, match="not an ordinary file of its own"):
        scene.drain()
    assert precious.read_bytes() == b""


def test_a_marker_that_is_left_from_another_database_charges_nobody(database: Path) -> None:
    with closing(Marker(str(database), b"a" * 16)) as before:
        before.start()
        mark(before, 7)
        with closing(Marker(str(database), b"b" * 16)) as other:
            assert other.left_behind(None) is None
        with closing(Marker(str(database), b"a" * 16)) as same:
            assert same.left_behind(None) is not None


def test_a_marker_that_is_removed_between_drains_loses_nothing(scene: Scene) -> None:
    for _ in range(2):
        scene.letter()
        assert scene.drain().succeeded == 1
        beside(scene.path).unlink()


def test_a_letter_that_is_gone_by_now_is_not_charged(scene: Scene) -> None:
    kept = scene.letter()
    scene.drain(max_retries=1)
    header = beside(scene.path).read_bytes()[:40]
    beside(scene.path).write_bytes(header + struct.pack("=qqq", 5, 1, kept))
    other = scene.letter()
    report = scene.drain()
    assert (report.succeeded, report.failed, report.parked) == (1, 0, 0)
    assert scene.effects() == [kept, other]


def test_a_letter_whose_count_is_none_by_now_is_parked_unreadable(scene: Scene) -> None:
    scene.letter()
    scene.drain()
    letter = scene.letter(retry_count="many")
    header = beside(scene.path).read_bytes()[:40]
    beside(scene.path).write_bytes(header + struct.pack("=qqq", 5, 1, letter))
    report = scene.drain()
    assert (report.failed, report.unreadable) == (0, 1)
    assert "retry_count is no integer" in scene.parked()[letter]


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o666])
def test_the_marker_is_as_private_as_the_database(database: Path, mode: int) -> None:
    database.chmod(mode)
    umask = os.umask(0o077)
    try:
        Marker(str(database)).close()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(beside(database).stat().st_mode) == mode


@AS_ROOT
def test_the_marker_that_root_makes_belongs_to_the_owner_of_the_database(database: Path) -> None:
    os.chown(database, 65534, 65534)
    Marker(str(database)).close()
    owner = beside(database).stat()
    assert (owner.st_uid, owner.st_gid) == (65534, 65534)


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o660, 0o666])
def test_a_marker_that_is_there_becomes_as_private_as_the_database(
    database: Path, mode: int
) -> None:
    """Whoever may write it can have letters charged."""
    Marker(str(database)).close()
    for before in (0o666, 0o600, 0o777):
        beside(database).chmod(before)
        database.chmod(mode)
        Marker(str(database)).close()
        assert stat.S_IMODE(beside(database).stat().st_mode) == mode


@AS_ROOT
@pytest.mark.parametrize("mode", [0o600, 0o644])
@pytest.mark.parametrize("content", [b"", b"azothdlq" + bytes(SIZE - 8)])
def test_a_marker_of_a_stranger_is_refused(
    scene: Scene, mode: int, content: bytes, attack: Attack
) -> None:
    """He could charge letters by it, or cut it short while it is mapped, which kills a drain."""
    scene.letter()
    assert scene.path is not None
    scene.path.chmod(mode)
    beside(scene.path).write_bytes(content)
    os.chown(beside(scene.path), NOBODY, NOBODY)
    with pytest.raises(StorageError, match="belongs to a user who may not write the database"):
        scene.drain()
    assert beside(scene.path).read_bytes() == content
    assert beside(scene.path).stat().st_uid == NOBODY
    assert (scene.calls, scene.left()) == ([], [1])
    attack.struck("planted file beside the database")


@AS_ROOT
def test_a_marker_of_another_who_may_write_the_database_is_taken(scene: Scene) -> None:
    scene.letter()
    assert scene.path is not None
    os.chown(scene.path, SOMEBODY, -1)
    scene.path.chmod(0o664)
    beside(scene.path).touch()
    os.chown(beside(scene.path), NOBODY, -1)
    assert scene.drain().succeeded == 1
    assert stat.S_IMODE(beside(scene.path).stat().st_mode) == 0o664


@AS_ROOT
def test_a_marker_that_root_left_becomes_the_owners(database: Path) -> None:
    beside(database).touch()
    os.chown(database, NOBODY, NOBODY)
    Marker(str(database)).close()
    assert (beside(database).stat().st_uid, beside(database).stat().st_gid) == (NOBODY, NOBODY)


def _link_to_a_file(path: Path) -> None:
    target = path.with_name("precious")
    target.write_bytes(b"precious")
    path.symlink_to(target)


def _dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


@POSIX
@pytest.mark.parametrize("plant", [_link_to_a_file, _dangling_link, _folder, _pipe])
def test_what_is_no_ordinary_file_is_refused_and_left_alone(
    scene: Scene, plant: object, attack: Attack
) -> None:
    scene.letter()
    assert callable(plant)
    plant(beside(scene.path))
    mode = beside(scene.path).lstat().st_mode
    with pytest.raises(StorageError, match=r"-azoth .*ordinary file"):
        scene.drain()
    assert beside(scene.path).lstat().st_mode == mode
    assert scene.calls == []
    assert scene.left() == [1]
    precious = beside(scene.path).with_name("precious")
    assert not precious.exists() or precious.read_bytes() == b"precious"
    assert not beside(scene.path).with_name("nowhere").exists()
    attack.struck("planted file beside the database")


@POSIX
def test_a_marker_that_may_not_be_written_is_told(open_folder: Path) -> None:
    path = open_folder / "letters.db"
    path.touch()
    beside(path).touch()
    beside(path).chmod(0o444)
    code = "from azoth_dlq.store.sqlite.marker import Marker; print(Marker(path))"
    assert "letters.db-azoth cannot be opened (Permission denied)" in as_nobody(code, path)


@POSIX
def test_a_folder_that_may_not_be_written_is_told(open_folder: Path) -> None:
    path = open_folder / "letters.db"
    path.touch()
    code = "from azoth_dlq.store.sqlite.marker import Marker; print(Marker(path))"
    assert "letters.db-azoth cannot be opened (Permission denied)" in as_nobody(code, path)
    assert not beside(path).exists()


def test_a_database_without_a_file_has_a_private_marker(tmp_path: Path) -> None:
    with closing(Marker("")) as one, closing(Marker("")) as other:
        one.start()
        mark(one, 7)
        assert other.left_behind(None) is None
    assert list(tmp_path.iterdir()) == []
