from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.kernels.order import ErrorTypes, argsort, validate_error_types
from tests.kernels import twins, vectors
from tests.kernels.buffers import MAKERS, int64, zeros

listed = st.text(st.sampled_from("abABzZ09_-. éОÉ漢"), min_size=1, max_size=4)
messages = st.text(st.sampled_from("abABzZ09_-. éОÉ漢%@[`{\x00"), max_size=30)
int64s = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-2, 2))
int32s = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2))


def test_every_vector_is_met() -> None:
    for case in vectors.load("error_types"):
        if case["valid"]:
            assert validate_error_types([case["text"]]) == (case["text"],)
            continue
        with pytest.raises(
            ValueError, match=r"error type 0 is .*; allowed are 1 to 128 characters"
        ):
            validate_error_types([case["text"]])


def test_the_wrong_text_is_shown_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"error type 1 is '100%'; allowed are"):
        validate_error_types(["timeout", "100%"])


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(ValueError, match="the list of error types is empty"):
        validate_error_types([])


@pytest.mark.parametrize("texts", ["timeout", b"timeout", bytearray(b"timeout")])
def test_one_text_instead_of_a_list_is_refused(texts: Any) -> None:
    with pytest.raises(TypeError, match="error types must be a list of texts, not one"):
        validate_error_types(texts)


def test_an_error_type_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="error type 1 must be a str, not bytes"):
        ErrorTypes(["timeout", b"deadlock"])  # type: ignore[list-item]  # the error under test


def test_error_types_are_validated_and_kept() -> None:
    assert ErrorTypes(iter(["timeout", "HTTP 503"])).texts == ("timeout", "HTTP 503")
    with pytest.raises(ValueError, match="error type 0"):
        ErrorTypes([""])


@given(st.lists(listed, min_size=1, max_size=6), messages)
def test_a_rank_is_that_of_the_twin(texts: list[str], message: str) -> None:
    error_types = ErrorTypes(texts)
    expected = twins.rank_of(texts, message)
    assert error_types.rank(message) == expected
    assert error_types.rank(message.encode()) == expected
    assert error_types.rank(bytearray(message.encode())) == expected


def test_fifty_error_types_are_told_apart() -> None:
    texts = [f"error {place:02}" for place in range(50)]
    error_types = ErrorTypes(texts)
    wanted = [f"first ERROR {place:02} and error 49" for place in range(50)] + ["error 5"]
    assert error_types.ranks(wanted) == [*range(50), 50]


@given(st.lists(listed, min_size=1, max_size=3), st.binary(max_size=30))
def test_bytes_that_are_no_utf8_are_searched_too(texts: list[str], message: bytes) -> None:
    assert ErrorTypes(texts).rank(message) == twins.rank_of(texts, message)


def test_a_lone_surrogate_hides_nothing() -> None:
    assert ErrorTypes(["timeout"]).rank("\ud800 timeout") == 0
    assert ErrorTypes(["timeout"]).rank("\ud800") == 1


def test_a_message_that_is_no_text_has_no_rank() -> None:
    with pytest.raises(TypeError, match="an error message is a str, bytes or bytearray, not int"):
        ErrorTypes(["timeout"]).rank(5)  # type: ignore[arg-type]  # the error under test


@given(st.lists(st.tuples(int64s, int64s, int32s)), st.booleans(), st.booleans())
def test_argsort_is_sorted(
    letters: list[tuple[int, int, int]], ranked: bool, descending: bool
) -> None:
    def key(place: int) -> tuple[int, int, int, int]:
        instant, letter_id, rank = letters[place]
        return rank if ranked else 0, -instant if descending else instant, letter_id, place

    out = zeros(len(letters))
    argsort(
        int64(letter[0] for letter in letters),
        int64(letter[1] for letter in letters),
        int64(letter[2] for letter in letters) if ranked else None,
        descending=descending,
        out=out,
    )
    assert list(out) == sorted(range(len(letters)), key=key)


def test_many_letters_that_tie_in_all_keep_their_order() -> None:
    instants = [place * 7919 % 3 for place in range(2000)]
    out = zeros(2000)
    argsort(int64(instants), zeros(2000), out=out)
    assert list(out) == sorted(range(2000), key=instants.__getitem__)


@pytest.mark.parametrize("maker", MAKERS)
def test_argsort_takes_buffers_of_every_maker(maker: str) -> None:
    make: Callable[[Iterable[int]], Any] = MAKERS[maker]
    out = make([0, 0, 0])
    argsort(make([5, 5, 1]), make([3, 2, 1]), make([0, 0, 1]), out=out)
    assert list(out) == [1, 0, 2]


@pytest.mark.parametrize("rank", [2**31, -(2**31) - 1])
def test_a_rank_beyond_32_bits_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match=rf"ranks\[1\] is {rank}; allowed are -2147483648 to"):
        argsort(zeros(2), zeros(2), int64([0, rank]), out=zeros(2))


@pytest.mark.parametrize("name", ["ids", "ranks", "out"])
def test_argsort_names_a_buffer_of_another_length(name: str) -> None:
    columns: dict[str, Any] = {"ids": zeros(2), "ranks": zeros(2), "out": zeros(2)}
    columns[name] = zeros(3)
    with pytest.raises(ValueError, match=f"{name} holds 3 items; it must hold 2"):
        argsort(zeros(2), **columns)
