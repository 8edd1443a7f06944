from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.backoff import NAMES
from azoth_dlq.kernels.eligibility import NONE, UNREADABLE, Rules, Verdict, due
from tests.kernels import twins
from tests.kernels.buffers import int64, zeros

int64s = st.one_of(
    st.integers(-100, 100),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([NONE, UNREADABLE, UNREADABLE + 1, 2**63 - 1]),
)
durations = st.one_of(st.integers(0, 50), st.integers(0, 2**63 - 1))
rule_sets = st.builds(
    twins.Rules,
    now=st.one_of(st.integers(-100, 200), st.integers(-(2**63), 2**63 - 1)),
    max_retries=st.integers(0, 2**31 - 1) | st.integers(0, 9),
    min_age=durations,
    kind=st.sampled_from(sorted(NAMES)),
    initial=durations,
    maximum=durations,
    jitter=st.just(0.0) | st.floats(0, 1),
    waive_delay=st.booleans(),
)
letters = st.builds(twins.Letter, int64s, st.integers(-1, 9) | int64s, int64s, int64s, int64s)
EXAMPLE: dict[str, Any] = asdict(
    twins.Rules(now=1000, max_retries=3, min_age=5, kind=1, initial=10, maximum=100)
)


@given(rule_sets, st.lists(letters))
def test_columns_are_judged_as_by_the_twin(rules: twins.Rules, rows: list[twins.Letter]) -> None:
    out, verdicts = zeros(len(rows)), bytearray(len(rows))
    columns = {
        name: int64(getattr(row, name) for row in rows)
        for name in ("id", "retry_count", "failed_at", "last_retry_at", "not_before")
    }
    count, next_due = due(Rules(**asdict(rules)), **columns, out=out, verdicts=verdicts)
    expected = [twins.judge(rules, row) for row in rows]
    places = [place for place, (verdict, _) in enumerate(expected) if verdict is Verdict.DUE]
    waiting = [due_at for verdict, due_at in expected if verdict is Verdict.WAITING]
    assert list(verdicts) == [verdict for verdict, _ in expected]
    assert list(out)[:count] == places
    assert next_due == min(waiting, default=None)


def test_left_out_columns_hold_no_values() -> None:
    out = zeros(2)
    rules = Rules(**EXAMPLE)
    result = due(rules, retry_count=zeros(2), failed_at=int64([990, 995]), out=out)
    assert result == (1, 1005)
    assert out[0] == 0


def test_the_target_may_be_longer_than_the_columns() -> None:
    out = int64([9, 9])
    verdicts: Any = np.full(2, 9, np.uint8)
    rules = Rules(**EXAMPLE)
    assert due(rules, retry_count=zeros(1), failed_at=zeros(1), out=out, verdicts=verdicts)[0] == 1
    assert list(out) == [0, 9]
    assert list(verdicts) == [Verdict.DUE, 9]


def test_a_due_instant_beyond_int64_never_comes_and_saturates() -> None:
    rules = Rules(**(EXAMPLE | {"now": 2**63 - 1}))
    failed_at = int64([2**63 - 11, 2**63 - 10])
    out = zeros(2)
    assert due(rules, retry_count=zeros(2), failed_at=failed_at, out=out) == (1, 2**63 - 1)
    assert out[0] == 0


@pytest.mark.parametrize("name", ["failed_at", "last_retry_at", "not_before", "id"])
def test_a_column_of_another_length_is_named(name: str) -> None:
    columns: dict[str, Any] = {"retry_count": zeros(2), "failed_at": zeros(2), "out": zeros(2)}
    columns[name] = zeros(1)
    with pytest.raises(ValueError, match=f"{name} holds 1 items; it must hold 2"):
        due(Rules(**EXAMPLE), **columns)
    for column in columns.values():
        column.append(0)  # which a buffer still held would refuse


def test_a_target_that_is_too_short_is_named() -> None:
    columns: dict[str, Any] = {"retry_count": zeros(2), "failed_at": zeros(2)}
    rules = Rules(**EXAMPLE)
    with pytest.raises(ValueError, match="out has room for 1 items; it must have room for 2"):
        due(rules, **columns, out=zeros(1))
    with pytest.raises(ValueError, match="verdicts has room for 1 items"):
        due(rules, **columns, out=zeros(2), verdicts=bytearray(1))
    with pytest.raises(TypeError, match=r"verdicts must be a writable.*uint8"):
        due(rules, **columns, out=zeros(2), verdicts=zeros(2))
    with pytest.raises(TypeError, match="verdicts must be a writable"):
        due(rules, **columns, out=zeros(2), verdicts=bytes(2))


def test_jitter_needs_ids() -> None:
    rules = Rules(**(EXAMPLE | {"jitter": 0.5}))
    with pytest.raises(ValueError, match="id must be given where the rules have jitter"):
        due(rules, retry_count=zeros(1), failed_at=zeros(1), out=zeros(1))


def test_failed_at_is_needed() -> None:
    columns: dict[str, Any] = {"retry_count": zeros(1), "failed_at": None, "out": zeros(1)}
    with pytest.raises(TypeError, match="failed_at must be a one-dimensional"):
        due(Rules(**EXAMPLE), **columns)


def test_rules_tell_what_they_were_given() -> None:
    given_rules = EXAMPLE | {"jitter": 0.25, "waive_delay": True}
    rules = Rules(**given_rules)
    assert {name: getattr(rules, name) for name in given_rules} == given_rules
    assert eval(repr(rules), {"Rules": Rules}).jitter == 0.25  # noqa: S307 -- its own repr


@pytest.mark.parametrize("name", sorted(EXAMPLE))
def test_rules_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Rules(**EXAMPLE), name, 1)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("now", 2**63, ValueError, "now is 9223372036854775808"),
        ("now", 1.0, TypeError, "now must be an int, not float"),
        ("max_retries", -1, ValueError, "max_retries is -1; allowed are 0 to 2147483647"),
        ("max_retries", 2**31, ValueError, "max_retries is 2147483648"),
        ("min_age", -1, ValueError, "min_age is -1"),
        ("kind", 3, ValueError, "kind is 3; allowed are 0 to 2"),
        ("initial", -1, ValueError, "initial is -1"),
        ("maximum", -1, ValueError, "maximum is -1"),
        ("jitter", 1.5, ValueError, "jitter is 1.5; allowed are 0 to 1"),
        ("jitter", "1", TypeError, "jitter must be a float, not str"),
        ("waive_delay", 1, TypeError, "waive_delay must be a bool, not int"),
    ],
)
def test_rules_outside_their_bounds_are_refused(
    name: str, value: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Rules(**(EXAMPLE | {name: value}))


def test_rules_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        Rules(*EXAMPLE.values())  # type: ignore[call-arg]  # the error under test


def test_something_else_than_rules_is_refused() -> None:
    empty = zeros(0)
    with pytest.raises(TypeError, match="rules"):
        due(None, retry_count=empty, failed_at=empty, out=empty)  # type: ignore[arg-type]  # the error under test
