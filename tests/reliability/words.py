"""What the document says whatever the runs were: paragraphs, or points of a list, between blank
lines."""

INTRODUCTION = """
What azoth-dlq promises when processes die, disks fail and others write: how each promise was
attacked, how often, and what was found. Processes, files, locks and signals are real. A failing
disk and a clock that jumps are made by a small preloaded library, a loss of power by rebuilding the
files from a record of what was written to them; the Rust crate azoth is a program that runs its
SQL. The figures are of the runs below: `python -m tests.reliability` makes this page from them.
What [does not hold everywhere](#what-does-not-hold-everywhere) stands behind the promises. The
words are those of the [README](../README.md): a letter is an event that failed, it is charged with
an attempt that it spends, and parked (a permanent failure) when none is left.
"""

NONE_FAILED = "No attack failed, or where one did in an earlier run, it passed in a later one."

MENDED = "Failed in one of the runs below, and passed in a later one:"

LIMITATIONS = """
In WAL mode with `synchronous=NORMAL` a loss of power may take back the last commits, each as a
whole: their letters are there again, and their effects are not. `PRAGMA synchronous=FULL` (what
SQLite sets where nobody sets anything) on the connection that drains prevents it.

In `journal_mode=DELETE` a loss of power may take back the last commit with `synchronous=FULL`, too,
because the removal of the journal need not be on the disk; `EXTRA` prevents that, and so do the
journal modes TRUNCATE and PERSIST.

`journal_mode=OFF` and `MEMORY` survive no crash: a drain of such a file is refused with an error
that says so.

What a handler writes to the queue's file is done once; what else it does, nobody can take back. A
crash undoes the group that is open, about a quarter of a second of calls, and they are made again.
A handler registered with `transactional=False` is alone in that: it is called at least once, and
again after a death in the call, or where the file stays locked for ten times `busy_timeout` behind
it, with the same event id.

A kill from outside (`kill -9`, the OOM killer) while a handler runs looks like that handler's
doing: its letter is charged, one a kill, and parked when its attempts are spent. `requeue` moves it
back.

The letter in hand stands in the file `<database>-azoth`. Where that is removed after a crash,
nobody is charged, and a deadly letter that meets this each time blocks those behind it.

A death in a handler that takes batches charges nobody, because nobody can tell whose doing it was;
the letters of the batch go one by one from then on.

What a handler writes to ATTACHed files in WAL mode is not committed together with its letter:
SQLite does not promise that.

A letter of which the database refuses every change (a trigger, a constraint) stays as it was,
uncharged: the drain goes on with the others, and ends with an error that names it. The next drain
calls it again, and dies again where its handler kills the process. Where the handler runs outside a
transaction, a `run` ends with that error once the others are done, so that it does not make the
call for ever.

A connection that several threads use at once while it is drained: they may wait for each other for
ever within Python's `sqlite3`, which calls back with locks held. The verbs of a queue are refused
there; SQL on its connection cannot be.

The lock of a process that stands still (SIGSTOP, a frozen container) is its own for as long as it
lives: other drains wait for `busy_timeout` (30 s, if nothing else is set), and then say that the
file is locked.

The attacks that need a preloaded library run on Linux, those that need signals or `fork` on systems
that have them; the systems and versions of these runs stand below. On network file systems, where
SQLite's locks do not hold, nothing is promised.
"""

REPEAT = """
In a clone, with `pip install '.[test]'`. The first command makes the attacks as short as they are
in the suite, in minutes, the second long, in an hour or two on two processors; against the package
that is installed. Either says at the end how often it struck. Some need Linux, some root, a C
compiler and CMake, those on the kernels Clang with libFuzzer: what is skipped is named. The page is
made of one run or of several (`--attacks-json` kept what each of those below did); of a test that
is in several, the latest counts. `--into` writes another file than this.
"""

REPEAT_COMMANDS = (
    "pytest -m attack",
    "pytest -m attack --long -n auto --dist worksteal --attacks-json attacks.json",
    "python -m tests.reliability attacks.json",
)
