"""Letters counted by the templates of their errors."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.event_type import shown_event_type
from azoth_dlq.kernels.eligibility import parse_timestamp
from azoth_dlq.kernels.templates import Group, fingerprint, tally

AT = "2026-11-24 10:00:00"
LATER = "2026-11-24T11:00:00.5Z"


def groups(*rows: tuple[Any, ...]) -> dict[str, Group]:
    found, letters, other = tally(rows, shown_event_type)
    assert (letters, other) == (len(rows), 0)
    return {group.fingerprint: group for group in found}


def the_group(*rows: tuple[Any, ...]) -> Group:
    (group,) = groups(*rows).values()
    return group


def word(number: int) -> str:
    """One that no rule masks."""
    return "".join(chr(97 + int(digit)) for digit in str(number))


ROWS = st.tuples(
    st.integers(1, 2**63 - 1),
    st.sampled_from(["timeout 1", b"timeout 2", bytearray(b"timeout 3"), "refused", None, 5, 1.5]),
    st.sampled_from([AT, bytearray(LATER, "ascii"), "never", None, 7]),
    st.sampled_from([0, 1, 2**62, "many", None, 1.5]),
    st.sampled_from([b"ok:1", "ok:2", bytearray(b"deposit:"), b"secret", b"a b:c", None, 3]),
)


def text_of(row: tuple[Any, ...]) -> Any:
    kept = isinstance(row[1], (str, bytes, bytearray))
    return row[1] if kept else "" if row[1] is None else str(row[1])


def bytes_of(event: Any) -> bytes:
    if isinstance(event, str):
        return event.encode()
    return bytes(event) if isinstance(event, (bytes, bytearray)) else b""


def instants(rows: list[tuple[Any, ...]]) -> list[int]:
    stored = [bytes(row[2]) for row in rows if isinstance(row[2], bytearray)]
    texts = [row[2] for row in rows if isinstance(row[2], str)] + [raw.decode() for raw in stored]
    return [parse_timestamp(text) for text in texts if text in (AT, LATER)]


@given(st.lists(ROWS, max_size=30, unique_by=lambda row: row[0]))
def test_rows_are_counted_as_a_slow_count_does(rows: list[tuple[Any, ...]]) -> None:
    found = groups(*rows)
    assert set(found) == {fingerprint(text_of(row)) for row in rows}
    for key, group in found.items():
        its = [row for row in rows if fingerprint(text_of(row)) == key]
        assert group.count == len(its)
        assert group.first_seen == min(instants(its), default=None)
        assert group.last_seen == max(instants(its), default=None)
        assert group.newest == max(row[0] for row in its)
        assert group.retry_counts == Counter(row[3] for row in its if isinstance(row[3], int))
        types = [shown_event_type(bytes_of(row[4])) for row in its]
        assert group.event_types == Counter(name for name in types if name is not None)


def test_the_example_is_of_the_newest_letter_in_whatever_order() -> None:
    rows = [
        (2, "boom 2", AT, 0, None),
        (9, bytearray(b"boom 9"), AT, 0, None),
        (4, "boom 4", AT, 0, None),
    ]
    group = the_group(*rows)
    assert (group.newest, group.example) == (9, b"boom 9")
    assert the_group((1, "x" * 10**6, AT, 0, None)).example == b"x" * 4096


def test_payload_is_never_taken_for_a_type() -> None:
    events = [
        b"ok:1",
        b"secret",
        b'{"secret": 1}',
        b"secret words: 1",
        b"secret" * 30 + b":",
        b"<x:y>",
    ]
    group = the_group(*[(n, "boom", AT, 0, event) for n, event in enumerate(events)])
    assert group.event_types == {"ok": 1}
    long = ("ß" * 64 + ":").encode()
    assert the_group((1, "boom", AT, 0, long)).event_types == {"ß" * 64: 1}


def test_types_and_retry_counts_of_a_group_are_bounded() -> None:
    rows = [(n, "boom", AT, n, b"t%d:" % n) for n in range(10_000)]
    group = the_group(*rows)
    assert group.count == 10_000
    assert len(group.event_types) == 16
    assert len(group.retry_counts) == 64


def test_too_many_groups_cost_the_smallest_and_are_told() -> None:
    few = [(n, f"only {word(n)}", AT, 0, None) for n in range(5000)]
    many = [(n + 5000, "timeout", AT, 0, None) for n in range(3000)]
    for rows in (
        few + many,
        many + few,
        [row for pair in zip(few, many, strict=False) for row in pair],
    ):
        found, letters, other = tally(rows, shown_event_type, most=100)
        assert letters == len(rows)
        assert sum(group.count for group in found) + other == letters
        assert len(found) <= 100
        assert other > 0
        largest = max(found, key=lambda group: group.count)
        assert largest.fingerprint == fingerprint("timeout")
        assert largest.count == sum(row[1] == "timeout" for row in rows)


@pytest.mark.parametrize("row", [(), (1, "x"), [1, "x", AT, 0, None], None])
def test_another_row_is_refused(row: Any) -> None:
    with pytest.raises(TypeError, match="row 1 must be a tuple of 5"):
        tally([(1, "x", AT, 0, None), row], shown_event_type)


def test_a_row_without_an_id_is_refused() -> None:
    with pytest.raises(TypeError, match="row 0: the id must be an int"):
        tally([("1", "x", AT, 0, None)], shown_event_type)


@pytest.mark.parametrize("most", [0, -1, 2**31])
def test_a_limit_that_is_none_is_refused(most: int) -> None:
    with pytest.raises(ValueError, match="most is"):
        tally([], shown_event_type, most=most)


def test_what_the_rows_or_the_types_raise_goes_on_up() -> None:
    def fail(_: object) -> Any:
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        tally([(1, "x", AT, 0, b"ok:")], fail)
    with pytest.raises(KeyError, match="gone"):
        tally(map(fail, [1]), shown_event_type)
