"""What the benchmarks are about: each is in the group of its subject."""

from __future__ import annotations

from typing import Final

LIMIT: Final = "Drains beside the C loop"
GROWTH: Final = "Growth with the number of letters"
BY_HAND: Final = "Drains beside loops written by hand"
PEERS: Final = "Other queues in SQLite"
PLANS: Final = "Planning and priorities"
KERNELS: Final = "Kernels"
IDLE: Final = "Polls that find little to do"
BESIDE: Final = "Another writer beside a drain"
AT_ONCE: Final = "Handlers that wait, many at once"
MEMORY: Final = "Memory"
LIVE: Final = "The live view"
IMPORT: Final = "Import"

# What a drain is set beside in the figures of LIMIT.
C_LOOPS = C_LOOP, BOUND_C_LOOP = "C loop", "C loop bound as a drain is"

# In the order of the document, with what it says of each.
SUBJECTS: Final = {
    LIMIT: (
        "A ratio of 1 means that a drain takes as long as the C loop, 0.5 twice as long. The loop "
        "commits 50,000 letters at once, with the 2 MB of page cache that SQLite gives it; *bound "
        "as a drain is*, it commits after 0.25 s, too, and has 32 MiB. On a slow machine, where "
        "0.25 s are few letters, the two differ much. "
        "*Ids in order*: they follow the order of failure; *at random*: they don't, so that "
        "letters are read and deleted all over the file."
    ),
    GROWTH: (
        "How much more a letter costs in the larger file than in the smaller one, for the drain, "
        "divided by the same for the C loop. Each time is the best of three."
    ),
    BY_HAND: (
        "What people write with `sqlite3`: SELECT a hundred letters, call the handler, DELETE, "
        "COMMIT. The first loop tests nothing and takes letters by id. The others ask for due "
        "letters in the order of their retry counts, as the Rust crate does; that SELECT is run "
        "anew for each hundred, so that they get worse with the file."
    ),
    PEERS: (
        "Items of 128 bytes, handled once each by a handler that does nothing, until none is "
        "left; each queue as its documentation shows, with its own defaults. litequeue and "
        "pulse-queue have `synchronous=NORMAL`, as the drain has; the others leave it at FULL, "
        "which waits for the disk at each commit. They do another job, too: most of them commit "
        "each item by itself, for many consumers, where a drain commits many letters at once."
    ),
    PLANS: (
        "A plan: every row is read, tested and put in order, payloads left aside. Beside it a "
        "plain Python loop over the same rows."
    ),
    KERNELS: (
        "The compiled functions alone, on what is in memory: nanoseconds a row (or value), the "
        "best of 15 calls. *select* tests rows as `sqlite3` gives them and puts them in order; its "
        "goal is one for the test, but asked of both: shuffled rows take what *argsort* takes "
        "more. *due* and *delays* go over int64 buffers. *Timestamp parse*: what a selection takes "
        "longer for rows that have one more. Plain Python: a loop that does the same, the best of "
        "3."
    ),
    IDLE: (
        "`run()` polls. A poll is set beside a scan: SQLite reads one column of every row, the "
        "best of five."
    ),
    BESIDE: (
        "Another process inserts a letter each 50 ms while a drain runs, with the timeout of 5 s "
        "that `sqlite3` gives by default. It waits for its turn, and so inserts fewer."
    ),
    AT_ONCE: (
        "Handlers outside the transaction (`transactional=False`) that sleep, or do nothing. A "
        "pool by hand is a `ThreadPoolExecutor` whose letters are deleted one by one, each with a "
        "commit, as their calls end. What one at a time takes is measured over a part of the "
        "letters."
    ),
    MEMORY: "The largest resident size of a process that drains a file, less that of Python alone.",
    LIVE: (
        "What `drain` and `run` show on a terminal is drawn by a thread of its own, twice a "
        "second, from what the drain tells anyway: the processor's time that a drawing takes, "
        "divided by the time between two."
    ),
    IMPORT: "In a process that has imported `sqlite3` already; the median of nine processes.",
}
