"""Another program of the file: `python -m benchmarks.writer FILE` inserts a letter that is not due
each 50 ms, with the timeout that Python gives by default, until there is a file FILE.enough. Prints
the longest wait in seconds, how many inserts there were, and how many of them were refused."""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

INSERT = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
    "VALUES (0, CAST('deposit:' AS BLOB), 'timeout', '2999-01-01 00:00:00')"
)


def main() -> None:
    path = Path(sys.argv[1])
    enough = path.with_name(f"{path.name}.enough")
    longest, inserts, refused = 0.0, 0, 0
    with closing(sqlite3.connect(path)) as connection:
        while not enough.exists():
            start = time.monotonic()
            try:
                with connection:
                    connection.execute(INSERT)
            except sqlite3.OperationalError:
                refused += 1
            inserts += 1
            longest = max(longest, time.monotonic() - start)
            time.sleep(0.05)
    print(longest, inserts, refused)  # noqa: T201 -- read by the benchmark


if __name__ == "__main__":
    main()
