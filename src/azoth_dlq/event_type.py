"""The type of an event as it may be shown."""

from __future__ import annotations

import re
from typing import Final

EVENT_START: Final = 257
"""Bytes of an event that tell its type: 64 characters, and the colon."""

# What stands before a colon in a payload without a type must not be shown as one.
_EVENT_TYPE: Final = re.compile(r"[\w./@$+-]{1,64}")


def shown_event_type(event: bytes | bytearray) -> str | None:
    """What the event, or its start, names as its type; None where that may be payload."""
    name, colon, _ = event.partition(b":")
    text = name.decode("utf-8", "replace") if colon else ""
    return text if _EVENT_TYPE.fullmatch(text) else None
