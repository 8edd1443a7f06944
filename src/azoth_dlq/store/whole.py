"""Letters with all that is kept of them, as they go from one file to another.

A value is as it is stored: INTEGER an `int`, REAL a `float`, TEXT a `bytearray` (of UTF-8, if it is
any), BLOB `bytes`, NULL None.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARED: Final = ("event_id", "event_bytes", "error_message", "failed_at", "retry_count")
# By whether it is parked.
COLUMNS: Final = {
    False: (
        *_SHARED,
        "last_retry_at",
        "azoth_last_error",
        "azoth_not_before",
        "azoth_not_before_count",
        "azoth_not_before_retry_at",
        "azoth_alone",
    ),
    True: (
        *_SHARED,
        "marked_permanent_at",
        "azoth_dead_letter_id",
        "azoth_last_retry_at",
        "azoth_last_error",
        "azoth_reason",
    ),
}
# Those that take no NULL in the crate's tables.
NEEDED: Final = {
    False: frozenset(_SHARED),
    True: frozenset((*_SHARED, "marked_permanent_at")),
}
HISTORY_COLUMNS: Final = (
    "at",
    "outcome",
    "error_type",
    "message",
    "traceback",
    "duration",
    "event_bytes",
)
_DEAD_LETTER_ID: Final = COLUMNS[True].index("azoth_dead_letter_id")

# Of an origin: what tells the file, a number that ascends as letters do (so that origins that are
# noted together lie together), and a hash.
_FILE_BYTES: Final = 8
_NUMBER_BYTES: Final = 8
_HASH_BYTES: Final = 8
ORIGIN_BYTES: Final = _FILE_BYTES + _NUMBER_BYTES + _HASH_BYTES
# Of files that nobody has given an identity, and of the logs of the Rust crate.
NO_FILE: Final = bytes(_FILE_BYTES)
CRATE_LOG: Final = b"log".ljust(_FILE_BYTES, b"\0")


class WholeLetter(NamedTuple):
    """A dead letter or (`parked`) a permanent failure: its columns in the order of `COLUMNS`, its
    attempts in that of `HISTORY_COLUMNS`, oldest first. `origin` is its own in whatever file it
    lies."""

    parked: bool
    id: int
    origin: bytes
    values: tuple[Any, ...]
    history: list[tuple[Any, ...]]


class Taken(NamedTuple):
    """What became of letters that were to come in: dead letters and permanent failures that did;
    those left out because they came in `before`, or were this file's own and are `gone`."""

    dead: int = 0
    parked: int = 0
    before: int = 0
    gone: int = 0


class Origins:
    """Makes the origins of one file's own letters; `identity`: None where it has none."""

    def __init__(self, identity: bytes | None) -> None:
        self._identity = identity
        self.file = (
            NO_FILE
            if identity is None
            else blake2b(identity, digest_size=_FILE_BYTES, person=b"azoth-dlq file").digest()
        )

    def of(self, letter_id: int, values: Sequence[Any], *, parked: bool) -> bytes:
        """The same before and after the letter is parked, if it is known what id it had.

        The first columns are part of it: a table may give an id again, and copies of a file go on
        by themselves. So is the payload where nothing else tells the file.
        """
        dead_letter_id = values[_DEAD_LETTER_ID] if parked else letter_id
        is_known = type(dead_letter_id) is int
        space, number = (b"dead", dead_letter_id) if is_known else (b"parked", letter_id)
        event_id, event_bytes, error_message, failed_at = values[:4]
        parts = [0 if event_id is None else event_id, error_message, failed_at]
        if self._identity is None:
            parts.append(event_bytes)
        return origin_of(self.file, number, parts, space)

    def without_file(self, letter: WholeLetter) -> bytes:
        """The origin that this letter had before its file got an identity."""
        return _NAMELESS.of(letter.id, letter.values, parked=letter.parked)

    def are_of(self, origin: bytes) -> bool:
        """Whether that is the origin of a letter that this file, which has an identity, made."""
        return self._identity is not None and origin.startswith(self.file)


def origin_of(file: bytes, number: int, values: Sequence[Any], space: bytes = b"") -> bytes:
    """Of a letter of this number (int64); values of different types are different."""
    packed = b"".join([part for value in values for part in _packed(value)])
    hashed = blake2b(packed, digest_size=_HASH_BYTES, key=file, person=space).digest()
    return file + (number & _UNSIGNED).to_bytes(_NUMBER_BYTES, "big") + hashed


def _packed(value: Any) -> tuple[bytes, bytes | bytearray]:
    """What tells its type and its length, and its content."""
    # Parking leaves no NULL in the columns that are hashed.
    if value is None:
        return b"t0:", b""
    if isinstance(value, bytearray):
        return b"t%d:" % len(value), value
    if isinstance(value, bytes):
        return b"b%d:" % len(value), value
    return b"i:" if type(value) is int else b"r:", b"%r;" % value


_UNSIGNED: Final = 2**64 - 1
_NAMELESS: Final = Origins(None)
