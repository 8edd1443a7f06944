"""What the tests of the live views have in common: letters, and how what is seen is read."""

from __future__ import annotations

import re

HANDLERS = """
import pathlib, time
@registry.handler("calls", transactional=False)
def calls(conn, event_id, payload):
    time.sleep(0.02)
    if event_id % 5 == 0:
        raise ConnectionError(f"refused by db{event_id % 2}")

@registry.handler("writes")
def writes(conn, event_id, payload):
    time.sleep(0.02)
    conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

@registry.handler("waits", transactional=False)
def waits(conn, event_id, payload):
    until = time.monotonic() + 30
    while not pathlib.Path("go").exists() and time.monotonic() < until:
        time.sleep(0.01)

@registry.handler("prints")
def prints(conn, event_id, payload):
    time.sleep(0.1)
    print(f"printed of {event_id}", flush=True)
"""
DRAIN = ("drain", "projection.db", "--handlers", "handlers:registry")
RUN = ("run", "projection.db", "--handlers", "handlers:registry")
NEVER = ("--stop-on-consecutive-failures", "never")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|4[0-7]|9[0-7]|[34]8;[\d;]+)(?:;\d+)*m")
# All that is written to draw: modes, where to, what is erased, how it looks.
DRAWING = re.compile(r"\x1b\[\?(?:25|7)[lh]|\x1b\[\d*[AJK]|\x1b\[H\x1b\[2J|\x1b\[[\d;]*m|\r")
FORGED = (
    "boom\x1b[2J\x1b]0;owned\x07\x9b31m\b\x7f\u202e\u2066\u200b\ufeff [red]text[/red] :smile: "
    "[link=http://x]y[/link] \u6f22\u5b57\r\u2028\x85\n draining"
)


def check_text_alone(raw: str) -> None:
    rest = DRAWING.sub("", raw).replace("\n", "")
    painted = sorted({ascii(c) for c in rest if not c.isprintable()})
    assert not painted, painted


def figures(text: str) -> dict[str, str]:
    """Each by its name."""
    names = (
        *("done", "due now", "succeeded", "failed", "rate", "empty in", "depth", "next due"),
        *("under way", "limit", "not due", "as of", "lost", "parked"),
    )
    found = {}
    for name in names:
        if shown := re.search(rf"(?:^|  ){name} (\S+(?: \S+)*)", text, re.MULTILINE):
            found[name] = shown[1]
    return found


def number(text: str) -> int:
    return int(text.replace(",", ""))
