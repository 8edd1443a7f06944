"""What a promise and a defect are to the page."""

from __future__ import annotations

from typing import NamedTuple


class Found(NamedTuple):
    """A defect, and the test that holds what was mended."""

    what: str
    test: str


class Promise(NamedTuple):
    """`blows` and `figures` by the names that the attacks give them."""

    title: str
    text: str
    blows: tuple[str, ...]
    figures: tuple[str, ...] = ()
    found: tuple[Found, ...] = ()
