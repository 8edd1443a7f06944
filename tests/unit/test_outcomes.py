"""The exceptions by which a handler chooses an outcome."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from azoth_dlq.errors import AzothError
from azoth_dlq.outcomes import NonRetryable, RetryAfter, Snooze

if TYPE_CHECKING:
    from azoth_dlq.durations import Duration

DELAYED = pytest.mark.parametrize("kind", [RetryAfter, Snooze])
Delayed = type[RetryAfter] | type[Snooze]


@pytest.mark.parametrize("kind", [NonRetryable, RetryAfter, Snooze])
def test_an_outcome_is_an_exception_but_no_azoth_error(kind: type[Exception]) -> None:
    assert issubclass(kind, Exception)
    assert not issubclass(kind, AzothError)


def test_retry_after_and_snooze_are_not_caught_as_each_other() -> None:
    assert not issubclass(RetryAfter, Snooze)
    assert not issubclass(Snooze, RetryAfter)


@DELAYED
@pytest.mark.parametrize(
    ("delay", "kept"),
    [
        (30, timedelta(seconds=30)),
        (0.25, timedelta(milliseconds=250)),
        (timedelta(hours=1), timedelta(hours=1)),
        (0, timedelta(0)),
    ],
)
def test_the_delay_is_kept_as_a_timedelta(kind: Delayed, delay: Duration, kept: timedelta) -> None:
    outcome = kind(delay)
    assert outcome.delay == kept
    assert isinstance(outcome.delay, timedelta)


@DELAYED
@pytest.mark.parametrize(
    "delay", [-1, timedelta(microseconds=-1), float("nan"), True, "soon", None]
)
def test_a_delay_that_is_none_is_refused_by_name(kind: Delayed, delay: Duration) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__} delay="):
        kind(delay)


@DELAYED
def test_a_delay_that_is_missing_is_told_by_name(kind: Any) -> None:
    with pytest.raises(TypeError, match=f"^{kind.__name__}.*'delay'"):
        kind()


@DELAYED
def test_a_delayed_outcome_pickles_with_delay_message_and_notes(kind: Delayed) -> None:
    outcome = kind(timedelta(seconds=5), "rate limited")
    outcome.add_note("by the bank")
    for twin in (pickle.loads(pickle.dumps(outcome)), copy.copy(outcome)):
        assert type(twin) is kind
        assert twin.delay == timedelta(seconds=5)
        assert str(twin) == "rate limited"
        assert twin.__notes__ == ["by the bank"]


def test_non_retryable_pickles_with_its_message() -> None:
    assert str(pickle.loads(pickle.dumps(NonRetryable("no such account")))) == "no such account"


@DELAYED
def test_the_message_may_be_left_out(kind: Delayed) -> None:
    assert str(kind(1)) == ""
    assert str(NonRetryable()) == ""
