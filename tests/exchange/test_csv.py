"""A table for people: readable, whole, and harmless to a spreadsheet."""

from __future__ import annotations

import base64
import csv
import json
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue
from tests.exchange.files import fail_some
from tests.exchange.test_round_trip import NAUGHTY


def _rows(path: Path, **options: Any) -> list[dict[str, str]]:
    stream = BytesIO()
    with DeadLetterQueue.open(path) as queue:
        queue.export_to(stream, form="csv", **options)
    content = stream.getvalue()
    assert content.endswith(b"\r\n")
    return list(csv.DictReader(StringIO(content.decode(), newline=""), strict=True))


def test_a_row_tells_what_a_person_asks_for(tmp_path: Path) -> None:
    fail_some(tmp_path / "a.db")
    rows = _rows(tmp_path / "a.db")
    assert [(row["table"], row["event_type"]) for row in rows] == [
        ("dead_letter_queue", "later"),
        ("dead_letter_queue", "snoozes"),
        ("dead_letter_queue", "fails"),
        ("dead_letter_queue", "waits"),
        ("permanent_failures", "poison"),
        ("permanent_failures", "fails"),
    ]
    assert [bool(row["not_before"]) for row in rows] == [True, True, *[False] * 4]
    assert {row["event_size"] for row in rows[:2]} == {"8", "10"}
    assert (rows[5]["dead_letter_id"], rows[5]["attempts_kept"]) == ("1", "2")
    assert rows[5]["last_error"] == "ValueError: no"
    assert "payload" not in rows[0]


def test_payloads_come_on_demand_as_text_or_base64(tmp_path: Path) -> None:
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        queue.add_many([(1, b"ok:\xc3\xa9\r\n", "x"), (2, b"ok:\xff\x00", "x")])
    rows = _rows(tmp_path / "a.db", payload=True)
    assert [(row["payload_encoding"], row["payload"]) for row in rows] == [
        ("utf-8", "ok:é\r\n"),
        ("base64", base64.b64encode(b"ok:\xff\x00").decode()),
    ]


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        for text in NAUGHTY:
            queue.add(-7, text.encode(), text)
    rows = _rows(tmp_path / "a.db", payload=True)
    assert len(rows) == len(NAUGHTY)
    for row, text in zip(rows, NAUGHTY, strict=True):
        assert row["event_id"] == "-7"
        for name in ("error_message", "payload"):
            shown = text.replace("\0", "\N{SYMBOL FOR NULL}")
            assert row[name] in {shown, f"'{shown}"}
            assert not row[name].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert json.dumps(rows).count("'=") >= 4


@pytest.mark.parametrize("name", ["letters.csv", "letters.csv.gz"])
def test_it_is_begun_anew_over_what_an_interrupted_one_left(tmp_path: Path, name: str) -> None:
    fail_some(tmp_path / "a.db")
    (tmp_path / f"{name}.partial").write_bytes(b"table,id\r\n" * 5000)
    with DeadLetterQueue.open(tmp_path / "a.db") as queue:
        report = queue.export_to(tmp_path / name, form="csv")
    assert (report.resumed, report.dead) == (0, 4)
    assert (tmp_path / name).stat().st_size < 5000
