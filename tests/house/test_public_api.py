"""What programs and people rely on changes on purpose alone."""

from __future__ import annotations

from tests import public_api


def test_the_public_names_and_commands_are_those_that_are_listed() -> None:
    """Where that is meant: `python -m tests.public_api`, and CHANGELOG.md."""
    assert public_api.listing() == public_api.PATH.read_text(encoding="utf-8")
