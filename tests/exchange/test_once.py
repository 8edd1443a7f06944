"""Each letter comes in once, whatever is imported how often, in whatever order."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue, ExchangeError, ImportReport, LetterFilter
from azoth_dlq.exchange import exporting, importing
from azoth_dlq.store.sqlite import SqliteStore, open_for_looking
from tests.exchange.files import export, fail_some, stored, take_in

DATA = Path(__file__).parents[1] / "data"
CRATE_LOG = DATA / "dead_letter_queue.jsonl"


def _counts(report: ImportReport) -> tuple[int, ...]:
    return report.dead, report.parked, report.here, report.before, report.gone


@pytest.fixture
def made(tmp_path: Path) -> Path:
    fail_some(tmp_path / "a.db")
    return export(tmp_path / "a.db", tmp_path / "letters.jsonl")


def test_a_second_import_brings_nothing(made: Path, tmp_path: Path) -> None:
    assert _counts(take_in(tmp_path / "b.db", made)) == (4, 2, 0, 0, 0)
    assert _counts(take_in(tmp_path / "b.db", made)) == (0, 0, 0, 6, 0)
    assert len(stored(tmp_path / "b.db")) == 6


def test_nor_does_one_of_letters_that_were_replayed_since(made: Path, tmp_path: Path) -> None:
    take_in(tmp_path / "b.db", made)
    with DeadLetterQueue.open(tmp_path / "b.db") as queue:
        queue.clear()
        queue.clear_permanent_failures()
    assert _counts(take_in(tmp_path / "b.db", made)) == (0, 0, 0, 6, 0)
    assert _counts(take_in(tmp_path / "b.db", made, again=True)) == (4, 2, 0, 0, 0)
    assert _counts(take_in(tmp_path / "b.db", made, again=True)) == (0, 0, 6, 0, 0)


def test_of_an_export_that_overlaps_only_the_new_letters_come_in(
    made: Path, tmp_path: Path
) -> None:
    take_in(tmp_path / "b.db", made)
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        queue.requeue([1])
        queue.add(9, b"new:", "first error")
    again = export(tmp_path / "a.db", tmp_path / "more.jsonl.gz")
    assert _counts(take_in(tmp_path / "b.db", again)) == (1, 0, 0, 6, 0)


def test_into_the_file_itself_nothing_comes_that_is_here_or_gone(
    made: Path, tmp_path: Path
) -> None:
    before = stored(tmp_path / "a.db")
    assert _counts(take_in(tmp_path / "a.db", made)) == (0, 0, 6, 0, 0)
    assert stored(tmp_path / "a.db") == before
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        queue.discard([2])
        queue.discard([1], parked=True)
        queue.requeue([2])  # it is here, elsewhere
    assert _counts(take_in(tmp_path / "a.db", made)) == (0, 0, 4, 0, 2)
    assert _counts(take_in(tmp_path / "a.db", made, dry_run=True, again=True)) == (1, 1, 4, 0, 0)
    assert _counts(take_in(tmp_path / "a.db", made, again=True)) == (1, 1, 4, 0, 0)
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        assert queue.get(2) is not None  # by its old id


def test_by_way_of_another_file_it_is_the_same(made: Path, tmp_path: Path) -> None:
    take_in(tmp_path / "b.db", made)
    back = export(tmp_path / "b.db", tmp_path / "back.jsonl")
    assert _counts(take_in(tmp_path / "a.db", back)) == (0, 0, 6, 0, 0)
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        queue.clear()
    assert _counts(take_in(tmp_path / "a.db", back)) == (0, 0, 2, 0, 4)
    assert _counts(take_in(tmp_path / "c.db", made)) == (4, 2, 0, 0, 0)
    assert _counts(take_in(tmp_path / "c.db", back)) == (0, 0, 0, 6, 0)


def test_what_was_discarded_to_return_does(made: Path, tmp_path: Path) -> None:
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        with queue.store.together():
            queue.store.exchange.let_return([2, 3])
            queue.discard([2, 3])
        queue.discard([5])
    assert _counts(take_in(tmp_path / "a.db", made)) == (2, 0, 3, 0, 1)
    assert _counts(take_in(tmp_path / "a.db", made)) == (0, 0, 5, 0, 1)


def test_a_letter_that_got_the_id_of_another_is_another(made: Path, tmp_path: Path) -> None:
    """Of a file that is restored from a backup, or whose copy goes on by itself."""
    take_in(tmp_path / "b.db", made)
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        queue.clear()
        queue.connection.execute(
            "INSERT INTO dead_letter_queue (id, event_id, event_bytes, error_message) "
            "VALUES (2, 77, x'00', 'another')"
        )
    assert take_in(tmp_path / "b.db", export(tmp_path / "a.db", made)).dead == 1


def test_a_letter_that_stands_twice_comes_in_once(made: Path, tmp_path: Path) -> None:
    lines = made.read_bytes().splitlines(keepends=True)
    lines[-1:] = [*lines[1:3], b'{"end":true,"letters":8}\n']
    made.write_bytes(b"".join(lines))
    for options in ({"dry_run": True}, {"again": True}):
        report = take_in(tmp_path / "b.db", made, **options)
        assert _counts(report) == (4, 2, 0, 2, 0)
    assert len(stored(tmp_path / "b.db")) == 6


# A file to which only the Rust crate has written has no identity


@pytest.fixture
def crate_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(DATA / "azoth-0.2.5.db", tmp_path / "crate.db"))


def _looked_at(crate_file: Path, target: Path) -> Path:
    """Exported without writing to it."""
    before = crate_file.read_bytes()
    with closing(open_for_looking(crate_file)) as connection:
        exporting.export(SqliteStore(connection).exchange, target)
    assert crate_file.read_bytes() == before
    return target


def test_a_file_of_the_crate_comes_in_once(crate_file: Path, tmp_path: Path) -> None:
    made = _looked_at(crate_file, tmp_path / "one.jsonl")
    assert _counts(take_in(tmp_path / "b.db", made)) == (5000, 0, 0, 0, 0)
    again = _looked_at(crate_file, tmp_path / "two.jsonl.gz")
    assert _counts(take_in(tmp_path / "b.db", again)) == (0, 0, 5000, 0, 0)
    with DeadLetterQueue.open(tmp_path / "b.db") as queue:
        queue.clear()
    assert _counts(take_in(tmp_path / "b.db", again)) == (0, 0, 0, 5000, 0)


def test_also_where_it_was_migrated_between_two_exports(crate_file: Path, tmp_path: Path) -> None:
    take_in(tmp_path / "b.db", _looked_at(crate_file, tmp_path / "one.jsonl"))
    with DeadLetterQueue.open(crate_file) as queue:
        queue.add(7, b"new:", "boom")
    made = export(crate_file, tmp_path / "two.jsonl")
    assert _counts(take_in(tmp_path / "b.db", made)) == (1, 0, 0, 5000, 0)


def test_into_the_file_itself_what_is_here_does_not_come_again(
    crate_file: Path, tmp_path: Path
) -> None:
    made = _looked_at(crate_file, tmp_path / "one.jsonl")
    assert _counts(take_in(crate_file, made)) == (0, 0, 5000, 0, 0)
    assert _counts(take_in(crate_file, made)) == (0, 0, 5000, 0, 0)


# The crate's log of events that it could not write


def test_the_log_of_the_crate_comes_in_as_dead_letters(tmp_path: Path) -> None:
    report = take_in(tmp_path / "b.db", CRATE_LOG)
    assert (report.format, *_counts(report)) == ("azoth event log", 7, 0, 0, 0, 0)
    entries = [json.loads(line) for line in CRATE_LOG.read_bytes().splitlines()]
    with DeadLetterQueue.open(tmp_path / "b.db") as queue:
        letters = queue.letters()[::-1]
    for letter, entry in zip(letters, entries, strict=True):
        assert letter.event_id == entry["event_id"]
        assert letter.event_bytes == base64.b64decode(entry["event_data_b64"])
        assert letter.error_message == entry["error"]
        assert letter.failed_at == entry["timestamp"][:19].replace("T", " ")
        assert (letter.retry_count, letter.last_retry_at) == (0, None)
    assert letters[3].event_bytes == bytes(range(256))


def test_a_log_that_has_grown_brings_what_is_new(tmp_path: Path) -> None:
    log = tmp_path / "dead_letter_queue.jsonl"
    content = CRATE_LOG.read_bytes()
    ends = [n + 1 for n, byte in enumerate(content) if byte == 10]
    for number, end in enumerate(ends):
        log.write_bytes(content[:end])
        assert _counts(take_in(tmp_path / "b.db", log)) == (1, 0, 0, number, 0)


# What changes while it is read


def test_a_file_that_changes_while_it_is_read_brings_nothing_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        queue.add_many([(n, b"ok:x", "boom") for n in range(2500)])
    made = export(tmp_path / "a.db", tmp_path / "letters.jsonl", which=LetterFilter(parked=False))
    whole = made.read_bytes()
    check = importing._Import.check  # noqa: SLF001 -- the instant between the two looks

    def check_and_change(self: importing._Import) -> object:
        form = check(self)
        made.write_bytes(whole.replace(b'"event_id":2000,', b'"event_id":9999,'))
        return form

    with monkeypatch.context() as patch:
        patch.setattr(importing._Import, "check", check_and_change)  # noqa: SLF001 -- as above
        with pytest.raises(ExchangeError, match="was changed while it was read"):
            take_in(tmp_path / "b.db", made)
    with closing(sqlite3.connect(tmp_path / "b.db")) as connection:
        ids = [i for (i,) in connection.execute("SELECT event_id FROM dead_letter_queue")]
    assert ids == list(range(len(ids)))
    assert 9999 not in ids
    made.write_bytes(whole)
    assert take_in(tmp_path / "b.db", made).dead == 2500 - len(ids)
