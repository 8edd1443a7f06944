"""What the document says whatever the runs were: paragraphs, or points of a list, between blank
lines."""

INTRODUCTION = """
What azoth-dlq promises when processes die, disks fail and others write: how each promise was
attacked, how often, and what was found. No mocks: real processes, real files, real signals. Made by
`python -m tests.reliability` from the runs below; it is not edited by hand.
"""

NONE_FAILED = "No attack failed when it was last made."

MENDED = "Failed in an earlier run of those below, and passed in the last after a mend:"

LIMITATIONS = """
In WAL mode with `synchronous=NORMAL` a loss of power may take back the last commits, each as a
whole: their letters are there again, and their effects are not. `PRAGMA synchronous=FULL` (what
SQLite sets where nobody sets anything) on the connection that drains prevents it.

In `journal_mode=DELETE` a loss of power may take back the last commit with `synchronous=FULL`, too,
because the removal of the journal need not be on the disk; `EXTRA` prevents that, and so do the
journal modes TRUNCATE and PERSIST.

`journal_mode=OFF` and `MEMORY` survive no crash: a drain of such a file is refused with an error
that says so.

A handler registered with `transactional=False` calls other systems, where nobody can take anything
back: it is called at least once, and again after a death, with the same event id.

A death in a handler that takes batches charges nobody, because nobody can tell whose doing it was;
the letters of the batch go one by one from then on.

Letters whose handler writes to ATTACHed files in WAL mode: SQLite itself does not commit several of
them together.

The lock of a process that stands still (SIGSTOP, a frozen container) is its own for as long as it
lives: other drains wait for `busy_timeout`, and then say that the file is locked.

The attacks that need a preloaded library run on Linux, those that need signals or `fork` on systems
that have them. On network file systems, where SQLite's locks do not hold, nothing is promised.
"""

REPEAT = """
The first command makes the attacks as short as they are in the suite, the second as long as above
(some hours on two processors). Both say at the end how often they struck.
"""

REPEAT_COMMANDS = (
    "pytest -m attack",
    "pytest -m attack --long --attacks-json attacks.json",
    "python -m tests.reliability attacks.json",
)
