"""`show`: everything about letters, their payloads in the form that can be read best."""

from __future__ import annotations

import base64
import json
import os
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue
from tests.cli.conftest import Workplace, error_line
from tests.conftest import DATA

LIMIT = 64 * 1024
ADD_ATTEMPT = (
    "INSERT INTO azoth_dlq_history "
    "(letter_id, parked_id, at, outcome, error_type, message, traceback, duration) "
    "VALUES (?, ?, ?, ?, 'ValueError', 'wrong\nindeed', ?, ?)"
)


def document(workplace: Workplace, *arguments: str) -> dict[str, Any]:
    done = workplace.run("show", "projection.db", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def text(workplace: Workplace, *arguments: str) -> str:
    done = workplace.run("show", "projection.db", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def tried(workplace: Workplace) -> Workplace:
    """A letter, and a permanent failure of the same id, both with a history."""
    workplace.make("ok:secret", error_message="first\nof all")
    workplace.park(event_bytes=b"deposit:secret")
    workplace.execute(
        "UPDATE dead_letter_queue SET retry_count = 2, last_retry_at = '2021-01-01T00:00:00Z', "
        "azoth_last_error = 'later', azoth_not_before = 1700000000000000, "
        "azoth_not_before_count = 2, azoth_not_before_retry_at = '2021-01-01T00:00:00Z'"
    )
    at = 1_600_000_000_000_000
    workplace.execute(ADD_ATTEMPT, 1, None, at, "failed", "trace\n  back", 1_500_000)
    workplace.execute(ADD_ATTEMPT, 1, None, at + 1, "died", "", None)
    workplace.execute(ADD_ATTEMPT, None, 1, at + 2, "snoozed", "", 0)
    return workplace


def test_the_document_has_columns_and_history(tried: Workplace) -> None:
    shown = document(tried, "1")
    assert shown.pop("age") > 10**8
    assert (shown.pop("payload_encoding"), shown.pop("payload")) == ("utf-8", "ok:secret")
    assert shown == {
        "database": "projection.db",
        "ids_of": "dead_letters",
        "id": 1,
        "event_id": 7,
        "event_type": "ok",
        "event_size": 9,
        "error_message": "first\nof all",
        "failed_at": "2020-01-01 00:00:00",
        "retry_count": 2,
        "last_retry_at": "2021-01-01T00:00:00Z",
        "last_error": "later",
        "not_before": "2023-11-14T22:13:20.000000Z",
        "state": "due",
        "next_attempt": None,
        "history": [
            {
                "at": "2020-09-13T12:26:40.000000Z",
                "outcome": "failed",
                "error_type": "ValueError",
                "message": "wrong\nindeed",
                "traceback": "trace\n  back",
                "duration": 1.5,
            },
            {
                "at": "2020-09-13T12:26:40.000001Z",
                "outcome": "died",
                "error_type": "ValueError",
                "message": "wrong\nindeed",
                "traceback": "",
                "duration": None,
            },
        ],
    }


def test_a_permanent_failure_is_shown_by_its_own_id(tried: Workplace) -> None:
    shown = document(tried, "1", "--parked")
    assert (shown["ids_of"], shown["event_type"]) == ("permanent_failures", "deposit")
    assert (shown["reason"], shown["dead_letter_id"]) == ("poison", 1)
    assert [attempt["outcome"] for attempt in shown["history"]] == ["snoozed"]
    assert "  reason               poison\n" in text(tried, "1", "--parked")


@pytest.mark.parametrize(
    ("columns", "state", "told"),
    [
        ({}, "due", "due now"),
        ({"retry_count": 1, "last_retry_at": "2999-01-01T00:00:00Z"}, "waiting", "in 35"),
        ({"retry_count": 9}, "exhausted", "none: it is exhausted, and the next drain parks it"),
        ({"failed_at": "soon"}, "unreadable", "none: it is unreadable, and the next drain parks"),
        ({"failed_at": b"\xff"}, "unreadable", "none: it is unreadable, and the next drain parks"),
    ],
)
def test_it_tells_when_a_letter_is_attempted_next(
    workplace: Workplace, columns: dict[str, Any], state: str, told: str
) -> None:
    workplace.make("ok", **columns)
    assert document(workplace, "1")["state"] == state
    assert f"\n  next attempt   {told}" in text(workplace, "1")


def test_the_next_attempt_is_by_the_settings_of_the_last_drain(workplace: Workplace) -> None:
    workplace.make("fails")
    workplace.drain("--backoff", "fixed=10800", "--jitter", "0")
    shown = document(workplace, "1")
    retried = datetime.fromisoformat(shown["last_retry_at"])
    assert datetime.fromisoformat(shown["next_attempt"]) == retried + timedelta(hours=3)
    assert "\n  next attempt   in 2 h 59 min, 20" in text(workplace, "1")


def test_people_get_the_same(tried: Workplace) -> None:
    shown = text(tried, "1")
    assert shown.startswith("1 of the dead letters\n\n  id             1\n")
    assert "  event size     9 bytes\n" in shown
    assert "  error message  first\n                 of all\n" in shown
    assert "  last error     later\n" in shown
    assert "  failed at      2020-01-01 00:00:00 +00:00\n" in shown
    assert "  last retry at  2021-01-01 00:00:00 +00:00\n" in shown
    assert "  not before     2023-11-14 22:13:20 +00:00\n" in shown
    assert (
        "\nAttempts that did not succeed, oldest first:\n"
        "  2020-09-13 12:26:40 +00:00  failed after 1.500 s\n"
        "    ValueError: wrong\n    indeed\n    trace\n      back\n"
        "  2020-09-13 12:26:40 +00:00  died\n"
        "    ValueError: wrong\n    indeed\n"
        "\nPayload, 9 bytes, as text:\nok:secret\n"
    ) in shown


@pytest.mark.parametrize("validating", [False, True])
def test_a_traceback_begins_in_the_handler(workplace: Workplace, *, validating: bool) -> None:
    workplace.add_handler(
        "class Deep:\n    def handle(self, *_):\n        int('x')\n"
        + ("    def validate(self, payload):\n        pass\n" if validating else "")
        + "registry.register('deep', Deep())\n"
    )
    workplace.make("deep")
    workplace.report()
    head, first, *_ = document(workplace, "1")["history"][0]["traceback"].splitlines()
    assert head == "Traceback (most recent call last):"
    assert re.search(r'handlers\.py", line \d+, in Deep\.handle$', first)


def test_a_death_is_told_without_a_type(tried: Workplace) -> None:
    tried.execute("UPDATE azoth_dlq_history SET error_type = '' WHERE outcome = 'died'")
    assert "+00:00  died\n    wrong\n    indeed\n" in text(tried, "1")


def test_a_timestamp_that_is_none_is_shown_as_it_is(workplace: Workplace) -> None:
    workplace.make("ok", failed_at="yesterday")
    assert "  failed at      yesterday\n" in text(workplace, "1")


def test_the_payload_is_left_out_on_demand(tried: Workplace) -> None:
    assert "secret" not in text(tried, "1", "--no-payload")
    assert "secret" not in json.dumps(document(tried, "1", "--no-payload"))
    assert text(tried, "1").endswith("\nPayload, 9 bytes, as text:\nok:secret\n")


@pytest.mark.parametrize("event", [b"ok:\xff\xfe", b"ok:\x1b[31m", b"ok:\0", "ok:\u202e".encode()])
def test_what_a_terminal_would_obey_is_shown_in_hex(workplace: Workplace, event: bytes) -> None:
    workplace.make()
    workplace.add(event_bytes=event)
    shown = text(workplace, "1", "--payload")
    assert shown.endswith(f"Payload, {len(event)} bytes, in hex:\n  {event.hex(' ')}\n")


@pytest.mark.parametrize("event", ["ok:Grüße\n\tund 超时", "ok:{} of\n"])
def test_text_of_several_lines_is_shown_as_it_is(workplace: Workplace, event: str) -> None:
    workplace.make(event)
    assert text(workplace, "1", "--payload").endswith(f"as text:\n{event}\n")


def test_what_is_not_utf8_is_base64_in_the_document(workplace: Workplace) -> None:
    event = b"ok:\xff" * LIMIT
    workplace.make()
    workplace.add(event_bytes=event)
    shown = document(workplace, "1", "--payload")
    assert shown["payload_encoding"] == "base64"
    assert base64.b64decode(shown["payload"]) == event


def test_a_long_payload_is_cut_for_people_and_whole_for_programs(workplace: Workplace) -> None:
    event = "ok:" + "ü" * LIMIT
    workplace.make(event)
    shown = text(workplace, "1", "--payload")
    assert "Payload, 131,075 bytes, as text, its first 65,536 bytes:\n" in shown
    # 65,536 bytes end within a character.
    assert shown.endswith(f"\nok:{'ü' * 32766}\n")
    assert document(workplace, "1", "--payload")["payload"] == event
    workplace.add(event_bytes=b"\xff" * (LIMIT + 1))
    shown = text(workplace, "2", "--payload")
    assert "in hex, its first 65,536 bytes:\n" in shown
    assert shown.count("ff") == LIMIT


def test_a_payload_as_long_as_the_limit_is_whole(workplace: Workplace) -> None:
    workplace.make("ok:" + "x" * (LIMIT - 3))
    assert "Payload, 65,536 bytes, as text:\n" in text(workplace, "1", "--payload")


def test_error_texts_cannot_play_with_the_terminal(workplace: Workplace) -> None:
    workplace.make("ok", error_message="red \x1b[31m\nnext \x07")
    workplace.execute("UPDATE dead_letter_queue SET azoth_last_error = 'an attempt failed'")
    workplace.execute(ADD_ATTEMPT, 1, None, 0, "failed", "in \x1b[31m", 1)
    shown = text(workplace, "1")
    assert r"red \x1b[31m" in shown
    assert r"in \x1b[31m" in shown
    assert "\x1b" not in shown


def test_a_letter_of_the_crates_file_has_no_history(workplace: Workplace) -> None:
    content = (DATA / "azoth-0.2.5.db").read_bytes()
    workplace.database.write_bytes(content)
    assert document(workplace, "1")["history"] == []
    assert "Attempts" not in text(workplace, "1")
    assert workplace.database.read_bytes() == content


def test_a_missing_letter_is_told_with_where_it_may_be(workplace: Workplace) -> None:
    workplace.make("ok", "ok")
    workplace.park()
    workplace.execute("DELETE FROM dead_letter_queue WHERE id = 1")

    def line(*arguments: str) -> str:
        return error_line(workplace.run("show", "projection.db", *arguments), 1)

    assert line("9") == (
        "azoth-dlq: projection.db has no 9 among its dead letters; "
        "`azoth-dlq list projection.db` shows the ids"
    )
    assert line("9", "--parked") == (
        "azoth-dlq: projection.db has no 9 among its permanent failures; "
        "`azoth-dlq list projection.db --parked` shows the ids"
    )
    assert line("1", "--json") == (
        "azoth-dlq: projection.db has no 1 among its dead letters, but among its permanent "
        "failures: give --parked to see that one"
    )
    assert line("2", "--parked") == (
        "azoth-dlq: projection.db has no 2 among its permanent failures, but among its dead "
        "letters: leave out --parked to see that one"
    )
    assert "has no -9223372036854775808 among" in line("--", str(-(2**63)))


@pytest.mark.skipif(os.name == "nt", reason="its shells quote otherwise")
def test_a_command_that_is_suggested_can_be_typed_as_it_stands(workplace: Workplace) -> None:
    workplace.database = workplace.folder / "my letters.db"
    workplace.make("ok")
    line = error_line(workplace.run("show", "my letters.db", "9"), 1)
    assert "`azoth-dlq list 'my letters.db'` shows the ids" in line


def test_one_byte_is_told_in_the_singular(workplace: Workplace) -> None:
    workplace.make()
    workplace.add(event_bytes=b"x")
    shown = text(workplace, "1", "--payload")
    assert "1 byte\n" in shown
    assert "Payload, 1 byte, as text:" in shown


@pytest.mark.parametrize("wrong", ["x", "1.5", str(2**63), "", "1 2"])
def test_what_is_no_id_is_wrong_usage(workplace: Workplace, wrong: str) -> None:
    line = error_line(workplace.run("show", "none.db", wrong), 2)
    assert f"Invalid value for '[ID]...': {wrong!r}: must be an id, such as 17, or a range" in line


# Several letters, JSON, and what must not be seen


def test_several_letters_are_shown_newest_first(workplace: Workplace) -> None:
    workplace.make("ok:1", "ok:2", "fails:3")
    shown = text(workplace, "--type", "ok")
    assert shown.startswith("2 of 2 that fit, newest first\n\n2 of the dead letters\n")
    assert "\n\n1 of the dead letters\n" in shown
    listed = document(workplace, "1-3", "--limit", "2")
    assert (listed["total"], [one["payload"] for one in listed["letters"]]) == (
        3,
        ["fails:3", "ok:2"],
    )
    told = error_line(workplace.run("show", "projection.db", "--type", "no"), 1)
    assert "none of the dead letters in projection.db fits" in told


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (
            'order:{"b": 1.10, "a": [1, {}, []], "c": "x\\u0041,{"}',
            [
                "order:",
                "{",
                '  "b": 1.10,',
                '  "a": [',
                "    1,",
                "    {},",
                "    []",
                "  ],",
                '  "c": "x\\u0041,{"',
                "}",
            ],
        ),
        ("[1, 2]", ["[", "  1,", "  2", "]"]),
        ('x:{"a": 1, "a": 2}', ["x:", "{", '  "a": 1,', '  "a": 2', "}"]),
    ],
)
def test_json_is_indented_and_nothing_of_it_changed(
    workplace: Workplace, event: str, lines: list[str]
) -> None:
    workplace.make()
    workplace.add(event_bytes=event.encode())
    shown = text(workplace, "1")
    assert shown.endswith("as JSON, indented here:\n" + "\n".join(lines) + "\n")


def test_json_that_is_nested_deeply_is_shown_as_text(workplace: Workplace) -> None:
    workplace.make()
    workplace.add(event_bytes=b"x:" + b"[" * 30_000 + b"]" * 30_000)
    assert "Payload, 60,002 bytes, as text:" in text(workplace, "1")


def test_what_fits_is_redacted_wherever_it_stands(workplace: Workplace) -> None:
    card = "4000123412341234"
    workplace.make(error_message=f"refused {card}")
    event = json.dumps({"card": card, "number": int(card)}).encode()
    workplace.add(event_bytes=b"pay:" + event, error_message=f"refused {card}")
    workplace.execute("UPDATE dead_letter_queue SET azoth_last_error = ?", f"again {card}")
    workplace.execute(ADD_ATTEMPT, 1, None, 0, "failed", f"in {card}", 1)
    options = ("--redact", "[0-9]{13,16}", "--redact", "again")
    shown = text(workplace, "1", *options)
    assert card not in shown
    assert "refused [redacted]" in shown
    assert "[redacted] [redacted]" in shown
    assert '"number": [redacted]' in shown
    assert card not in json.dumps(document(workplace, "1", *options))
    workplace.add(event_bytes=b"pay:\xff" + card.encode() + b"x" * LIMIT)
    shown = text(workplace, "2", *options)
    assert card.encode().hex(" ") not in shown
    payload = document(workplace, "2", *options)["payload"]
    assert card.encode() not in base64.b64decode(payload)


def test_what_is_cut_is_redacted_before(workplace: Workplace) -> None:
    workplace.make("ok:" + "x" * (LIMIT - 8) + "4000123412341234")
    assert "4000" not in text(workplace, "1", "--redact", "[0-9]{16}")


def test_what_is_no_regular_expression_is_told(workplace: Workplace) -> None:
    workplace.make("ok")
    told = error_line(workplace.run("show", "projection.db", "1", "--redact", "("), 2)
    assert "'--redact': missing ), unterminated subpattern at position 0" in told


def test_a_program_shows_what_the_command_does(workplace: Workplace) -> None:
    workplace.make("ok:4000123412341234")
    shown = document(workplace, "1")
    with DeadLetterQueue.open(workplace.database) as queue:
        found = queue.show(1)
        assert found is not None
        redacted = queue.show(1, redact=lambda text: text.replace("4000", "****"))
        assert queue.show(9) is None
        assert queue.show(1, parked=True) is None
    del shown["database"], shown["ids_of"], shown["age"], found["age"]
    assert found == shown
    assert redacted is not None
    assert redacted["payload"] == "ok:****123412341234"
