"""A made outage, to see a drain at work: 20,000 letters of a bank, and their handlers.

Three causes: a database that timed out and one that deadlocked are back, a partner bank is still
down. One letter is poison (its handler always raises), one row cannot be read.
"""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from azoth_dlq.errors import StorageError
from azoth_dlq.queue import DeadLetterQueue
from azoth_dlq.registry import EventHandlerRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUTS: Final = 12_000
DEADLOCKS: Final = 5_998
PARTNER_DOWN: Final = 2_000
TIMEOUT: Final = "TimeoutError: the ledger did not answer within 5 s"
DEADLOCK: Final = "DeadlockDetected: the ledger chose this transaction as the victim"
UNREACHABLE: Final = "ConnectionError: the partner bank cannot be reached"
POISON: Final = "ValueError: the amount is no whole number of cents"
UNREADABLE: Final = "OSError: the importer lost its clock"

_ACCOUNTS: Final = 100
_SEED: Final = 20_000
_OUTAGE: Final = timedelta(hours=2)
_MAKE_ACCOUNTS: Final = """CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    balance INTEGER NOT NULL DEFAULT 0,
    movements INTEGER NOT NULL DEFAULT 0
)"""
_ADD_ACCOUNT: Final = "INSERT INTO accounts (id) VALUES (?)"
_ADD_LETTER: Final = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at, retry_count) "
    "VALUES (?, ?, ?, ?, ?)"
)
_MOVE: Final = "UPDATE accounts SET balance = balance + ?, movements = movements + 1 WHERE id = ?"
_COUNT_MOVEMENTS: Final = "SELECT sum(movements) FROM accounts"

registry = EventHandlerRegistry()


@registry.handler("deposit")
def deposit(conn: sqlite3.Connection, _event_id: int, payload: bytes) -> None:
    """Add `account,cents` to an account."""
    account, cents = payload.split(b",", 1)
    conn.execute(_MOVE, (_whole(cents), int(account)))


@registry.handler("withdraw")
def withdraw(conn: sqlite3.Connection, _event_id: int, payload: bytes) -> None:
    """Take `account,cents` from an account."""
    account, cents = payload.split(b",", 1)
    conn.execute(_MOVE, (-_whole(cents), int(account)))


def _whole(cents: bytes) -> int:
    try:
        return int(cents)
    except ValueError:
        # Not with the payload in it: an error is stored, logged and shown.
        raise ValueError("the amount is no whole number of cents") from None


@registry.handler("transfer")
def transfer(_conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
    """Send money to the partner bank, which is still down."""
    raise ConnectionError("the partner bank cannot be reached")


def make_outage(path: Path) -> None:
    """Make a database with an `accounts` table and the outage's letters; the same ones each time,
    failed during the two hours before the last one.

    Errors: StorageError, also where there is a file already.
    """
    if path.exists() or path.is_symlink():
        raise StorageError(f"{path} exists already; remove it, or choose another name (--output)")
    with DeadLetterQueue.open(path) as dlq:
        try:
            _fill(dlq.connection)
        except sqlite3.Error as error:
            raise StorageError(f"{path} cannot be written: {error}") from error


def count_effects(connection: sqlite3.Connection) -> int:
    """How many letters' effects are in the accounts."""
    return int(connection.execute(_COUNT_MOVEMENTS).fetchone()[0])


def _fill(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute(_MAKE_ACCOUNTS)
    connection.executemany(_ADD_ACCOUNT, ((account,) for account in range(_ACCOUNTS)))
    connection.executemany(_ADD_LETTER, _letters())
    connection.execute("COMMIT")


def _letters() -> Iterator[tuple[int, bytes, str, str, int]]:
    chance = random.Random(_SEED)  # noqa: S311 -- no secret: the same outage each time
    causes = [TIMEOUT] * TIMEOUTS + [DEADLOCK] * DEADLOCKS + [UNREACHABLE] * PARTNER_DOWN
    causes += [POISON, UNREADABLE]
    chance.shuffle(causes)
    began = datetime.now(UTC) - timedelta(hours=1) - _OUTAGE
    step = _OUTAGE / len(causes)
    for number, cause in enumerate(causes):
        failed_at = f"{began + number * step:%Y-%m-%d %H:%M:%S}"
        money = f"{chance.randrange(_ACCOUNTS)},{chance.randrange(1, 100_000)}"
        kind = chance.choice(("deposit", "withdraw"))
        yield _letter(number + 1, cause, f"{kind}:{money}", failed_at)


def _letter(
    event_id: int, cause: str, event: str, failed_at: str
) -> tuple[int, bytes, str, str, int]:
    retry_count = 0
    if cause == UNREACHABLE:
        event = f"transfer:{event.partition(':')[2]}"
    elif cause == POISON:
        event, retry_count = "deposit:7,12,50 EUR", 4
    elif cause == UNREADABLE:
        failed_at = "yesterday, about noon"
    return event_id, event.encode(), cause, failed_at, retry_count
