"""The kernel that counts failures by time against a slow count."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.kernels.eligibility import format_timestamp, parse_timestamp
from azoth_dlq.kernels.failures import count_failures

TEXTS = st.builds(format_timestamp, st.integers(-(10**15), 10**16))
VALUES = (
    TEXTS
    | TEXTS.map(lambda text: bytearray(text.encode()))
    | st.sampled_from([None, 5, 1.5, "", "yesterday", bytearray(b"\xff"), b"2026-11-24 10:00:00"])
)


@given(st.lists(VALUES), st.sampled_from([1, 10**6, 3_600 * 10**6]))
def test_each_timestamp_is_counted_in_its_span(values: list[object], width: int) -> None:
    instants = []
    for value in values:
        try:
            if isinstance(value, str | bytearray):
                instants.append(parse_timestamp(value))
        except ValueError:
            pass
    counts = {0: 1}
    assert count_failures(values, width, counts) == min(instants, default=None)
    assert counts == Counter(instant // width for instant in instants) + Counter({0: 1})


@pytest.mark.parametrize("width", [0, -1, 2**63, 1.5, None])
def test_a_width_that_is_none_is_refused(width: int) -> None:
    with pytest.raises((TypeError, ValueError), match="width"):
        count_failures([], width, {})


def test_an_instant_at_either_end_is_counted() -> None:
    counts: dict[int, int] = {}
    assert count_failures(["9999-12-31 23:59:59", "0001-01-01 00:00:00"], 1, counts) is not None
    assert sum(counts.values()) == 2
