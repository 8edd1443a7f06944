"""What is promised, the attacks on each promise, and what they found."""

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


_CHANGE_THAT_FAILS = "write, sync, truncation or removal that fails"

PROMISES = (
    Promise(
        "A killed process loses nothing and does nothing twice",
        """
Handlers write their event id into a table of the file that they drain. Processes are killed at
random instants and started again until the file is empty, one and four at a time, in WAL and in a
rollback journal; and, with a small library preloaded, at every single change that they make to a
file: each write (before it, and in the middle of it), sync, truncation, removal and renaming. After
each kill every event id is in that table once, or still in the queue, or parked, never two of
these; `PRAGMA integrity_check` is ok; and at the end everything is done.
        """,
        (
            "SIGKILL at a random instant",
            "SIGKILL at a write, sync, truncation or removal",
            "SIGINT at a random instant",
            "KeyboardInterrupt at a line of a drain",
        ),
        found=(
            Found(
                "A file that a starting drain had begun to migrate, and that failed at that, was "
                "left in an open transaction",
                "tests/crash/test_every_change.py",
            ),
            Found(
                "A second Ctrl-C lost letters from the report, though not from the file",
                "tests/cli/test_signals.py",
            ),
        ),
    ),
    Promise(
        "A disk that fails or is full loses nothing",
        """
The n-th change to a file fails, for every n of a small drain: once with EIO, from then on with EIO,
with ENOSPC, or half written. The caller gets a `StorageError` that says what failed, and its report
has the figures of the file.
        """,
        (
            f"{_CHANGE_THAT_FAILS} (EIO, once)",
            f"{_CHANGE_THAT_FAILS} (EIO from then on)",
            f"{_CHANGE_THAT_FAILS} (ENOSPC)",
            f"{_CHANGE_THAT_FAILS} (short write)",
        ),
        found=(
            Found(
                "A group was in the file though its COMMIT had failed (the error came behind the "
                "commit record), and was missing in the report",
                "tests/crash/test_every_change.py",
            ),
        ),
    ),
    Promise(
        "A loss of power leaves every effect once, or its letter",
        """
All that a drain does to its files is recorded, and at each sync the files are rebuilt as a loss of
power might leave them: of what was not synced yet, any part is missing, or torn at sectors of 512
bytes, and names may be those of before. Each is opened, checked, and drained to the end. In WAL,
TRUNCATE and PERSIST with `synchronous=FULL`, and in DELETE with EXTRA, all that the drain had told
of is there, too.
        """,
        (
            "loss of power at a sync (wal FULL)",
            "loss of power at a sync (wal NORMAL)",
            "loss of power at a sync (delete EXTRA)",
            "loss of power at a sync (delete FULL)",
            "loss of power at a sync (truncate FULL)",
            "loss of power at a sync (persist FULL)",
        ),
    ),
    Promise(
        "A poison letter costs only itself",
        """
Handlers that kill their process (SIGKILL, as the kernel does when memory runs out, `os._exit`, a
segmentation fault, `abort()` in C) or run into a memory limit, as the first letter, amid others,
and as the last, alone and with three other processes that drain the same file. That letter alone is
charged, by the process after; after `max_retries` deaths it is parked, with a reason that says so;
all others are done once. A kill from outside charges nobody between handlers, and at most the
letter in hand within one.
        """,
        ("handler that kills its process", "handler that runs into a memory limit"),
    ),
    Promise(
        "Calls outside a transaction are made at least once",
        """
Handlers that call other systems, killed at random instants, and claims whose processes are killed.
No letter is left out; each death has the letters of one call called again at most; a claim is freed
by the death of its process, and by nothing else.
        """,
        (
            "SIGKILL at a random instant of calls outside a transaction",
            "SIGKILL at a random instant of a process that holds claims",
        ),
        found=(
            Found(
                "Where the file was locked beyond `busy_timeout` when the outcome of a call was to "
                "be written, the call was made again though no process had died",
                "tests/engine/test_outside_lost_groups.py",
            ),
            Found(
                "Mail behind a killed process went out up to five times",
                "tests/crash/test_outside.py",
            ),
        ),
    ),
    Promise(
        "Other programs are neither refused nor kept waiting",
        """
A program with the 5 s timeout that Python sets by default inserts every 50 ms beside a drain, in
both journal modes; the statements of the Rust crate azoth 0.2.5 (`UPDATE … retry_count,
last_retry_at`, `DELETE … WHERE id`) run beside it the whole time; and both beside eight processes
that drain at once. Nobody is refused, everybody makes progress, nothing is done twice.
        """,
        (
            "insertion beside a drain, with a timeout of 5 s",
            "statement of the crate beside a drain",
            "second of eight processes beside two other programs",
        ),
        (
            "longest wait of the writer, s",
            "99th percentile of the waits of the writer, s",
            "longest wait of the crate, s",
            "longest wait of two programs beside eight processes, s",
        ),
        (
            Found(
                "Beside eight drains a writer with a timeout of 5 s was refused: each drain left "
                "the file alone in its turn, and another one took it at once",
                "tests/crash/test_several_drains.py",
            ),
            Found(
                "The write-ahead log grew without bound beside a busy writer",
                "tests/store/test_log.py",
            ),
        ),
    ),
    Promise(
        "Any number of processes and threads may meet on one file",
        """
Eight processes run on one file; some are stopped (SIGSTOP) for longer than any timeout and go on
later; handlers fork; a thread uses the queue that another one drains.
        """,
        ("process that stands still longer than any timeout", "handler that forks"),
        found=(
            Found(
                "What a thread added to a queue that another thread drained was undone together "
                "with the letter in hand, where that failed; it is refused now",
                "tests/store/test_given_connections.py",
            ),
        ),
    ),
)
