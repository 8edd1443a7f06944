"""A process that imports or exports: `import DATABASE FILE` or `export DATABASE FILE`."""

from __future__ import annotations

import sys

from azoth_dlq import DeadLetterQueue
from tests.crash.talk import say

if __name__ == "__main__":
    what, path, file = sys.argv[1:]
    with DeadLetterQueue.open(path) as queue:
        say("begins")
        if what == "import":
            queue.import_from(file)
        else:
            queue.export_to(file)
        say("done")
