"""Selections over row tuples: what is due, in which order, and what is left over."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.backoff import NAMES
from azoth_dlq.kernels import backoff
from azoth_dlq.kernels.eligibility import Rules, Selection, Verdict, format_timestamp, select
from azoth_dlq.kernels.order import ErrorTypes
from tests.kernels import twins

NOW = 1_795_491_960_000_000
SECOND = 1_000_000
RULES = twins.Rules(
    now=NOW,
    max_retries=3,
    min_age=5 * SECOND,
    kind=backoff.EXPONENTIAL,
    initial=10 * SECOND,
    maximum=60 * SECOND,
)
TEXTS = ["timeout", "time", "é_1"]

rule_sets = st.builds(
    twins.Rules,
    now=st.just(NOW),
    max_retries=st.integers(0, 4),
    min_age=st.integers(0, 20 * SECOND),
    kind=st.sampled_from(sorted(NAMES)),
    initial=st.integers(0, 20 * SECOND),
    maximum=st.integers(0, 60 * SECOND),
    jitter=st.just(0.0) | st.floats(0, 1),
    waive_delay=st.booleans(),
)
instants = st.integers(NOW - 60 * SECOND, NOW + 5 * SECOND)
timestamps = st.one_of(
    instants.map(format_timestamp),
    instants.map(lambda instant: format_timestamp(instant)[:19].replace("T", " ")),
)
texts = timestamps | timestamps.map(lambda text: bytearray(text.encode()))
no_text = st.sampled_from([b"2026-11-24 03:46:00", 0, 1.5, "é", "", "now", bytearray(b"\xff")])
counts = st.one_of(
    st.integers(0, 4),
    st.sampled_from([-1, -(2**63), 2**63 - 1, None, 1.0, "1", b"1", bytearray(b"1")]),
    st.sampled_from([2**63, -(2**63) - 1]),
)
not_befores = st.one_of(
    st.none(), instants, st.sampled_from(["soon", 1.5, b"1", 2**63, -(2**63), -(2**63) - 1])
)
errors = st.one_of(
    st.text(st.sampled_from("tTimeout é_1É"), max_size=12),
    st.binary(max_size=12),
    st.sampled_from([None, 7, "a timeout", bytearray(b"\xff Time \xc3\xa9_1")]),
)


@st.composite
def tables(draw: st.DrawFn) -> list[twins.Row]:
    columns = st.tuples(counts, texts | no_text, texts | st.none() | no_text, not_befores, errors)
    rows = draw(st.lists(columns, max_size=30))
    ids = draw(st.lists(st.integers(), min_size=len(rows), max_size=len(rows), unique=True))
    return [(letter_id % 2**40, *row) for letter_id, row in zip(ids, rows, strict=True)]


def row(letter_id: int, retry_count: object = 0, age: int = 60, *more: object) -> twins.Row:
    failed_at = format_timestamp(NOW - age * SECOND)
    return (letter_id, retry_count, failed_at, None, *more)


def selected(rows: Any, **options: Any) -> Selection:
    return select(rows, Rules(**asdict(RULES)), **options)


@given(tables(), rule_sets, st.sampled_from([None, "retry_count", TEXTS]), st.booleans())
def test_a_selection_is_that_of_the_twin(
    rows: list[twins.Row], rules: twins.Rules, rank: Any, descending: bool
) -> None:
    expected = twins.select(rows, rules, rank, descending=descending)
    selection = select(
        iter(rows),
        Rules(**asdict(rules)),
        rank=ErrorTypes(rank) if isinstance(rank, list) else rank,
        descending=descending,
    )
    assert selection.ids() == expected.ids
    assert selection.unfit() == expected.unfit
    assert selection.unfit_count == len(expected.unfit)
    assert selection.waiting == expected.waiting
    assert selection.next_due == expected.next_due
    assert selection.oldest_due == expected.oldest_due
    assert selection.examined == len(rows)
    assert len(selection) == len(expected.ids)


def test_an_empty_table_gives_an_empty_selection() -> None:
    selection = selected([])
    assert (len(selection), selection.ids(), selection.unfit()) == (0, [], [])
    assert (selection.next_due, selection.oldest_due) == (None, None)
    assert (selection.examined, selection.waiting, selection.nbytes) == (0, 0, 0)


def test_places_are_sliced_and_clamped() -> None:
    rows = [row(letter_id) for letter_id in range(5)] + [row(9, 3), row(8, None), row(7, -1)]
    selection = selected(rows)
    assert selection.ids(1, 3) == [1, 2]
    assert selection.ids(4, 99) == [4]
    assert selection.ids(99) == []
    assert selection.ids(3, 1) == []
    assert selection.unfit(1, 2) == [(8, Verdict.BAD_RETRY_COUNT)]
    assert selection.unfit(1) == [
        (8, Verdict.BAD_RETRY_COUNT),
        (7, Verdict.NEGATIVE_RETRY_COUNT),
    ]
    assert all(type(verdict) is Verdict for _, verdict in selection.unfit())


@pytest.mark.parametrize("places", [(-1,), (0, -1)])
def test_negative_places_are_refused(places: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="is -1; allowed are 0 to"):
        selected([]).ids(*places)


def test_equal_instants_in_other_words_are_tied_by_id() -> None:
    rows = [
        (3, 0, "2026-11-24T03:45:00Z", None),
        (2, 0, "2026-11-24 03:45:00", None),
        (1, 0, "2026-11-24 05:45:00.000+02:00", None),
    ]
    assert selected(rows).ids() == [1, 2, 3]
    assert selected(rows, descending=True).ids() == [1, 2, 3]


def test_four_columns_are_enough() -> None:
    assert selected([row(1)]).ids() == [1]
    assert selected([row(1, 0, 0, NOW)]).ids() == [1]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([row(1), [2, 0, "", None]], TypeError, "row 1 must be a tuple, not list"),
        ([row(1), (2, 0, "")], ValueError, "row 1 has 3 columns; it must have at least 4"),
        ([("1", 0, "", None)], TypeError, "row 0: the id must be an int of 64 bits, not '1'"),
        ([(None, 0, "", None)], TypeError, "row 0: the id must be an int"),
        ([(2**63, 0, "", None)], TypeError, "row 0: the id must be an int of 64 bits"),
        (5, TypeError, "'int' object is not iterable"),
    ],
)
def test_what_is_no_row_is_refused(rows: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        selected(rows)


def test_error_types_need_the_error_message() -> None:
    with pytest.raises(ValueError, match="row 0 has 5 columns; with error types"):
        selected([row(1, 0, 60, None)], rank=ErrorTypes(["timeout"]))


@pytest.mark.parametrize("rank", ["failed_at", 5, ["timeout"]])
def test_another_rank_is_refused(rank: Any) -> None:
    with pytest.raises(ValueError, match=r"rank is .*; allowed are None, 'retry_count'"):
        selected([], rank=rank)


def test_what_the_rows_raise_goes_on_up() -> None:
    error = OSError("disk gone")

    def rows() -> Iterator[twins.Row]:
        yield row(1)
        raise error

    with pytest.raises(OSError, match="disk gone") as caught:
        selected(rows())
    assert caught.value is error


def test_a_selection_holds_12_bytes_a_due_letter_and_16_an_unfit_one() -> None:
    rows = [row(letter_id) for letter_id in range(1000)] + [row(5000, 3), row(5001, 3)]
    assert selected(rows).nbytes == 12 * 1000 + 16 * 2


def test_unchanged_rows_are_those_as_planned() -> None:
    planned = [row(letter_id, letter_id % 2, 60, None, "e") for letter_id in range(6)]
    selection = selected(planned)
    fresh = [
        planned[1],
        row(2, 1, 60, None, "e"),  # retried
        row(3, 1, 61, None, "e"),  # another failed_at
        (*planned[4][:3], format_timestamp(NOW), None, "e"),  # another last_retry_at
        row(5, 1, 60, NOW, "e"),  # another not_before
    ]
    assert selection.unchanged(fresh, 1, 6) == [planned[1]]
    assert selection.unchanged(planned, 0, 6) == planned
    assert selection.unchanged([], 0, 6) == []


def test_unchanged_gives_back_the_rows_themselves() -> None:
    selection = selected([row(1), row(2)])
    fresh = [(*row(1), None, "an error", b"payload")]
    assert selection.unchanged(fresh, 0, 2)[0] is fresh[0]


def test_the_same_state_in_other_words_is_unchanged() -> None:
    selection = selected([(1, 0, "2026-11-24 03:45:00", None)])
    fresh = [(1, 0, bytearray(b"2026-11-24T03:45:00Z"), None, None)]
    assert selection.unchanged(fresh, 0, 1) == fresh


@pytest.mark.parametrize("ids", [[3, 2], [9], [1, 1], [0]])
def test_rows_of_other_letters_or_order_are_refused(ids: list[int]) -> None:
    selection = selected([row(letter_id) for letter_id in range(5)])
    with pytest.raises(ValueError, match=r"letter \d is not at the places 1 to 4"):
        selection.unchanged([row(letter_id) for letter_id in ids], 1, 4)


@pytest.mark.parametrize("name", ["waiting", "next_due", "oldest_due", "examined", "nbytes"])
def test_a_selection_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(selected([]), name, 1)
