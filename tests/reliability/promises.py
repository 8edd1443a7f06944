"""What is promised, the attacks on each promise, and what they found."""

from __future__ import annotations

from tests.reliability.crashes import CRASHES
from tests.reliability.promise import Found, Promise

PROMISES = (
    *CRASHES,
    Promise(
        "Other programs are never refused",
        """
A program with the 5 s timeout that Python sets by default inserts every 50 ms beside a drain, in
both journal modes; the statements of the Rust crate azoth 0.2.5 (`UPDATE … retry_count,
last_retry_at`, `DELETE … WHERE id`) run beside it the whole time; and both beside eight processes
that drain at once. Nobody is refused, everybody makes progress, nothing is done twice. They wait
for the groups before them, a second or two where the machine is busy, or as long as one call of a
handler takes.
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
        "Any number of processes may meet on one file",
        """
Eight processes run on one file; some are stopped (SIGSTOP) for three times their `busy_timeout`
and go on later; handlers fork. (A thread that uses the queue which another one drains is refused:
`tests/store/test_given_connections.py`.)
        """,
        ("process that stands still for three times its timeout", "handler that forks"),
        found=(
            Found(
                "A process that stood still before the outcome of a call was written gave it up, "
                "as if it had waited all the while, and the call was made again",
                "tests/crash/test_outside.py",
            ),
            Found(
                "What a thread added to a queue that another thread drained was undone together "
                "with the letter in hand, where that failed; it is refused now",
                "tests/store/test_given_connections.py",
            ),
        ),
    ),
    Promise(
        "A rogue handler fails alone",
        """
All the ways we know to misuse the connection, the errors or the process, each as the first, the
middle and the last letter, in both journal modes and on both kinds of connection (in the short form
in two of these twelve situations): ending the transaction by any verb, leaving statements, blobs or
cursors open, ATTACH, dropping or altering the tables, changing other letters, settings of the
connection, errors whose class, text or frames run code, `BaseException`, deep recursion, threads
that go on. The letter fails, or it does no harm, or the drain ends with that error; letters that a
handler changes itself are skipped, parked or gone, as the report says; all others are done once,
every figure is that of the file, and the next drain goes on.
        """,
        ("rogue handler",),
        found=(
            Found(
                "A handler could drop or alter the queue's tables, give letters other ids, and "
                "lower limits of the connection, which ended every later drain",
                "tests/crash/test_rogue_handlers.py",
            ),
            Found(
                "The text of an error, and objects that go with its frames, ran after the letter "
                "had been taken back: what they wrote stayed, and a commit of theirs charged the "
                "next letter; outside a transaction, a rollback of theirs kept the drain from "
                "ending",
                "tests/crash/test_rogue_handlers.py",
            ),
            Found(
                "Limits that a handler set on a connection of the program's own outlived the drain",
                "tests/store/test_drain_session.py",
            ),
            Found(
                "A blob left open kept the drain waiting for itself, and ended it as locked",
                "tests/crash/test_rogue_handlers.py",
            ),
            Found(
                "An error whose class raises ended the drain; so did an authorizer of the "
                "handler's, and (on Python 3.12 and newer) `autocommit=False`",
                "tests/crash/test_rogue_handlers.py",
            ),
        ),
    ),
    Promise(
        "An odd or damaged file is reported, and keeps no good letter from being done",
        """
Through the commands that drain, look, requeue and discard, run in forked children: every column of
every table with values of all types, extreme integers, invalid UTF-8, payloads of 10 MB, ids near
2^63; tables of other makings, views in their place, triggers that refuse; truncated, zeroed and
scattered damage; pipes, folders, devices and links in the place of files; paths with quotes,
spaces, line breaks and bytes that are no UTF-8. Never a traceback, a hang or a wrong result; what
can be done is done once, what cannot be read is parked or reported. (Full disks:
`tests/crash/test_full_disk.py`; an exhausted AUTOINCREMENT: `tests/store/test_free_ids.py`.)
        """,
        ("naughty file",),
        found=(
            Found(
                "A journal that is a pipe kept every command waiting for ever",
                "tests/store/test_planted.py",
            ),
            Found(
                "After a crash in a rollback journal, a file could not be looked at before the "
                "next drain",
                "tests/crash/test_naughty_files.py",
            ),
            Found(
                "A row that could not be parked kept all others from being attempted",
                "tests/crash/test_naughty_files.py",
            ),
            Found(
                "An error of SQLite's that quotes bytes of a damaged file was reported as a defect "
                "of this package",
                "tests/crash/test_naughty_files.py",
            ),
            Found(
                "State that a drain keeps and that is no UTF-8 ended each drain, and a permanent "
                "failure whose former id is no number each requeue",
                "tests/crash/test_naughty_files.py",
            ),
        ),
    ),
    Promise(
        "What the database refuses of one letter costs no other",
        """
Triggers refuse random changes of random letters (to be counted, put off, parked or removed), in all
ways that SQLite has, while handlers within transactions and outside, singly and in batches, return,
fail, ask for other outcomes, remove letters, interrupt or stop the drain, and some letters are of
no known type, or cannot be read. No letter is kept from being done by what is refused of another;
nothing is lost or done twice; and the figures of every report, on the way and at the end, add up to
the letters that were planned.
        """,
        ("drain of a file whose triggers refuse random changes",),
        found=(
            Found(
                "A letter whose failure could not be written kept those behind it from being "
                "attempted, in each drain; so did one that could not be charged with a death, and "
                "one whose outcome outside was refused in every form",
                "tests/engine/test_refused_changes.py",
            ),
            Found(
                "One unfit letter that could not be parked kept others from it; one whose event "
                "could not be read either kept all behind it from being done",
                "tests/engine/test_refused_changes.py",
            ),
            Found(
                "A death in a batch of which nothing could be noted kept the file from being "
                "drained, and of several deaths one that could not be charged kept the others "
                "from it",
                "tests/crash/test_outside.py",
            ),
            Found(
                "A failed batch outside a transaction was taken for done where not even its claims "
                "could be ended",
                "tests/engine/test_outside_batches.py",
            ),
            Found(
                "Reports left letters out whose call was under way, and counted letters twice that "
                "had died elsewhere, also where they had taken their group away or were exhausted",
                "tests/engine/test_figures_at_the_end.py",
            ),
        ),
    ),
    Promise(
        "Clocks may jump, or stand still",
        """
The wall clock of real processes is moved (a preloaded library answers whoever asks for the time) by
an hour, a day and fifty years, back and forth, also before 1970, while they drain and while they
rest; and it stands still. Groups, pauses and rests are as long as ever, nothing is lost or done
twice, letters whose time lies ahead wait for it, and every figure of the commands is sane.
        """,
        ("jump of the clock",),
        found=(
            Found(
                "After a jump the progress bar told that 33,812 days were left",
                "tests/crash/test_clock.py",
            ),
            Found(
                "A clock that went back amid the trials of `tune` had it measure drains that "
                "attempted nothing",
                "tests/crash/test_clock.py",
            ),
            Found(
                "Where Python waits for locks by the wall clock (macOS, musl), a clock that was "
                "set back prolonged a rest",
                "tests/engine/test_stop.py",
            ),
        ),
    ),
    Promise(
        "Whatever happens, in whatever order",
        """
Random histories of a file against a model that keeps nothing in a file: letters are added, retried
and deleted by this package and by plain SQL, drained here, in another process, and in both at once,
by handlers in all moods; processes die in handlers and at any change to a file; the clock jumps.
After each step every letter is where the model has it, and every figure is the model's.
        """,
        ("step of a random history",),
    ),
    Promise(
        "No error of memory, and nothing kept",
        """
Each C kernel under libFuzzer, with AddressSanitizer and UBSan, beside a slow computation that is
plainly right; errors on every path of the compiled modules, with the references to what they were
given counted; long drains whose memory must not grow; eight threads that open queues, and drain a
file each. The commands of three more, which count no blows: the suite with both sanitizers in all
that is compiled (`nox -s sanitizers`), the C tests and the corpora under valgrind (`nox -s
valgrind`), each test of kernels and values in eight threads at once (`nox -s threads`).
        """,
        (
            *(
                f"input that libFuzzer made for {kernel}"
                for kernel in ("backoff", "eligibility", "match", "order", "timestamp", "utf8")
            ),
            "call of a compiled module that ends in an error",
            "call of the loop over letters that ends in an error",
            "letter drained under a leak check",
            "letter drained beside seven other threads",
            "queue opened beside seven other threads",
        ),
        ("growth of resident memory under a leak check, MB",),
        (
            Found(
                "Threads that opened queues at once could meet an error of Python's own, of a "
                "dictionary that changes",
                "tests/engine/test_threads.py",
            ),
        ),
    ),
    Promise(
        "What comes from a file or an argument is data",
        """
Hostile values in every place that takes one, and hostile names of tables, columns, indexes and
triggers: no statement ever has them in its text. Texts that would paint a terminal or forge a line
of a log, in every column, error, event type and file name, through every command on a
pseudo-terminal. Links, pipes, folders and files of strangers planted where files beside the
database go, and modules with the names of Python's own. [SECURITY.md](../SECURITY.md) says what is
held to.
        """,
        (
            "hostile value in a place that takes one",
            "hostile name of a table, column, index or trigger",
            "text with control characters shown on a terminal",
            "planted file beside the database",
            "planted module with the name of one of Python's",
            "letter with a huge payload looked at",
            "letter with a huge text looked at",
        ),
        found=(
            Found(
                "Marks that are not seen (directions of writing, tags, joiners) and lone "
                "surrogates went to the terminal and the log as they were, in some lines",
                "tests/cli/test_terminal.py",
            ),
            Found(
                "A module in the current directory with the name of one of Python's was imported "
                "in its place",
                "tests/cli/test_handlers.py",
            ),
            Found(
                "The file in which a drain writes the letter in hand kept its mode and owner where "
                "it existed already",
                "tests/store/test_marker.py",
            ),
        ),
    ),
)
