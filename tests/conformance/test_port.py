"""The port itself: small, and nothing of SQLite in it."""

from __future__ import annotations

import inspect
import re

import pytest

from azoth_dlq.store import base, upkeep


def _verbs(part: type) -> list[str]:
    return [
        name
        for name, member in vars(part).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]


PARTS = [base.Letters, base.Groups, base.Claims, upkeep.Upkeep, upkeep.Exchange, base.Store]


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_the_port_has_at_most_fifteen_verbs(part: type) -> None:
    assert len(_verbs(part)) <= 15


def test_the_port_names_no_database_product() -> None:
    for module in (base, upkeep):
        source = inspect.getsource(module)
        assert not re.search(r"sqlite|postgres|pragma|wal\b", source, re.IGNORECASE)
