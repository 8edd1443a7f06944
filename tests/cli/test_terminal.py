"""What letters, files and arguments hold never paints the terminal of who looks at them."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
import unicodedata
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest

from tests.attacks import Attack
from tests.cli.conftest import Workplace
from tests.cli.test_progress import read_all
from tests.store.drainers import NAME, lock

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")

# Controls of both sets, what directs or hides, what ends a line; screens, titles and colours.
UNSEEN = "".join(
    chr(code)
    for code in range(1, sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp"}
)
PAINT = (
    "\x1b[2J\x1b]0;owned\x07\x9b31m\b\b\r\x7f\u202e\u2066\u200b\ufeff\u2028\u2029\x85\xad\U000e0041"
)
FORGED = f"bo{PAINT}om\nazoth-dlq: forged line\n{UNSEEN}"
PLANTED = "fo" + PAINT  # a name of a file
NOT_UTF8 = FORGED.encode() + b"\xed\xa0\x80\xff\x00\x9b"
# What click itself writes for a bar: it hides and shows the cursor, and begins lines anew.
BAR = re.compile(r"\x1b\[\?25[lh]|\x1b\[K|\r(?!\n)")

HANDLERS = f"""
from azoth_dlq import NonRetryable, Snooze
PAINT = {FORGED!r}
Painting = type("Pa" + PAINT, (Exception,), {{"__module__": PAINT}})

def raising(name, error):
    def handle(conn, event_id, payload):
        raise error
    handle.__qualname__ = name + PAINT
    handle.__code__ = handle.__code__.replace(co_name=PAINT, co_filename=PAINT, co_qualname=PAINT)
    registry.register(name, handle)

raising("raises", Painting(PAINT))
raising("snoozes", Snooze(0, PAINT))
raising("never", NonRetryable(PAINT))
raising("ends", SystemExit(PAINT))
raising(PAINT.replace(":", ""), Painting(PAINT))
"""


def shown(workplace: Workplace, *arguments: str) -> str:
    """All that a command writes on a terminal that is its stdout and its stderr."""
    terminal, side = pty.openpty()
    workplace.environment["TERM"] = "xterm"
    with workplace.start(*arguments, stdout=side, stderr=side) as process:
        os.close(side)
        deadline = Timer(60, process.kill)
        deadline.start()
        text = read_all(terminal)
        deadline.cancel()
    return text.replace("\r\n", "\n")


def check_plain(text: str) -> None:
    """Only characters that can be seen, spaces, and our own ends of lines."""
    seen = (c for c in set(text) - {"\n"} if unicodedata.category(c) != "Zs")
    painted = sorted(ascii(c) for c in seen if not c.isprintable())
    assert not painted, (painted, ascii(text[:2000]))
    assert "\nazoth-dlq: forged line" not in text
    assert text


@pytest.fixture
def painted(workplace: Workplace) -> Workplace:
    """A database whose texts all paint, whose name does, and whose handlers do."""
    folder = workplace.folder / PLANTED
    folder.mkdir()
    workplace.folder = folder
    workplace.database = folder / "projection.db"
    (folder / "handlers.py").write_text((folder.parent / "handlers.py").read_text())
    workplace.add_handler(HANDLERS)
    workplace.make("raises", "snoozes", "never", error_message=FORGED)
    workplace.make(f"{FORGED.replace(':', '')}:x", error_message=FORGED)
    for column in ("event_id", "failed_at", "retry_count", "last_retry_at"):
        workplace.add(**{column: FORGED})
        workplace.execute(
            f"UPDATE dead_letter_queue SET {column} = CAST(? AS TEXT), error_message = "  # noqa: S608 -- a name of ours
            "CAST(? AS TEXT) WHERE id = last_insert_rowid() OR id = (SELECT max(id) FROM "
            "dead_letter_queue)",
            NOT_UTF8,
            NOT_UTF8,
        )
    return workplace


def test_no_letter_paints_the_terminal(painted: Workplace, attack: Attack) -> None:
    letters = painted.count("dead_letter_queue")
    looks = [("list",), ("status",), ("groups",)]
    shows = [("show", str(n + 1), "--payload") for n in range(letters)]
    drains = [("drain", "--handlers", "handlers:registry", "--now", *v) for v in ((), ("-v",))]
    commands = [*looks, *drains, *looks, *shows]
    for command, *arguments in commands:
        text = shown(painted, command, "projection.db", *arguments)
        check_plain(BAR.sub("", text) if arguments[-1:] == ["--now"] else text)
    parked = painted.count("permanent_failures")
    assert parked >= 5
    for number in range(parked):
        check_plain(shown(painted, "show", "projection.db", str(number + 1), "--parked"))
    for command in ("list", "discard"):
        check_plain(shown(painted, command, "projection.db", "--parked", "--error", FORGED[:9]))
    attack.struck("text with control characters shown on a terminal", len(commands) + parked + 2)


def test_no_error_paints_the_terminal(painted: Workplace, attack: Attack) -> None:
    """Names of files, options, settings, tables and modules."""
    argument = FORGED.replace("\0", "")
    database = str(painted.database)
    (painted.folder / "settings.toml").write_text(f"{json.dumps(FORGED)} = 1\n", "utf-8")
    (painted.folder / "broken.py").write_text(f"raise ValueError({FORGED!r})\n")
    (painted.folder / "empty").write_bytes(b"")
    (painted.folder / "text").write_bytes(b"x" * 4096)
    handlers = ("--handlers", "handlers:registry")
    commands = [
        (argument,),
        (f"--{argument}",),
        ("list", argument),
        ("list", f"{PLANTED}/{argument}"),
        ("list", database, "--type", argument),
        ("list", database, "--error", ""),
        *(("list", database, option, argument) for option in ("--limit", "--older-than")),
        ("list", database, "--min-retry-count", argument),
        ("list", str(painted.folder / "empty")),
        ("status", str(painted.folder / "text")),
        ("status", str(painted.folder)),
        ("status", database, "--config", str(painted.folder / "settings.toml")),
        ("status", database, "--config", str(painted.folder / "none.toml")),
        ("status", database, "--config", str(painted.folder)),
        *(("status", database, option, argument) for option in ("--backoff", "--priority")),
        ("status", database, "--priority", f"by-error-type={argument}"),
        ("show", database, argument),
        ("show", database, "99"),
        ("requeue", database, "99"),
        ("requeue", database, argument),
        ("drain", database, "--handlers", argument),
        ("drain", database, "--handlers", "broken:registry"),
        ("drain", database, "--handlers", "handlers:none"),
        ("drain", database, *handlers, "--id", "99"),
        ("demo", "--output", database),
        ("demo", "--output", f"{argument[:20]}/none/x.db"),
        ("tune", database, *handlers, "--budget", argument),
        ("tune", database, *handlers, "--write", database),
    ]
    for arguments in commands:
        check_plain(shown(painted, *arguments))
    attack.struck("text with control characters shown on a terminal", len(commands))


def test_no_run_paints_the_terminal(painted: Workplace, attack: Attack) -> None:
    """Its log names the database and each letter."""
    database = str(painted.database)
    for more in ((), ("-v",)):
        painted.make("ends")
        text = shown(painted, "run", database, "--handlers", "handlers:registry", *more)
        check_plain(text)
        assert "replaying" in text
        assert "which ended the work" in text
    attack.struck("text with control characters shown on a terminal", 2)


def test_what_a_file_says_of_drains_paints_no_terminal(painted: Workplace, attack: Attack) -> None:
    """Rows of our own tables, as another program may leave them."""
    database = str(painted.database)
    shown(painted, "drain", database, "--handlers", "handlers:registry", "--now")
    settings = json.dumps({"max_retries": FORGED, FORGED: 1}, ensure_ascii=False)
    painted.execute("UPDATE azoth_dlq_state SET value = ? WHERE key = 'settings'", settings)
    painted.execute(
        "UPDATE azoth_dlq_history SET outcome = ?, error_type = ?, message = ?, traceback = ?",
        *[FORGED] * 4,
    )
    painted.execute("INSERT INTO azoth_dlq_drainers VALUES (?, ?, 7, 0)", NAME, FORGED)
    planted = Path(f"{database}-azoth-{NAME}")
    planted.touch()
    with lock(planted):
        status = shown(painted, "status", database)
    assert "process 7 on bo" in status
    texts = [status, *(shown(painted, "show", database, str(n)) for n in (1, 2))]
    painted.execute(f'CREATE TABLE "{PAINT}" (x)')
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", ("CREATE", PAINT))
    texts += [shown(painted, command, database) for command in ("status", "list")]
    assert "cannot be used" in texts[-1] or "damaged" in texts[-1]
    for text in texts:
        check_plain(text)
    attack.struck("text with control characters shown on a terminal", len(texts))


def test_documents_are_plain_json(painted: Workplace, attack: Attack) -> None:
    """Also where they are printed on a terminal."""
    database = str(painted.database)
    drain = ("drain", "--handlers", "handlers:registry", "--now")
    looks = [("list",), ("status",), drain, ("show", "1", "--payload"), ("list", "--parked")]
    for command, *arguments in looks:
        done = painted.run(command, database, *arguments, "--json")
        assert isinstance(json.loads(done.stdout), dict)
        check_plain(done.stdout)
        assert done.stdout.isascii()
    attack.struck("text with control characters shown on a terminal", len(looks))
