"""Another program that adds letters every 50 ms, with the timeout that Python gives by default.

`python -m tests.crash.writer FILE` writes until there is a file `enough` beside FILE. It says
`writing`, and at last in JSON how long it waited each time, in seconds, and the ids of its letters.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.crash.talk import say

INSERT = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) "
    "VALUES ((SELECT max(seq) + 1 FROM sqlite_sequence WHERE name = 'dead_letter_queue'), "
    "CAST('ok:' AS BLOB), 'boom')"
)


def main() -> None:
    path = Path(sys.argv[1])
    waits, ids = [], []
    with closing(sqlite3.connect(path)) as connection:
        say("writing")
        while not (path.parent / "enough").exists():
            began = time.monotonic()
            with connection:
                ids.append(connection.execute(INSERT).lastrowid)
            waits.append(time.monotonic() - began)
            time.sleep(0.05)
    say(json.dumps({"waits": waits, "ids": ids}))


if __name__ == "__main__":
    main()
