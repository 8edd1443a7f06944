"""Arguments of the queue's verbs, checked. Errors: ConfigError naming the argument."""

from __future__ import annotations

from azoth_dlq.errors import ConfigError, not_allowed

INT64 = range(-(2**63), 2**63)
_LIMITS = range(2**63)


def checked_bytes(event_bytes: object, prefix: str = "") -> bytes:
    if not isinstance(event_bytes, (bytes, bytearray, memoryview)):
        kind = type(event_bytes).__name__  # what it holds may be a payload
        raise ConfigError(f"{prefix}event_bytes is of type {kind}: must be bytes, as b'deposit:1'")
    return bytes(event_bytes)


def checked_id(letter_id: int) -> int:
    if type(letter_id) is not int or letter_id not in INT64:
        raise not_allowed("id", letter_id, "an int from -2**63 to 2**63-1")
    return letter_id


def checked_parked(parked: bool) -> bool:  # noqa: FBT001 -- the argument that is checked
    if type(parked) is not bool:
        allowed = "True (ids of permanent failures) or False (of dead letters)"
        raise not_allowed("parked", parked, allowed)
    return parked


def checked_limit(limit: int) -> int:
    if type(limit) is not int or limit not in _LIMITS:
        raise not_allowed("limit", limit, "an int from 0 to 2**63-1")
    return limit
