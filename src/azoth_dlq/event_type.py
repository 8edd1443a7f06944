"""What an event names as its type, told apart from payload."""

from __future__ import annotations

import re
from typing import Final

HEAD: Final = 65
"""Bytes of an event that are looked at: the longest type and its colon."""

# What stands before a colon in a payload without a type must not be shown as one.
_EVENT_TYPE: Final = re.compile(r"[\w./@$+-]{1,64}")


def event_type_of(event_bytes: bytes | bytearray) -> str | None:
    """What stands before the first colon of an event (its first HEAD bytes will do); None where
    that may be payload."""
    name, colon, _ = bytes(event_bytes[:HEAD]).partition(b":")
    text = name.decode("utf-8", "replace") if colon else ""
    return text if _EVENT_TYPE.fullmatch(text) else None
