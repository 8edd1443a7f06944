"""Sets of ids: what they take, hold and say, however many ids there are."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq import ConfigError
from azoth_dlq.ids import IdRanges, parse_ids

SMALL = st.integers(-20, 20)
RUNS = st.builds(lambda first, more: range(first, first + 1 + more), SMALL, st.integers(0, 6))


@given(st.lists(SMALL | RUNS))
def test_they_hold_what_they_are_given(given_ids: list[int | range]) -> None:
    ids = IdRanges(given_ids)
    expected = {i for one in given_ids for i in (one if isinstance(one, range) else [one])}
    assert {i for first, last in ids for i in range(first, last + 1)} == expected
    assert {i for i in range(-30, 40) if i in ids} == expected
    assert ids.count == len(expected)
    assert IdRanges(sorted(expected)) == ids
    assert hash(IdRanges(expected)) == hash(ids)


def test_runs_are_joined_where_they_meet() -> None:
    ids = IdRanges([9, range(1, 4), 4, range(3, 6)])
    assert list(ids) == [(1, 5), (9, 9)]
    assert (len(ids), str(ids), repr(ids)) == (2, "1-5,9", "IdRanges('1-5,9')")


def test_the_largest_and_the_least_id_are_ids() -> None:
    ids = IdRanges([range(2**63 - 2, 2**63), -(2**63)])
    assert (-(2**63) in ids, 2**63 - 1 in ids, 0 in ids, 2**63 in ids) == (True, True, False, False)


def test_a_million_ids_take_a_few_bytes_each() -> None:
    ids = IdRanges(range(0, 3_000_000, 3))
    assert ids.count == 1_000_000
    assert sum(sys.getsizeof(part) for part in (ids._firsts, ids._lasts)) < 20 * ids.count  # noqa: SLF001 -- their memory


def test_a_long_set_is_shortened() -> None:
    assert str(IdRanges(range(0, 1000, 2))).endswith(",198,… (500 ids)")


def test_they_travel() -> None:
    ids = IdRanges([range(5), 7])
    assert pickle.loads(pickle.dumps(ids)) == ids
    assert ids != {0, 1, 2, 3, 4, 7}


@pytest.mark.parametrize(
    "bad", ["12", b"12", 5, None, [True], [1.0], ["1"], [2**63], [range(3, 3)], [range(0, 9, 2)]]
)
def test_what_is_no_id_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigError, match=r"^ids="):
        IdRanges(bad)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("17", range(17, 18)),
        ("20-30", range(20, 31)),
        ("-5", range(-5, -4)),
        ("-5--3", range(-5, -2)),
    ],
)
def test_texts_of_ids(text: str, ids: range) -> None:
    assert parse_ids(text) == ids


@pytest.mark.parametrize(
    "text", ["", "x", "1-", "30-20", "1..3", "1,2", "9" * 19, "1-9-3", "٣", "1 "]
)
def test_other_texts_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigError, match="must be an id, such as 17, or a range, such as 20-30"):
        parse_ids(text)
