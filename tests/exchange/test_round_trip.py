"""What is exported comes back as it was, value by value and type by type."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azoth_dlq import ConfigError, DeadLetterQueue, LetterFilter
from tests.exchange.files import export, fail_some, lines_of, make_loose, stored, take_in

VECTORS = Path(__file__).parents[1] / "vectors"
NAUGHTY = json.loads((VECTORS / "naughty_strings.json").read_text("utf-8"))
NAMES = ["event_id", "event_bytes", "error_message", "failed_at", "retry_count"]
DEAD, PARKED = [*NAMES, "last_retry_at"], [*NAMES, "marked_permanent_at"]


def _insert(path: Path, table: str, names: list[str], rows: list[list[Any]]) -> None:
    """TEXTs that are no UTF-8 are given as `bytearray`."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for row in rows:
            places = ["CAST(? AS TEXT)" if isinstance(v, bytearray) else "?" for v in row]
            connection.execute(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(places)})",  # noqa: S608 -- own names
                [bytes(v) if isinstance(v, bytearray) else v for v in row],
            )


@pytest.mark.parametrize("name", ["letters.jsonl", "letters.jsonl.gz"])
def test_everything_that_is_kept_of_letters_comes_back(tmp_path: Path, name: str) -> None:
    fail_some(tmp_path / "a.db")
    file = export(tmp_path / "a.db", tmp_path / name)
    report = take_in(tmp_path / "b.db", file)
    assert stored(tmp_path / "b.db") == stored(tmp_path / "a.db")
    assert (report.dead, report.parked) == (4, 2)
    assert "b'edited'" in repr(stored(tmp_path / "a.db"))
    again = export(tmp_path / "b.db", tmp_path / "again.jsonl")
    origins = [[one.get("origin") for one in lines_of(made)] for made in (file, again)]
    assert origins[0] == origins[1]


def test_a_stream_holds_what_a_file_does(tmp_path: Path) -> None:
    fail_some(tmp_path / "a.db")
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        for gzip in (False, True):
            stream, target = BytesIO(), tmp_path / f"{gzip}.db"
            queue.export_to(stream, gzip=gzip)
            stream.seek(0)
            with DeadLetterQueue.open(target) as other:
                assert other.import_from(stream).dead == 4
            assert stored(target) == stored(tmp_path / "a.db")


ODD: list[Any] = [
    None, 0, -1, 2**63 - 1, -(2**63), 0.5, 1e300, -1e-300, float("inf"), float("-inf"), "", "5",
    "2026-11-24 10:00:00", b"", b"\xff\x00", bytearray(b"\xff\xfe"), bytearray(b"\xed\xa0\x80"),
]  # fmt: skip


@pytest.mark.parametrize("place", range(6))
def test_rows_that_another_program_left_unreadable_come_back_as_they_are(
    tmp_path: Path, place: int
) -> None:
    good = [7, b"ok:x", "boom", "2026-11-24 10:00:00", 0, "2026-11-24 10:00:00"]
    rows = [[odd if n == place else value for n, value in enumerate(good)] for odd in ODD]
    for name in ("a.db", "b.db"):
        make_loose(tmp_path / name)
    _insert(tmp_path / "a.db", "dead_letter_queue", DEAD, rows)
    _insert(tmp_path / "a.db", "permanent_failures", PARKED, rows)
    file = export(tmp_path / "a.db", tmp_path / "letters.jsonl")
    assert take_in(tmp_path / "b.db", file).skipped == 0
    take_in(tmp_path / "a.db", file)  # which gives it the columns that are compared
    assert stored(tmp_path / "b.db") == stored(tmp_path / "a.db")
    assert len(stored(tmp_path / "b.db")) == 2 * len(ODD)


def test_naughty_strings_are_texts_like_any_other(tmp_path: Path) -> None:
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        queue.connection.execute("BEGIN")
        for text in NAUGHTY:
            queue.add(7, text.encode(), text)
            queue.add(7, f"{text}:x".encode(), f"{text}: failed")
        queue.connection.execute("COMMIT")
    rows = [[7, text, text, text, 0, text] for text in NAUGHTY]
    _insert(tmp_path / "a.db", "dead_letter_queue", DEAD, rows)
    _insert(tmp_path / "a.db", "permanent_failures", PARKED, rows)
    for name in ("letters.jsonl", "letters.jsonl.gz"):
        target = tmp_path / f"{name}.db"
        take_in(target, export(tmp_path / "a.db", tmp_path / name))
        assert stored(target) == stored(tmp_path / "a.db")
    assert (tmp_path / "letters.jsonl").read_bytes().isascii()


_VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.binary().map(bytearray),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(_VALUES, min_size=6, max_size=6), max_size=5))
def test_whatever_a_row_holds_comes_back(tmp_path: Path, rows: list[list[Any]]) -> None:
    for name in ("a.db", "b.db"):
        (tmp_path / name).unlink(missing_ok=True)
        make_loose(tmp_path / name)
    _insert(tmp_path / "a.db", "dead_letter_queue", DEAD, rows)
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        queue.requeue([])  # so that it has our columns
        stream = BytesIO()
        queue.export_to(stream)
    stream.seek(0)
    with DeadLetterQueue.open(tmp_path / "b.db") as queue:
        assert queue.import_from(stream).dead == len(rows)
    assert stored(tmp_path / "b.db") == stored(tmp_path / "a.db")


def test_one_space_or_some_ids_are_exported_alone(tmp_path: Path) -> None:
    fail_some(tmp_path / "a.db")
    tables = {}
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        for name, which in (
            ("dead", LetterFilter(parked=False)),
            ("parked", LetterFilter(parked=True)),
        ):
            queue.export_to(tmp_path / name, which)
            tables[name] = {one.get("table") for one in lines_of(tmp_path / name)[1:-1]}
        ids = list(queue.find(LetterFilter()))
        wanted = LetterFilter(ids=[*ids[1:3], 10**9], parked=False)
        report = queue.export_to(tmp_path / "some", wanted)
    assert tables == {"dead": {"dead_letter_queue"}, "parked": {"permanent_failures"}}
    assert [one["id"] for one in lines_of(tmp_path / "some")[1:-1]] == ids[1:3]
    assert report.dead_ids is not None
    assert (list(report.dead_ids), report.parked_ids) == (ids[1:3], None)


def test_a_filter_is_of_both_tables_where_it_names_none(tmp_path: Path) -> None:
    fail_some(tmp_path / "a.db")
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        report = queue.export_to(tmp_path / "some", LetterFilter(event_type="fails"))
        found = [queue.find(LetterFilter(event_type="fails", parked=p)) for p in (False, True)]
        assert [report.dead_ids, report.parked_ids] == found
        assert all(found)
        with pytest.raises(ConfigError, match="parked=None: must be True or False beside ids"):
            queue.export_to(tmp_path / "none", LetterFilter(ids=[1]))
    assert not (tmp_path / "none").exists()


def test_a_letter_waits_and_is_due_as_it_was(tmp_path: Path) -> None:
    """A run finds it among those that it looks at, whatever id it has."""
    fail_some(tmp_path / "a.db")
    take_in(tmp_path / "b.db", export(tmp_path / "a.db", tmp_path / "letters.jsonl"))
    waiting = []
    for name in ("a.db", "b.db"):
        with DeadLetterQueue.open(tmp_path / name) as queue:
            waiting.append([(one.not_before, one.last_retry_at) for one in queue.letters()])
    assert waiting[0] == waiting[1]
    assert any(not_before for not_before, _ in waiting[0])
