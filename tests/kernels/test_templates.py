"""Templates of error texts and their fingerprints: exact, pinned, and never an error."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azoth_dlq.kernels.templates import fingerprint, template
from tests.kernels import template_twin, vectors
from tests.programs import run_program

VECTORS = vectors.load("fingerprints")
SAMPLE = Path(__file__).parents[1] / "data" / "errors.tsv"
# What rules begin and end with.
PIECES = [
    *("Error: ", "FATAL:  ", "x", "b9", "10.0.0.1", "1.5", "1,2", "5s", " ms", " seconds"),
    *("::", "fe80", "http://", "@", "a@b.c", "'", '"', "`", "(", ")", "=(", "Key (", "[", "]"),
    *("/", "~", "..", ".", "-", "+", "_", "<", ">", ",", ";", "=", "|", "%", ":", "\\", " "),
    *("\n", "\r", "\t", "\n  at ", '\n  File "', "Traceback (most recent call last):\n", "\n ^"),
    *("LINE 1: ", "\ngoroutine 1 [", "[parameters: ", "... 3", "12345678", "0x1f", "deadbeef1"),
    *("2026-11-24", "03:46:00", ".123Z", "T", "+01:00", "µs", "é", "C:\\", "get", "GET ", "PUT /"),
    *("status ", "HTTP/1.1", "code=", "ORA-", "00060", "localhost", ":80", "to ", "host ", "x.py"),
    *(":12", "com", "a.b", "A.b", "a/b/c", "1m30s", "x1y2z3", "502 Bad", "a b c d e", "\0"),
    *("7c9e6679-7425-40de-944b-e07fc1f90ae7", "psycopg2.errors", "order-17", "attempts", "  "),
]
DIGITS_TO_LETTERS = str.maketrans("0123456789", "abcdefghij")
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join)


def sample() -> list[str]:
    rows = SAMPLE.read_text("utf-8").splitlines()
    return [unescaped(row.split("\t", 1)[1]) for row in rows]


def unescaped(text: str) -> str:
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_fingerprints_are_pinned(vector: dict[str, str]) -> None:
    assert template(vector["text"]) == vector["template"]
    assert fingerprint(vector["text"]) == vector["fingerprint"]


def test_a_fingerprint_is_the_same_in_every_process(tmp_path: Path) -> None:
    program = "from azoth_dlq.kernels.templates import fingerprint\nprint(fingerprint('boom 7'))"
    assert run_program(program, tmp_path).strip() == fingerprint("boom 8")


@settings(max_examples=1000)
@given(TEXTS)
def test_texts_are_masked_as_the_slow_twin_masks_them(text: str) -> None:
    assert template(text) == template_twin.template(text)
    assert fingerprint(text) == template_twin.fingerprint(text)


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.lists(st.binary(max_size=4), max_size=9).map(b"7 ".join))
def test_bytes_that_are_no_utf8_are_masked_as_the_slow_twin_masks_them(raw: bytes) -> None:
    assert template(raw) == template(bytearray(raw)) == template_twin.template(raw)


def test_texts_of_the_sample_are_masked_as_the_slow_twin_masks_them() -> None:
    texts = sample()
    assert len(texts) > 400
    assert [template(text) for text in texts] == [template_twin.template(text) for text in texts]


@given(st.text())
def test_a_text_and_its_bytes_have_one_fingerprint(text: str) -> None:
    raw = text.encode()
    assert fingerprint(text) == fingerprint(raw) == fingerprint(bytearray(raw))


@pytest.mark.parametrize(
    ("texts", "masked"),
    [
        (["timed out after 30s", "timed out after 1m30.5s", "timed out after 5000 ms"], "<num>"),
        (["unknown account 7c9e6679-7425-40de-944b-e07fc1f90ae7"], "<uuid>"),
        (["object at 0x7f3b2c1d5e80", "object at 1a2b3c4d5e"], "<hex>"),
        (["dial 10.0.0.5:5432", "dial [::1]:80", "dial db-1.internal:5432"], "<address>"),
        (
            ["cannot open /etc/app.toml", "cannot open C:\\app\\x.toml", "cannot open x.toml"],
            "<path>",
        ),
        (["no 'a'", 'no "b c"', "no `d`"], "<quoted>"),
        (["GET https://a.b/c?d=1", "POST http://10.0.0.8/"], "<url>"),
        (["no mailbox ann@example.com", "no mailbox b+c@d.example.org"], "<email>"),
        (["expired 2026-11-24T03:46:00Z", "expired 2026-11-24 03:46:00,123+01:00"], "<time>"),
        (["stale order-17", "stale invoice-9", "stale pod-7d9f8b6c5d-x2x4z"], "<id>"),
    ],
)
def test_what_differs_is_masked(texts: list[str], masked: str) -> None:
    (one,) = {template(text) for text in texts}
    assert one.endswith(f" {masked}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gateway answered with HTTP 500", "gateway answered with HTTP 503"),
        ("[Errno 111] refused", "[Errno 104] refused"),
        ("failed (SQLSTATE 23505)", "failed (SQLSTATE 40001)"),
        ("ORA-00060: it failed", "ORA-00054: it failed"),
        ("Server error '502 Bad Gateway'", "Server error '504 Gateway Timeout'"),
        ("card declined: expired_card", "card declined: insufficient_funds"),
        ("X('it was refused by the peer')", "X('it was reset by the peer')"),
    ],
)
def test_what_tells_the_cause_is_not(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_stack_traces_of_one_error_are_alike() -> None:
    bare = "app.InsufficientFundsError: account 7 has 1.10, needs 2.00"
    traces = [
        'Traceback (most recent call last):\n  File "/a.py", line 41, in f\n    g()\n' + bare,
        f"{bare}\n\tat com.acme.A.b(A.java:7)\n\t... 12 more",
        f"{bare}\n\ngoroutine 7 [running]:\nmain.main()\n\t/app/main.go:12 +0x85",
    ]
    assert {template(trace) for trace in traces} == {template(bare)}


def test_the_first_4096_bytes_count() -> None:
    for character in ("x", "é", "超", "\N{PILE OF POO}"):
        whole = "a" + character * (4095 // len(character.encode()))
        assert template(whole + character * 3) == whole
        assert template((whole + character) * 300) == whole
    assert template("x" * 4095 + "é") == "x" * 4095


@pytest.mark.parametrize(
    "text", ["\ud800", "a\udfffb 5", "\0", "a\0b", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", ""]
)
def test_no_content_is_an_error(text: str | bytes) -> None:
    assert template(text) == template_twin.template(text)
    assert len(fingerprint(text)) == 16


@pytest.mark.parametrize("text", [None, 5, memoryview(b"x"), ["x"]])
def test_another_type_is_refused(text: object) -> None:
    for kernel in (template, fingerprint):
        with pytest.raises(TypeError, match="a text is a str, bytes or bytearray, not"):
            kernel(text)  # type: ignore[arg-type]  # the error under test


def test_fingerprints_are_well_distributed() -> None:
    words = [str(n).translate(DIGITS_TO_LETTERS) for n in range(4096)]
    hashes = [int(fingerprint(word), 16) for word in words]
    assert len(set(hashes)) == len(words)
    for bit in range(64):
        ones = sum(hashed >> bit & 1 for hashed in hashes)
        assert abs(ones - 2048) < 6 * 32  # six standard deviations


LONG = ["a-", "a.", "1,", "'a", '"(', "a@", "=(1,", "Key (", "ab1-", "1:", "/ ", "a/", "http:"]


@pytest.mark.parametrize("piece", LONG)
def test_no_text_takes_long(piece: str) -> None:
    """Each byte is looked at a bounded number of times."""
    text = (piece * 4096)[:4095]
    start = time.process_time()
    for _ in range(3):
        template(text)
    assert time.process_time() - start < 0.3
