"""What the document says whatever the figures are: paragraphs, or points of a list, between blank
lines."""

INTRODUCTION = """
Made by `python -m benchmarks.document` from one run of the benchmarks, good figures and bad ones
alike; it is not edited by hand.
"""

HOW = """
A drain attempts all letters of a file that are due. It plans (which are due, and in which order),
reads each payload, calls the handler with the letter isolated from the others, deletes it, and
commits group by group. The C loop (`benchmarks/limit/limit.c`) plans, reads, calls, deletes and
commits over the same SQLite library (checked by its source id), without Python: about what SQLite
itself needs. It is taken as the limit.

All is measured in one run. In a race the contenders take turns, each on a fresh copy of the same
file, {rounds} times unless it is said otherwise. A ratio is taken round by round, so that both
sides of it met the machine in nearly the same state. A figure is the median of its rounds, in
brackets the lowest and the highest; where there are no brackets, there is no such spread to show
(one round, or the best of several).

A file has {letters:,} letters of 128 bytes, unless it is said otherwise, with 20 kinds of error and
retry counts from 0 to 4, all due. It is in WAL mode; the connections have `synchronous=NORMAL`;
every setting that is not named is the default. To copy a file, to open it and to start a process is
not in the time; to plan and to empty the log (the checkpoint at the end of a drain) is.

*Should be* is a goal that was set beforehand. **SHORT** marks a figure that misses it. No goal
makes a run fail: with `--quick`, the run of the gate, looser floors do.
"""

PHASES = """
The time by phase, the medians of each (their sum is not quite the median of the whole). *open*: a
group is begun; *fetch*: payloads are read; *handlers*: they are called, each letter isolated from
the others; *write*: outcomes are written; *checkpoint*: the log is copied into the database;
*yield*: the file is left to other writers. The C loop reads within its calls, SQLite makes its
checkpoints within its commits, and it yields to nobody.
"""

LIMITATIONS = """
Machines are shared and noisy, and a µs is one of this machine. What counts are the ratios, made
within one run; figures of two runs are not to be set beside each other. The brackets are the
extremes of a few rounds, not an interval of confidence.

The C loop does less than a drain. Its plan is not exact: whole seconds by `datetime()`, 5 seconds
for all instead of each letter's backoff, no jitter, no letters put off, no claims, no unreadable
rows. It notes no letter in hand, so that a crash would charge nobody; it isolates none, unless the
handler writes; it compares no letter with its plan, counts nothing, and leaves the file to nobody,
while a drain rests 0.11 s after each second of held lock.

In other things it does more: `datetime()` costs more than our parser of timestamps, and its commits
empty the log once it has 1000 pages, as SQLite does by default, where a drain does so at 256 MB and
at its end, and keeps 32 MiB of the file where SQLite keeps 2 MB. A ratio above 1 is therefore
possible, and no wonder.

The groups of a drain are bounded by time (`max_transaction_time`, 0.25 s), so that other writers
wait for a bounded time; those of the C loop are of 50,000 letters, whatever they take, unless it is
bound as a drain is. A slower machine makes smaller groups, each of which writes the same pages
again, and a worse ratio.

The page cache is warm: each copy was written just before it is read. From a cold disk all would be
slower; how much is not measured.

With `synchronous=NORMAL` in WAL mode only checkpoints wait for the disk, and a loss of power may
take back the last commits. With FULL each commit waits, too: a drain makes a few a second, a loop
that commits each letter pays for each. FULL is not measured, nor is the rollback journal.

One process drains, in one thread but where handlers wait, and nobody else uses the file, except
where another writer is the subject. SQLite lets one write at a time: several drains of a file take
turns.

Handlers here do nothing, one UPDATE, or fail. Work of their own comes on top, and may well cost
more than the whole drain. Of handlers that call other systems (`transactional=False`) what a drain
adds is measured, and how many wait at once: the network decides the rest.

Letters have 128 bytes; longer ones cost their bytes. Of 5 MB only the memory is measured. No file
mixes letters that succeed with some that fail.

One version of Python and of SQLite, as told above; other ones give other ratios. The drain runs
within pytest, its garbage collector on.
"""

REPEAT = """
It takes minutes, more of them on a slow machine, which should have nothing else to do. `--large`
adds files of one to ten million letters, and needs some GB of disk; `--quick` takes small files,
and is no measurement.
"""

REPEAT_COMMANDS = (
    "pip install '.[test,bench]'",
    "{command} --benchmark-json results.json",
    "python -m benchmarks.document results.json",
)

QUICK = """
**This run was made with `--quick`**: small files and few rounds. It shows that all works, and
measures little.
"""

FAILED = "**Benchmarks that failed: {count}**; they are named below."

BUSY = "**The machine had other work**: a load of {load} on {cpus} cores as the run began."
