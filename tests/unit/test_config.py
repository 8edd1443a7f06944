"""Settings: their defaults, their bounds and their plain form."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
import tomllib
from array import array
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.backoff import BackoffStrategy
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.durations import MAX_US, Duration, from_microseconds
from azoth_dlq.errors import ConfigError
from azoth_dlq.kernels.backoff import EXPONENTIAL
from azoth_dlq.kernels.eligibility import due
from azoth_dlq.priority import ReplayPriority

NAN = float("nan")
INFINITY = float("inf")
DURATIONS = ("check_interval", "min_age", "max_transaction_time", "yield_time", "busy_timeout")
NO_DURATIONS: tuple[object, ...] = (-1, NAN, INFINITY, True, None, [])
MAPPINGS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "check_interval": st.integers(1, MAX_US).map(from_microseconds),
        "max_retries": st.integers(1, 2**31 - 1),
        "backoff": st.sampled_from([BackoffStrategy.fixed(0.1), BackoffStrategy.fibonacci(1, 9)]),
        "min_age": st.integers(0, MAX_US).map(from_microseconds),
        "batch_size": st.integers(1, 2**31 - 1),
        "priority": st.sampled_from(
            [ReplayPriority.LIFO, ReplayPriority.by_error_type(["a b", " "])]
        ),
        "stop_on_consecutive_failures": st.none() | st.integers(1, 2**63 - 1),
        "jitter": st.floats(0, 1),
        "max_transaction_time": st.integers(1, MAX_US).map(from_microseconds),
        "yield_time": st.integers(0, MAX_US).map(from_microseconds),
        "busy_timeout": st.integers(0, MAX_US).map(from_microseconds),
        "history_limit": st.integers(0, 2**63 - 1),
        "memory_limit": st.integers(2**20, 2**63 - 1),
        "cache_size": st.none() | st.integers(2**20, 2**40),
        "mmap_size": st.none() | st.integers(0, 2**63 - 1),
        "concurrency": st.integers(1, 10_000),
        "timeout": st.none() | st.integers(1, MAX_US).map(from_microseconds),
        "rate_limit": st.none() | st.floats(1e-6, 1e9),
        "retention": st.none() | st.integers(1, MAX_US).map(from_microseconds),
    },
)
CONFIGS = st.builds(lambda settings: DlqReplayConfig(**settings), MAPPINGS)


def test_the_defaults_are_the_documented_ones() -> None:
    assert DlqReplayConfig().to_mapping() == {
        "enabled": True,
        "check_interval": 60,
        "max_retries": 5,
        "backoff": "exponential=10,3600",
        "min_age": 5,
        "batch_size": 100,
        "priority": "by-retry-count",
        "stop_on_consecutive_failures": 10,
        "jitter": 0.0,
        "max_transaction_time": 0.25,
        "yield_time": 0.11,
        "busy_timeout": 30,
        "history_limit": 20,
        "memory_limit": 64 * 2**20,
        "cache_size": 33554432,
        "mmap_size": None,
        "concurrency": 1,
        "timeout": None,
        "rate_limit": None,
        "retention": None,
    }


@pytest.mark.parametrize(("name", "default"), DlqReplayConfig().to_mapping().items())
def test_help_tells_each_setting_and_its_default(name: str, default: object) -> None:
    assert f"\n- {name} = {default}" in (inspect.getdoc(DlqReplayConfig) or "")


@pytest.mark.parametrize("name", DURATIONS)
def test_a_duration_is_taken_as_seconds_or_timedelta_and_kept_as_timedelta(name: str) -> None:
    values: tuple[Duration, ...] = (2, 2.0, timedelta(seconds=2))
    for value in values:
        kept = getattr(DlqReplayConfig.from_mapping({name: value}), name)
        assert kept == timedelta(seconds=2)
        assert isinstance(kept, timedelta)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in DURATIONS for value in NO_DURATIONS),
        ("check_interval", 0),
        ("max_transaction_time", timedelta(0)),
        *((name, timedelta(microseconds=-1)) for name in DURATIONS),
        *(
            (name, value)
            for name in ("max_retries", "batch_size")
            for value in (0, -1, 2**31, 1.0, True, "5", None)
        ),
        *(("enabled", value) for value in (1, 0, "yes", None)),
        *(("backoff", value) for value in (10, None, timedelta(1), BackoffStrategy)),
        *(("priority", value) for value in (1, None, ["timeout"], ReplayPriority)),
        *(("stop_on_consecutive_failures", value) for value in (0, -1, 2.0, True, "10")),
        *(("jitter", value) for value in (-0.1, 1.1, NAN, INFINITY, True, None, "0.5")),
        *(("history_limit", value) for value in (-1, 2**63, 1.5, False, None)),
        *(("memory_limit", value) for value in (2**20 - 1, 2**63, 1e9, True, None)),
        *(("cache_size", value) for value in (2**20 - 1, 2**40 + 1, 1e9, True, "64MiB")),
        *(("mmap_size", value) for value in (-1, 2**63, 1e9, False, "64MiB")),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name}=.*: must be "):
        DlqReplayConfig(**{name: value})  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("check_interval", timedelta(microseconds=1)),
        ("max_transaction_time", timedelta(microseconds=1)),
        ("min_age", timedelta(0)),
        ("yield_time", timedelta(0)),
        ("busy_timeout", timedelta(0)),
        ("max_retries", 1),
        ("max_retries", 2**31 - 1),
        ("batch_size", 2**31 - 1),
        ("stop_on_consecutive_failures", None),
        ("stop_on_consecutive_failures", 1),
        ("jitter", 0),
        ("jitter", 1),
        ("history_limit", 0),
        ("memory_limit", 2**20),
        ("cache_size", 2**20),
        ("cache_size", 2**40),
        ("cache_size", None),
        ("mmap_size", 0),
        ("mmap_size", None),
    ],
)
def test_the_bounds_themselves_are_allowed(name: str, value: object) -> None:
    config = DlqReplayConfig(**{name: value})  # type: ignore[arg-type]  # of whatever setting
    assert getattr(config, name) == value


def test_the_refusal_says_what_is_allowed() -> None:
    with pytest.raises(ConfigError) as caught:
        DlqReplayConfig(max_retries=0)
    assert str(caught.value) == "max_retries=0: must be an int from 1 to 2147483647"


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(DlqReplayConfig(), "batch_size", 1)  # noqa: B010 -- mypy knows it is frozen


def test_a_replaced_setting_is_checked_too() -> None:
    config = dataclasses.replace(DlqReplayConfig(), min_age=timedelta(seconds=7))
    assert config.min_age == timedelta(seconds=7)
    with pytest.raises(ConfigError, match="min_age"):
        dataclasses.replace(config, min_age=timedelta(seconds=-7))


@given(CONFIGS)
def test_the_plain_form_reads_back_exactly_through_json(config: DlqReplayConfig) -> None:
    plain = json.loads(json.dumps(config.to_mapping()))
    assert DlqReplayConfig.from_mapping(plain) == config


@given(CONFIGS)
def test_a_config_pickles(config: DlqReplayConfig) -> None:
    copy = pickle.loads(pickle.dumps(config))
    assert copy == config
    assert hash(copy) == hash(config)


def test_settings_are_read_from_toml() -> None:
    document = """
        check_interval = 0.5
        backoff = "fibonacci=1,600"
        priority = "by-error-type=timeout,deadlock"
        stop_on_consecutive_failures = "never"
    """
    assert DlqReplayConfig.from_mapping(tomllib.loads(document)) == DlqReplayConfig(
        check_interval=timedelta(milliseconds=500),
        backoff=BackoffStrategy.fibonacci(1, 600),
        priority=ReplayPriority.by_error_type(["timeout", "deadlock"]),
        stop_on_consecutive_failures=None,
    )


def test_an_unknown_setting_is_refused_with_a_near_one_and_all_allowed() -> None:
    with pytest.raises(ConfigError) as caught:
        DlqReplayConfig.from_mapping({"max-retry": 3})
    message = str(caught.value)
    assert "unknown setting 'max-retry' (did you mean max_retries?)" in message
    assert all(field.name in message for field in dataclasses.fields(DlqReplayConfig))


def test_an_unknown_setting_near_to_none_gets_no_suggestion() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'colour': must be one of enabled, "):
        DlqReplayConfig.from_mapping({"colour": "red"})


@pytest.mark.parametrize(
    "name", ["check_interval", "min_age", "max_transaction_time", "yield_time", "busy_timeout"]
)
def test_a_plain_duration_may_have_a_unit(name: str) -> None:
    kept = getattr(DlqReplayConfig.from_mapping({name: "15m"}), name)
    assert kept == timedelta(minutes=15)


@pytest.mark.parametrize(
    "mapping",
    [
        {"backoff": "linear=1"},
        {"backoff": 10},
        {"priority": "newest"},
        {"check_interval": "0"},
        {"check_interval": "a minute"},
        {"max_retries": "5"},
        {"stop_on_consecutive_failures": "ever"},
    ],
)
def test_a_plain_value_that_is_not_allowed_is_refused_by_name(mapping: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(mapping))}"):
        DlqReplayConfig.from_mapping(mapping)


def test_the_rules_carry_what_decides_which_letters_are_due() -> None:
    config = DlqReplayConfig(max_retries=7, min_age=0.5, jitter=0.25)
    rules = config.rules(1_795_000_000_000_000)
    assert (rules.now, rules.max_retries, rules.min_age) == (1_795_000_000_000_000, 7, 500_000)
    assert (rules.kind, rules.initial, rules.maximum) == (EXPONENTIAL, 10_000_000, 3_600_000_000)
    assert rules.jitter == 0.25
    assert not rules.waive_delay
    assert config.rules(0, waive_delay=True).waive_delay


LONG_DURATIONS = st.integers(0, MAX_US).map(from_microseconds)
BACKOFFS = st.one_of(
    st.builds(BackoffStrategy.fixed, LONG_DURATIONS),
    st.builds(BackoffStrategy.exponential, LONG_DURATIONS, LONG_DURATIONS),
    st.builds(BackoffStrategy.fibonacci, LONG_DURATIONS, LONG_DURATIONS),
)


@given(MAPPINGS, BACKOFFS, st.integers(0, 80), st.integers(-(2**63), 2**63 - 1 - 500))
def test_no_letter_waits_less_than_the_least_wait(
    settings: dict[str, Any], backoff: BackoffStrategy, count: int, first_id: int
) -> None:
    config = DlqReplayConfig(**settings | {"max_retries": 100, "backoff": backoff})
    least = config.least_wait(count)
    assert least is not None
    assert least <= shortest_wait(config, count, range(first_id, first_id + 500))


@given(st.integers(0, 40), st.sampled_from([0.0, 0.25, 1.0]) | st.floats(0, 1), st.integers(0, 60))
def test_the_least_wait_is_one_that_some_letter_nearly_has(
    count: int, jitter: float, min_age: int
) -> None:
    config = DlqReplayConfig(max_retries=50, min_age=min_age, jitter=jitter)
    least = config.least_wait(count)
    assert least is not None
    shortest = shortest_wait(config, count, range(500))
    longest = shortest_wait(dataclasses.replace(config, jitter=0), count, range(1))
    assert shortest - least <= 0.05 * jitter * longest + 1


def shortest_wait(config: DlqReplayConfig, retry_count: int, ids: range) -> int:
    """Of these letters, by the kernels, in microseconds."""
    failed_at = array("q", [0]) * len(ids)
    counts = array("q", [retry_count]) * len(ids)
    _, next_due = due(
        config.rules(-1),
        retry_count=counts,
        failed_at=failed_at,
        id=array("q", ids),
        out=array("q", failed_at),
    )
    assert next_due is not None
    return next_due


@pytest.mark.parametrize("retry_count", [-(2**63), -1, 5, 2**31, 2**63 - 1])
def test_a_letter_without_attempts_has_no_least_wait(retry_count: int) -> None:
    assert DlqReplayConfig(max_retries=5).least_wait(retry_count) is None


@pytest.mark.parametrize(
    ("text", "a_second"),
    [
        ("50", 50.0),
        ("50/s", 50.0),
        ("600/m", 10.0),
        ("1800/h", 0.5),
        ("0.5/s", 0.5),
        ("unlimited", None),
    ],
)
def test_a_rate_may_be_a_text_with_its_unit(text: str, a_second: float | None) -> None:
    assert DlqReplayConfig.from_mapping({"rate_limit": text}).rate_limit == a_second


@pytest.mark.parametrize("wrong", ["", "fast", "50/d", "50/", "-1/s", "0/s", "1e3", "50 / s"])
def test_a_text_that_is_no_rate_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"^rate_limit=.*50/s"):
        DlqReplayConfig.from_mapping({"rate_limit": wrong})


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), True, "50/s", [50], 1e-7])
def test_a_rate_is_a_number_of_attempts_a_second(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"^rate_limit=.*attempts a second"):
        DlqReplayConfig(rate_limit=wrong)


def test_a_timeout_may_be_never() -> None:
    assert DlqReplayConfig.from_mapping({"timeout": "never"}).timeout is None
    assert DlqReplayConfig.from_mapping({"retention": "never"}).retention is None
    assert DlqReplayConfig.from_mapping({"retention": "30d"}).retention == timedelta(days=30)
    assert DlqReplayConfig(timeout=2).timeout == timedelta(seconds=2)
    for wrong in (0, -1, "soon", True):
        with pytest.raises(ConfigError, match=r"^timeout="):
            DlqReplayConfig.from_mapping({"timeout": wrong})


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "many", 10_001])
def test_concurrency_is_a_number_of_attempts_at_once(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"^concurrency=.*from 1 to 10000"):
        DlqReplayConfig(concurrency=wrong)
