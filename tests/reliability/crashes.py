"""What is promised where processes, disks or the power end, the attacks, and what they found."""

from __future__ import annotations

from tests.reliability.promise import Found, Promise

_CHANGE_THAT_FAILS = "write, sync, truncation or removal that fails"

CRASHES = (
    Promise(
        "A killed process loses nothing and does nothing twice",
        """
Handlers write their event id into a table of the file that they drain. Processes are killed at
random instants and started again until the file is empty, one and four at a time, in WAL and in a
rollback journal; and, with a small library preloaded, at every single change that they make to a
file: each write (before it, and in the middle of it), sync, truncation and removal. After each kill
every event id is in that table once, or still in the queue, or parked, never two of these; `PRAGMA
integrity_check` is ok; and at the end everything is done. So it is where processes are interrupted
(SIGINT, and a KeyboardInterrupt at every line of a drain, raised by a trace function); then nobody
is charged.
        """,
        (
            "SIGKILL at a random instant",
            "SIGKILL at a write, sync, truncation or removal",
            "SIGINT at a random instant",
            "KeyboardInterrupt at a line of a drain",
        ),
        found=(
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
segmentation fault, `abort()` in C), as the first letter, amid others, and as the last, alone and
with three other processes that drain the same file. That letter alone is charged, by the process
after; it is parked when its attempts are spent, with a reason that says so; all others are done
once. A handler that runs into a memory limit fails as any other does. (A kill from outside between
two handlers charges nobody, and one in a handler its letter, once:
`tests/crash/test_deaths_between_handlers.py`.)
        """,
        ("handler that kills its process", "handler that runs into a memory limit"),
    ),
    Promise(
        "Calls outside a transaction are made at least once",
        """
Handlers that call other systems, one at a time and sixteen at once, in threads and on an event
loop, killed and ended at random instants, and claims whose processes are killed. An HTTP server
that fails, hangs and resets connections sees each request. No letter is left out, and none is
called twice at the same time; each death has the letters whose calls had begun called again, and
charges them once each, and no other; a claim is freed by the death of its process, and by nothing
else.
        """,
        (
            "SIGKILL at a random instant of calls outside a transaction",
            "SIGKILL at a random instant of a process that holds claims",
            "SIGKILL at a random instant of 16 calls at once",
            "SIGTERM at a random instant of 16 calls at once",
        ),
        found=(
            Found(
                "Where the file was locked beyond `busy_timeout` when the outcome of a call was to "
                "be written, the call was made again though no process had died",
                "tests/engine/test_outside_lost_groups.py",
            ),
            Found(
                "A call outside a transaction that came before a handler that kills its process "
                "was made up to five times",
                "tests/crash/test_outside.py",
            ),
            Found(
                "An interrupt before the outcome of a call was written had the call made again",
                "tests/crash/test_interrupted_anywhere.py",
            ),
            Found(
                "A kill while the outcome of a call was recorded charged two letters",
                "tests/crash/test_deaths_between_handlers.py",
            ),
        ),
    ),
)
