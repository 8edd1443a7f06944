"""The figures of a file in the text format of Prometheus, version 0.0.4.

Written by hand: it is a few lines, and a client library keeps its own registry, which no command
needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from azoth_dlq.status import Status

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_MOST_COUNTS: Final = 20  # retry counts told apart
OTHER: Final = "other"
"""The label of what is not told apart."""


class _Metric(NamedTuple):
    name: str
    help: str
    value: float


def exposition(status: Status, database: str) -> Iterator[str]:
    """The lines; each figure is a gauge, with the file as a label."""
    label = {"database": database}
    for metric in _plain(status):
        yield from _header(metric.name, metric.help)
        yield _sample(metric.name, label, metric.value)
    types = {**dict(status.by_type)}
    types[OTHER] = types.get(OTHER, 0) + status.dead_letters - sum(dict(status.by_type).values())
    yield from _labelled("by_type", "Dead letters by event type.", "type", types, label)
    counts = {str(count): n for count, n in list(status.by_retry_count.items())[:_MOST_COUNTS]}
    counts[OTHER] = status.dead_letters - sum(counts.values())
    told = "Dead letters by failed attempts."
    yield from _labelled("by_retry_count", told, "retry_count", counts, label)


def _plain(status: Status) -> tuple[_Metric, ...]:
    return (
        _Metric("dead_letters", "Dead letters.", status.dead_letters),
        _Metric("due_letters", "Dead letters that a drain would attempt.", status.due),
        _Metric("not_due_letters", "Dead letters that wait for their time.", status.not_due),
        _Metric("exhausted_letters", "Dead letters without attempts left.", status.exhausted),
        _Metric("unreadable_letters", "Dead letters that cannot be read.", status.unreadable),
        _Metric("ahead_letters", "Dead letters whose time lies ahead.", status.ahead),
        _Metric("oldest_age_seconds", "Since the oldest failed.", _seconds(status.oldest_age)),
        _Metric(
            "oldest_due_age_seconds",
            "Since the oldest due one failed, 0 where none is due.",
            _seconds(status.oldest_due_age),
        ),
        _Metric("permanent_failures", "Parked letters.", status.permanent_failures),
        _Metric("in_hand_letters", "Letters in the hands of handlers.", status.in_hand),
        _Metric("draining_processes", "Processes that drain.", len(status.draining)),
        _Metric("stopped", "Whether failures have stopped it.", status.stopped_at is not None),
        _Metric("looked_at_timestamp_seconds", "When it was counted.", status.at.timestamp()),
    )


def _labelled(
    name: str, told: str, key: str, values: Mapping[str, int], label: Mapping[str, str]
) -> Iterator[str]:
    name = f"dead_letters_{name}"
    yield from _header(name, told)
    for text, number in values.items():
        yield _sample(name, {**label, key: text}, number)


def _header(name: str, told: str) -> tuple[str, str]:
    return f"# HELP azoth_dlq_{name} {told}", f"# TYPE azoth_dlq_{name} gauge"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    shown = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
    return f"azoth_dlq_{name}{{{shown}}} {float(value)!r}"


def _seconds(age: timedelta | None) -> float:
    return 0.0 if age is None else age.total_seconds()
