"""What cannot be read is told by its line, and nothing of the file comes in."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, ExchangeError
from azoth_dlq.exchange import source
from tests.exchange.files import export, fail_some, stored, take_in

SHY = "never to be told"


@pytest.fixture
def lines(tmp_path: Path) -> list[bytes]:
    """Of a good export: the first line, letters (of which the third is changed), the last line."""
    fail_some(tmp_path / "a.db")
    return export(tmp_path / "a.db", tmp_path / "good.jsonl").read_bytes().splitlines(keepends=True)


def _refusal(folder: Path, content: bytes, name: str = "bad.jsonl") -> ExchangeError:
    (folder / name).write_bytes(content)
    DeadLetterQueue.open(folder / "b.db").close()
    for dry_run in (True, False):
        with pytest.raises(ExchangeError) as refused:
            take_in(folder / "b.db", folder / name, dry_run=dry_run)
        assert stored(folder / "b.db") == []
    assert SHY not in str(refused.value)
    return refused.value


def _with(**changes: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda letter: json.dumps({**letter, **changes}).encode()


def _raw(old: str, new: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda letter: json.dumps(letter).replace(old, new, 1).encode()


BAD: dict[str, tuple[Callable[[dict[str, Any]], bytes], str]] = {
    "no JSON": (lambda _: f"{{{SHY}".encode(), "no JSON: Expecting property name"),
    "half a line": (lambda letter: json.dumps(letter).encode()[:50], "no JSON"),
    "two objects": (lambda letter: json.dumps(letter).encode() * 2, "no JSON: Extra data"),
    "a list": (lambda _: b"[1]", "no JSON object"),
    "a text": (lambda _: b'"x"', "no JSON object"),
    "another table": (_with(table="azoth_dlq_state"), "table must be one of dead_letter_queue"),
    "a table that is none": (_with(table=["x"]), "table must be one of"),
    "NaN": (_raw('"retry_count": 1', '"retry_count": NaN'), "NaN is no JSON"),
    "Infinity": (_raw('"retry_count": 1', '"retry_count": -Infinity'), "-Infinity is no JSON"),
    "1e400": (_raw('"retry_count": 1', '"retry_count": 1e400'), "retry_count is beyond"),
    "a large id": (_with(id=2**63), "id must be a whole number of 64 bits"),
    "an id that is none": (_with(id="7"), "id must be a whole number"),
    "an id that is true": (_with(id=True), "id must be a whole number"),
    "a large event id": (_with(event_id=2**63), "event_id is beyond 64 bits"),
    "a very large number": (
        _raw('"event_id": 7', f'"event_id": {"7" * 5000}'),
        "too many digits",
    ),
    "a bool": (_with(retry_count=False), "retry_count is of no type"),
    "a list in a column": (_with(failed_at=[SHY]), "failed_at is of no type"),
    "an unknown type": (_with(failed_at={"date": SHY}), "failed_at is of no type"),
    "two types": (_with(failed_at={"text": "", "blob": ""}), "failed_at is of no type"),
    "a real that is none": (_with(failed_at={"real": "NaN"}), "must be one of Infinity"),
    "NULL where none may be": (_with(event_id=None), "event_id is NULL"),
    "no base64": (_with(event_bytes=f"{SHY}!"), "event_bytes is no base64"),
    "base64 without its end": (_with(event_bytes="YQ"), "event_bytes is no base64"),
    "base64 with more behind": (_with(event_bytes="YQ==YQ=="), "event_bytes is no base64"),
    "base64 of another alphabet": (_with(event_bytes="_-8="), "event_bytes is no base64"),
    "base64 with a line end": (_with(event_bytes="YW\nJj"), "event_bytes is no base64"),
    "base64 that is not ASCII": (_with(event_bytes="YWé="), "event_bytes is no base64"),
    "a lone surrogate": (_raw('"first error"', '"\\ud800"'), "lone surrogate"),
    "a key that stands twice": (_raw('"event_id": 7', '"event_id": 7, "event_id": 8'), "twice"),
    "no error": (
        lambda letter: json.dumps({k: v for k, v in letter.items() if k != "failed_at"}).encode(),
        "failed_at is missing",
    ),
    "no origin": (_with(origin=None), "origin must be 48 hexadecimal digits"),
    "a short origin": (_with(origin="00"), "origin must be 48 hexadecimal digits"),
    "a history that is none": (_with(history={}), "history must be a list of objects"),
    "an attempt that is none": (_with(history=[1]), "history must be a list of objects"),
    "an attempt without an instant": (_with(history=[{}]), "at is NULL"),
    "deep nesting": (lambda _: b"[" * 10**6, "nested too deeply"),
    "deep objects": (lambda _: b'{"a":' * 10**5, "nested too deeply"),
    "Latin-1": (lambda letter: json.dumps(letter).encode()[:-1] + b',"\xe9":1}', "is not UTF-8"),
    "UTF-16": (lambda letter: json.dumps(letter).encode("utf-16"), "is not UTF-8"),
    "the first line again": (lambda _: b'{"format":"azoth-dlq","version":1}', "table must be"),
    "a last line without a number": (lambda _: b'{"end":true}', "does not tell how many letters"),
    "a last line too early": (lambda _: b'{"end":true,"letters":2}', "tells of 2 letters"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_line_that_is_no_letter_is_told(lines: list[bytes], tmp_path: Path, case: str) -> None:
    change, reason = BAD[case]
    if case == "a last line too early":
        reason = "behind the last line"
    bad = [*lines[:3], change(json.loads(lines[3])) + b"\n", *lines[4:]]
    refused = _refusal(tmp_path, b"".join(bad))
    told = str(refused)
    if case == "a last line too early":
        assert (refused.line, reason in told) == (5, True)
        return
    assert refused.line == 4
    assert "bad.jsonl, line 4: " in told
    assert reason in told


HEADERS: dict[str, tuple[bytes, str]] = {
    "a newer version": (b'{"format":"azoth-dlq","version":2}', "upgrade azoth-dlq"),
    "an older version": (b'{"format":"azoth-dlq","version":0}', "is of version 0"),
    "no version": (b'{"format":"azoth-dlq"}', "has no version"),
    "a version that is none": (b'{"format":"azoth-dlq","version":"1"}', "has no version"),
    "something else": (b'{"a":1}', "neither the first line of an export"),
    "a table": (b"id,event_id", "no JSON"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_file_of_another_kind_is_told(lines: list[bytes], tmp_path: Path, case: str) -> None:
    header, reason = HEADERS[case]
    refused = _refusal(tmp_path, b"".join([header + b"\n", *lines[1:]]))
    assert refused.line == 1
    assert reason in str(refused)


def test_a_file_that_is_not_whole_never_passes_for_one(lines: list[bytes], tmp_path: Path) -> None:
    whole = b"".join(lines)
    ends = [*range(0, len(whole), 97), len(whole) - len(lines[-1]), len(whole) - 2]
    for end in ends:
        assert _refusal(tmp_path, whole[:end]).line is not None
    for without in range(len(lines)):
        _refusal(tmp_path, b"".join(lines[:without] + lines[without + 1 :]))
    told = str(_refusal(tmp_path, b"".join(lines[:-1])))
    assert f"line {len(lines)}: the file is not whole" in told
    # A last line that lacks its end alone is whole.
    (tmp_path / "whole.jsonl").write_bytes(whole[:-1])
    assert take_in(tmp_path / "b.db", tmp_path / "whole.jsonl").dead == 4


def test_a_gzip_file_that_is_not_whole_is_told(lines: list[bytes], tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(lines))
    for end in range(2, len(packed), 41):
        _refusal(tmp_path, packed[:end], "bad.gz")
    assert "ends early" in str(_refusal(tmp_path, packed[:-1], "bad.gz"))
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    assert "bad.gz, line" in str(_refusal(tmp_path, bytes(damaged), "bad.gz"))
    assert "damaged" in str(_refusal(tmp_path, packed + b"more", "bad.gz"))


def test_a_line_that_never_ends_is_told_before_it_fills_the_memory(
    lines: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    garbage = b"".join([*lines[:2], b"x" * 3 * 2**20])
    assert "no JSON object" in str(_refusal(tmp_path, garbage))
    monkeypatch.setattr(source, "LONGEST_LINE", 2 * 2**20)
    long = b"".join([*lines[:2], b'{"x":"' + b"x" * 3 * 2**20 + b'"}\n', *lines[2:]])
    refused = _refusal(tmp_path, long)
    assert (refused.line, "longer than" in str(refused)) == (3, True)


def test_what_a_later_version_adds_is_left_alone(lines: list[bytes], tmp_path: Path) -> None:
    more = [line.rstrip(b"}\n") + b',"x":{"y":[1]}}\n' for line in lines]
    (tmp_path / "more.jsonl").write_bytes(b"\n".join(more))  # and empty lines between
    assert take_in(tmp_path / "b.db", tmp_path / "more.jsonl").dead == 4
    assert stored(tmp_path / "b.db") == stored(tmp_path / "a.db")


def test_a_table_that_takes_less_than_was_exported_is_told_by_the_line(tmp_path: Path) -> None:
    """What a trigger refuses is seen only when it comes in."""
    fail_some(tmp_path / "a.db")
    file = export(tmp_path / "a.db", tmp_path / "letters.jsonl")
    DeadLetterQueue.open(tmp_path / "b.db").close()
    with closing(sqlite3.connect(tmp_path / "b.db")) as other, other:
        other.execute(
            "CREATE TRIGGER never BEFORE INSERT ON permanent_failures "
            "BEGIN SELECT RAISE(IGNORE); END"
        )
    with pytest.raises(Exception, match="does not take a row into permanent_failures"):
        take_in(tmp_path / "b.db", file)
    assert stored(tmp_path / "b.db") == []


DATA = Path(__file__).parents[1] / "data" / "dead_letter_queue.jsonl"


def _entry(**changes: Any) -> bytes:
    entry = {
        "event_id": 1,
        "event_data_b64": base64.b64encode(b"deposit:1").decode(),
        "timestamp": "2026-11-24T03:46:00.5+00:00",
        "error": SHY,
    }
    return json.dumps({**entry, **changes}).encode() + b"\n"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (_entry(event_id=-1), "event_id must be a whole number"),
        (_entry(event_id="1"), "event_id must be a whole number"),
        (_entry(event_id=2**63), "beyond 2**63-1"),
        (_entry(event_data_b64="?"), "event_data_b64 is no base64"),
        (_entry(event_data_b64=None), "event_data_b64 must be a text"),
        (_entry(timestamp="yesterday"), "timestamp is none"),
        (_entry(error=7), "error must be a text"),
        (_entry(error="\ud800"), "lone surrogate"),
        (b'{"event_id": 1}\n', "has no event_data_b64"),
        (_entry()[:40], "whoever wrote it is not done, or died: `head -n 7` gives those before"),
    ],
)
def test_an_entry_of_the_crate_that_cannot_be_read_is_told(
    tmp_path: Path, entry: bytes, reason: str
) -> None:
    refused = _refusal(tmp_path, DATA.read_bytes() + entry)
    assert (refused.line, reason in str(refused)) == (8, True), refused


def test_a_file_that_is_empty_or_not_there_is_told(tmp_path: Path) -> None:
    assert "the file is empty" in str(_refusal(tmp_path, b""))
    assert "the file is empty" in str(_refusal(tmp_path, gzip.compress(b"\n\n")))
    with pytest.raises(ExchangeError, match="cannot be read: No such file"):
        take_in(tmp_path / "b.db", tmp_path / "none.jsonl")
    with pytest.raises(ExchangeError, match="cannot be read: Is a directory"):
        take_in(tmp_path / "b.db", tmp_path)
