"""The delay after each attempt, and its text form."""

from __future__ import annotations

import dataclasses
import json
import pickle
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from azoth_dlq.backoff import FORMS, NAMES, BackoffStrategy
from azoth_dlq.durations import MAX_US, Duration, from_microseconds
from azoth_dlq.errors import ConfigError
from azoth_dlq.kernels.backoff import EXPONENTIAL, FIBONACCI, FIXED

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "backoff.json").read_text())
DURATIONS = st.integers(0, MAX_US).map(from_microseconds)
STRATEGIES = st.one_of(
    st.builds(BackoffStrategy.fixed, DURATIONS),
    st.builds(BackoffStrategy.exponential, DURATIONS, DURATIONS),
    st.builds(BackoffStrategy.fibonacci, DURATIONS, DURATIONS),
)


def _strategy(vector: dict[str, Any]) -> BackoffStrategy:
    initial = from_microseconds(vector["initial_us"])
    if vector["kind"] == "fixed":
        return BackoffStrategy.fixed(initial)
    make = getattr(BackoffStrategy, vector["kind"])
    strategy: BackoffStrategy = make(initial, from_microseconds(vector["max_us"]))
    return strategy


def test_every_vector_gives_its_exact_delay() -> None:
    for vector in VECTORS:
        delay = _strategy(vector).calculate(vector["attempt"])
        assert delay == from_microseconds(vector["delay_us"]), vector


@pytest.mark.parametrize("attempt", [31, 32, 63, 64, 2**63 - 1])
def test_an_exponential_delay_stays_at_its_maximum(attempt: int) -> None:
    assert BackoffStrategy.exponential(1, 3600).calculate(attempt) == timedelta(hours=1)


@pytest.mark.parametrize("attempt", [46, 47, 93, 2**63 - 1])
def test_a_fibonacci_delay_stays_at_its_maximum(attempt: int) -> None:
    assert BackoffStrategy.fibonacci(1, 3600).calculate(attempt) == timedelta(hours=1)


def test_a_maximum_without_bound_saturates() -> None:
    strategy = BackoffStrategy.exponential(1, timedelta.max)
    assert strategy.calculate(1000) == from_microseconds(MAX_US)


def test_a_negative_attempt_is_refused() -> None:
    with pytest.raises(ValueError, match="attempt"):
        BackoffStrategy.fixed(1).calculate(-1)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (BackoffStrategy.fixed, "delay"),
        (lambda value: BackoffStrategy.exponential(value, 1), "initial"),
        (lambda value: BackoffStrategy.exponential(1, value), "max"),
        (lambda value: BackoffStrategy.fibonacci(value, 1), "initial"),
        (lambda value: BackoffStrategy.fibonacci(1, value), "max"),
    ],
)
@pytest.mark.parametrize("value", [-1, timedelta(seconds=-1), True, float("nan"), "10"])
def test_a_duration_that_is_not_allowed_is_refused_by_name(
    make: Callable[[Duration], BackoffStrategy], field: str, value: Duration
) -> None:
    with pytest.raises(ConfigError, match=f"^{field}="):
        make(value)


def test_seconds_and_timedelta_make_equal_strategies() -> None:
    seconds = BackoffStrategy.exponential(0.5, 3600)
    assert seconds == BackoffStrategy.exponential(timedelta(milliseconds=500), timedelta(hours=1))
    assert hash(seconds) == hash(BackoffStrategy.exponential(0.5, 3600))
    assert seconds != BackoffStrategy.fibonacci(0.5, 3600)
    assert seconds != BackoffStrategy.exponential(0.5, 3601)


def test_the_fields_are_those_of_the_kernels() -> None:
    strategy = BackoffStrategy.exponential(10, 3600)
    assert strategy.kind == EXPONENTIAL
    assert (strategy.initial_us, strategy.max_us) == (10_000_000, 3_600_000_000)
    assert BackoffStrategy.fibonacci(1, 2).kind == FIBONACCI
    assert BackoffStrategy.fixed(1).kind == FIXED


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ((9, 0, 0), "kind=9"),
        ((EXPONENTIAL, -1, 0), "initial_us=-1"),
        ((EXPONENTIAL, 0, MAX_US + 1), "max_us="),
        ((EXPONENTIAL, 1.5, 2), "initial_us=1.5"),
        ((FIXED, 1, 2), "max_us=2"),
    ],
)
def test_fields_that_no_strategy_has_are_refused(fields: tuple[Any, ...], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named}"):
        BackoffStrategy(*fields)


def test_a_strategy_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(BackoffStrategy.fixed(1), "initial_us", 2)  # noqa: B010 -- mypy knows it is frozen


@pytest.mark.parametrize("name", NAMES.values())
def test_each_kind_is_told_and_drawn(name: str) -> None:
    assert f"{name}=" in FORMS
    assert find(STRATEGIES.map(str), lambda text: text.startswith(f"{name}="))


@given(STRATEGIES)
def test_the_text_form_reads_back_exactly(strategy: BackoffStrategy) -> None:
    assert BackoffStrategy.parse(str(strategy)) == strategy


@given(STRATEGIES)
def test_a_strategy_pickles(strategy: BackoffStrategy) -> None:
    assert pickle.loads(pickle.dumps(strategy)) == strategy


@pytest.mark.parametrize("text", ["fixed=30", "exponential=10,3600", "fibonacci=0.5,600"])
def test_a_text_form_is_written_as_it_was_read(text: str) -> None:
    assert str(BackoffStrategy.parse(text)) == text


def test_a_text_form_may_have_units() -> None:
    assert BackoffStrategy.parse("exponential=10s,1h") == BackoffStrategy.exponential(10, 3600)


def test_the_repr_shows_how_to_make_it() -> None:
    assert repr(BackoffStrategy.fixed(30)) == "BackoffStrategy.fixed(30)"
    strategy = BackoffStrategy.exponential(0.5, 3600)
    assert repr(strategy) == "BackoffStrategy.exponential(0.5, 3600)"


@pytest.mark.parametrize(
    "text",
    [
        *("", "fixed", "fixed=", "fixed=1,2", "fixed=-1", "fixed=nan", "FIXED=1", "linear=1"),
        *("exponential=10", "exponential=1,2,3", "exponential=1;2"),
    ],
)
def test_a_text_that_is_no_strategy_is_refused_whole(text: str) -> None:
    with pytest.raises(ConfigError, match=r"must be fixed=DELAY, .* 90s, 15m, 2h, 3d") as caught:
        BackoffStrategy.parse(text)
    assert str(caught.value).startswith(f"backoff={text!r}: ")
