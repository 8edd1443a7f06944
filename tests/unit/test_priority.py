"""The order of letters: its SQL, its text form, and what the planner is told."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.errors import ConfigError
from azoth_dlq.kernels.order import ErrorTypes
from azoth_dlq.priority import ReplayPriority

if TYPE_CHECKING:
    from collections.abc import Iterable

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "error_types.json").read_text())
NAMED = [
    (ReplayPriority.FIFO, "fifo", "failed_at ASC"),
    (ReplayPriority.LIFO, "lifo", "failed_at DESC"),
    (ReplayPriority.BY_RETRY_COUNT, "by-retry-count", "retry_count ASC, failed_at ASC"),
]
BY_ERROR = ReplayPriority.by_error_type(["timeout", "dead_lock"])
TEXTS = st.lists(st.text("aBé_-. ", min_size=1, max_size=4), min_size=1, max_size=6)


def _order_by_sql(priority: ReplayPriority, messages: Iterable[str]) -> list[str]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE TABLE q(id INTEGER PRIMARY KEY, error_message, failed_at)")
        rows = [(message, "2026-11-24") for message in messages]
        connection.executemany("INSERT INTO q(error_message, failed_at) VALUES (?, ?)", rows)
        clause = priority.order_by_clause()
        statement = f"SELECT error_message FROM q ORDER BY {clause}, id"  # noqa: S608 -- the point
        return [message for (message,) in connection.execute(statement)]
    finally:
        connection.close()


@pytest.mark.parametrize(("priority", "text", "clause"), NAMED)
def test_a_named_priority_has_its_clause_and_text(
    priority: ReplayPriority, text: str, clause: str
) -> None:
    assert priority.order_by_clause() == clause
    assert str(priority) == text
    assert ReplayPriority.parse(text) == priority


def test_the_clause_of_error_types_is_a_case_with_the_count_of_texts_last() -> None:
    assert ReplayPriority.by_error_type(["timeout", "HTTP 503"]).order_by_clause() == (
        "CASE WHEN error_message LIKE '%timeout%' THEN 0 "
        "WHEN error_message LIKE '%HTTP 503%' THEN 1 ELSE 2 END, failed_at ASC"
    )


def test_an_underscore_is_escaped_in_the_clause() -> None:
    assert ReplayPriority.by_error_type(["connection_error"]).order_by_clause() == (
        r"CASE WHEN error_message LIKE '%connection\_error%' ESCAPE '\' THEN 0 ELSE 1 END, "
        "failed_at ASC"
    )


def test_an_underscore_matches_itself_only() -> None:
    priority = ReplayPriority.by_error_type(["a_b"])
    assert _order_by_sql(priority, ["axb", "a_b"]) == ["a_b", "axb"]


def test_letters_match_without_regard_to_ascii_case_only() -> None:
    priority = ReplayPriority.by_error_type(["TimeOut", "É"])
    assert _order_by_sql(priority, ["é", "É", "a TIMEOUT"]) == ["a TIMEOUT", "É", "é"]


def test_an_unlisted_error_comes_after_a_thousand_listed_ones() -> None:
    priority = ReplayPriority.by_error_type([f"error.{place:04}." for place in range(1200)])
    messages = ["none of them", "error.1100.", "error.0999.", "error.1199."]
    in_order = ["error.0999.", "error.1100.", "error.1199.", "none of them"]
    assert _order_by_sql(priority, messages) == in_order


@given(TEXTS, st.lists(st.text("aAbBéÉ_-.% x'", max_size=8), max_size=12))
def test_sqlite_orders_by_the_clause_as_the_kernel_ranks(
    texts: list[str], messages: list[str]
) -> None:
    priority = ReplayPriority.by_error_type(texts)
    rank = priority.rank
    assert isinstance(rank, ErrorTypes)
    assert _order_by_sql(priority, messages) == sorted(messages, key=rank.rank)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: ascii(vector["text"])[:20])
def test_a_text_is_accepted_or_refused_as_the_vectors_say(vector: dict[str, Any]) -> None:
    if vector["valid"]:
        priority = ReplayPriority.by_error_type([vector["text"]])
        assert priority.error_types == (vector["text"],)
        assert _order_by_sql(priority, ["~", vector["text"]]) == [vector["text"], "~"]
    else:
        with pytest.raises(ConfigError, match="by-error-type"):
            ReplayPriority.by_error_type([vector["text"]])


@pytest.mark.parametrize("texts", [[], "timeout", [1], [None], None])
def test_what_is_no_list_of_texts_is_refused(texts: Any) -> None:
    with pytest.raises(ConfigError, match="by-error-type"):
        ReplayPriority.by_error_type(texts)


def test_the_planner_is_told_the_rank_and_the_direction() -> None:
    assert ReplayPriority.FIFO.rank is None
    assert not ReplayPriority.FIFO.descending
    assert ReplayPriority.LIFO.rank is None
    assert ReplayPriority.LIFO.descending
    assert ReplayPriority.BY_RETRY_COUNT.rank == "retry_count"
    assert not ReplayPriority.BY_RETRY_COUNT.descending
    assert not ReplayPriority.BY_RETRY_COUNT.needs_error_text


def test_only_error_types_need_the_error_text() -> None:
    assert BY_ERROR.needs_error_text
    assert not BY_ERROR.descending
    assert isinstance(BY_ERROR.rank, ErrorTypes)
    assert BY_ERROR.rank.texts == ("timeout", "dead_lock")


@given(TEXTS)
def test_the_text_form_of_error_types_reads_back_exactly(texts: list[str]) -> None:
    priority = ReplayPriority.by_error_type(iter(texts))
    assert ReplayPriority.parse(str(priority)) == priority


@pytest.mark.parametrize("text", ["", "FIFO", "newest", "by-error-type", "fifo=1", "lifo "])
def test_a_text_that_is_no_priority_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^priority=.*fifo, lifo, by-retry-count or by-error-"):
        ReplayPriority.parse(text)


def test_a_parsed_text_with_a_bad_error_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="by-error-type"):
        ReplayPriority.parse("by-error-type=timeout,")


@pytest.mark.parametrize("priority", [*(row[0] for row in NAMED), BY_ERROR], ids=str)
def test_a_priority_pickles_and_copies(priority: ReplayPriority) -> None:
    for twin in (pickle.loads(pickle.dumps(priority)), copy.deepcopy(priority)):
        assert twin == priority
        assert hash(twin) == hash(priority)
        assert twin.order_by_clause() == priority.order_by_clause()
        assert twin.needs_error_text == priority.needs_error_text


def test_priorities_differ_by_name_and_by_texts_in_order() -> None:
    assert ReplayPriority.FIFO != ReplayPriority.LIFO
    assert ReplayPriority.by_error_type(["dead_lock", "timeout"]) != BY_ERROR


def test_a_priority_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(BY_ERROR, "error_types", ())  # noqa: B010 -- mypy knows it is frozen


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (("random",), "name='random'"),
        (("fifo", ("timeout",)), "error_types="),
        (("by-error-type",), "priority by-error-type"),
    ],
)
def test_fields_that_no_priority_has_are_refused(fields: tuple[Any, ...], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named}"):
        ReplayPriority(*fields)


def test_the_repr_shows_how_to_make_it() -> None:
    assert repr(ReplayPriority.BY_RETRY_COUNT) == "ReplayPriority.BY_RETRY_COUNT"
    assert repr(BY_ERROR) == "ReplayPriority.by_error_type(['timeout', 'dead_lock'])"
