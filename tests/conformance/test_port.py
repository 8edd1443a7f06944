"""The port itself: small, and nothing of SQLite in it."""

from __future__ import annotations

import inspect
import re

from azoth_dlq.store import base


def _verbs() -> list[str]:
    return [
        name
        for name, member in vars(base.Store).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]


def test_the_port_has_at_most_fifteen_verbs() -> None:
    assert len(_verbs()) <= 15


def test_the_port_names_no_database_product() -> None:
    assert not re.search(r"sqlite|postgres|pragma|wal\b", inspect.getsource(base), re.IGNORECASE)
