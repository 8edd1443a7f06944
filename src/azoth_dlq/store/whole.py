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

ORIGIN_BYTES: Final = 24
_FILE_BYTES: Final = 8  # the first ones of an origin tell the file
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
    history: Sequence[tuple[Any, ...]] = ()


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
        space, number = (b"d", dead_letter_id) if is_known else (b"p", letter_id)
        event_id, event_bytes, error_message, failed_at = values[:4]
        parts = [number, 0 if event_id is None else event_id, error_message, failed_at]
        if self._identity is None:
            parts.append(event_bytes)
        return self.file + letter_hash(self._identity or b"", space, parts)

    def without_file(self, letter: WholeLetter) -> bytes:
        """The origin that this letter had before its file got an identity."""
        return _NAMELESS.of(letter.id, letter.values, parked=letter.parked)

    def are_of(self, origin: bytes) -> bool:
        """Whether that is the origin of a letter that this file, which has an identity, made."""
        return self._identity is not None and origin.startswith(self.file)


def letter_hash(key: bytes, space: bytes, values: Sequence[Any]) -> bytes:
    """The last bytes of an origin; values of different types are different."""
    digest = blake2b(key=key, person=space, digest_size=ORIGIN_BYTES - _FILE_BYTES)
    for value in values:
        kind, content = _packed(value)
        digest.update(b"%c%d:" % (kind, len(content)))
        digest.update(content)
    return digest.digest()


def _packed(value: Any) -> tuple[bytes, bytes | bytearray]:
    # Parking leaves no NULL in the columns that are hashed.
    if value is None:
        return b"t", b""
    if isinstance(value, bytearray):
        return b"t", value
    if isinstance(value, bytes):
        return b"b", value
    return (b"i", b"%d" % value) if type(value) is int else (b"r", repr(value).encode())


_NAMELESS: Final = Origins(None)
