from array import array
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.backoff import NAMES
from azoth_dlq.kernels import backoff
from tests.kernels import twins, vectors
from tests.kernels.buffers import MAKERS, int64, zeros

KINDS = {name: kind for kind, name in NAMES.items()}
LONGEST = 2**63 - 1

kinds = st.sampled_from(sorted(KINDS.values()))
durations = st.one_of(st.integers(0, LONGEST), st.integers(0, 10**10))
attempts = st.one_of(st.integers(0, 100), st.integers(0, LONGEST))
int64s = st.integers(-(2**63), LONGEST)


@pytest.mark.parametrize("kind", KINDS)
def test_every_vector_is_met(kind: str) -> None:
    cases = [case for case in vectors.load("backoff") if case["kind"] == kind]
    assert cases
    for case in cases:
        maximum = LONGEST if case["max_us"] is None else case["max_us"]
        result = backoff.delay(KINDS[kind], case["initial_us"], maximum, case["attempt"])
        assert result == case["delay_us"], case


@given(kinds, durations, durations, attempts)
def test_a_delay_is_that_of_the_twin(kind: int, initial: int, maximum: int, attempt: int) -> None:
    expected = twins.delay(kind, initial, maximum, attempt)
    assert backoff.delay(kind, initial, maximum, attempt) == expected


@given(kinds, durations, durations, st.lists(attempts))
def test_delays_fill_a_buffer(kind: int, initial: int, maximum: int, tries: list[int]) -> None:
    out = zeros(len(tries))
    backoff.delays(kind, initial, maximum, int64(tries), out)
    assert list(out) == [twins.delay(kind, initial, maximum, attempt) for attempt in tries]


@pytest.mark.parametrize("maker", MAKERS)
def test_buffers_of_every_maker_are_taken(maker: str) -> None:
    make: Callable[[Iterable[int]], Any] = MAKERS[maker]
    out = make([0, 0, 0])
    backoff.delays(backoff.EXPONENTIAL, 10, 35, make([0, 1, 2]), out)
    assert list(out) == [10, 20, 35]


def test_delays_may_replace_the_attempts() -> None:
    items = int64([0, 1, 2, 3])
    backoff.delays(backoff.FIBONACCI, 10, 100, items, items)
    assert list(items) == [10, 10, 20, 30]


def test_a_negative_attempt_is_refused() -> None:
    with pytest.raises(ValueError, match=r"attempt is -1; allowed are 0 to 9223372036854775807"):
        backoff.delay(backoff.FIXED, 1, 1, -1)


def test_a_negative_attempt_in_a_buffer_is_named_and_nothing_written() -> None:
    out = int64([7, 7, 7])
    with pytest.raises(ValueError, match=r"attempts\[1\] is -5"):
        backoff.delays(backoff.FIXED, 1, 1, int64([0, -5, -6]), out)
    assert list(out) == [7, 7, 7]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, 1, 1, 0), ValueError, "kind is 3; allowed are 0 to 2"),
        ((-1, 1, 1, 0), ValueError, "kind is -1"),
        ((1, -1, 1, 0), ValueError, "initial is -1"),
        ((1, 1, -1, 0), ValueError, "maximum is -1"),
        ((1, 2**63, 1, 0), ValueError, "initial is 9223372036854775808"),
        ((1, 1, 2**63, 0), ValueError, "maximum is 9223372036854775808"),
        ((1, 1, 1, 2**63), ValueError, "attempt is 9223372036854775808"),
        ((1, 1.5, 1, 0), TypeError, "initial must be an int, not float"),
        ((1, 1, "1", 0), TypeError, "maximum must be an int, not str"),
        ((1, 1, 1, None), TypeError, "attempt must be an int, not NoneType"),
        ((1, 1, 1, True), TypeError, "attempt must be an int, not bool"),
    ],
)
def test_arguments_outside_their_bounds_are_refused(
    arguments: tuple[Any, Any, Any, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        backoff.delay(*arguments)


def test_integers_of_numpy_are_integers() -> None:
    assert backoff.delay(backoff.FIXED, np.int64(5), 1, np.int32(0)) == 5  # type: ignore[arg-type]  # by __index__


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ([0, 1], "not this list"),
        (array("i", [0, 1]), "items 'i'"),
        (array("d", [0, 1]), "items 'd'"),
        (array("Q", [0, 1]), "items 'Q'"),
        (np.zeros((2, 1), np.int64), "2 dimensions"),
        (np.zeros(4, np.int64)[::2], "not this ndarray"),
        (np.zeros(2, ">i8"), "items '>"),
    ],
)
def test_other_buffers_are_refused_by_name(bad: Any, why: str) -> None:
    with pytest.raises(TypeError, match=f"attempts must be a one-dimensional.*{why}"):
        backoff.delays(backoff.FIXED, 1, 1, bad, zeros(2))


def test_a_read_only_target_is_refused() -> None:
    target = memoryview(bytes(16)).cast("q")
    with pytest.raises(TypeError, match="out must be a writable"):
        backoff.delays(backoff.FIXED, 1, 1, zeros(2), target)


def test_a_target_of_another_length_is_refused_and_released() -> None:
    attempts_given, out = zeros(2), zeros(3)
    with pytest.raises(ValueError, match="out holds 3 items; it must hold 2"):
        backoff.delays(backoff.FIXED, 1, 1, attempts_given, out)
    # An array whose buffer is held refuses to grow.
    attempts_given.append(1)
    out.append(1)


@given(durations, st.floats(0, 1), int64s, int64s)
def test_jitter_is_that_of_the_twin(
    whole: int, jitter: float, letter_id: int, retry_count: int
) -> None:
    result = backoff.jittered(whole, jitter, letter_id, retry_count)
    assert result == twins.jittered(whole, jitter, letter_id, retry_count)
    assert whole - whole * jitter - 1 <= result <= whole or whole > 2**50


def test_jitter_spreads_letters_over_its_share() -> None:
    spread = [backoff.jittered(10**6, 0.5, letter_id, 1) for letter_id in range(1000)]
    assert min(spread) < 510_000
    assert max(spread) > 990_000
    assert 740_000 < sum(spread) / 1000 < 760_000


@pytest.mark.parametrize("jitter", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_jitter_outside_0_to_1_is_refused(jitter: float) -> None:
    with pytest.raises(ValueError, match=r"jitter is .*; allowed are 0 to 1"):
        backoff.jittered(1, jitter, 1, 1)


@pytest.mark.parametrize("jitter", [True, "0.5", None])
def test_a_jitter_that_is_no_number_is_refused(jitter: Any) -> None:
    with pytest.raises(TypeError, match="jitter must be a float, not"):
        backoff.jittered(1, jitter, 1, 1)
