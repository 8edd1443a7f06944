"""Drains a file and sends one message for all the letters that were parked.

    python notify.py projection.db bank.handlers:registry https://hooks.example.com/T0/B0

The message is a POST of JSON, `{"text": …}`, as chats take it. What cannot be sent now is kept for
the next one; a thousand parked letters are one message.
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from collections import Counter
from http.client import HTTPException
from importlib import import_module
from pathlib import Path

from azoth_dlq import DeadLetterQueue, DlqReplayer, ParkedLetter, ReplayReport

GATHER_SECONDS = 10.0
TIMEOUT_SECONDS = 10.0
MOST_SHOWN = 5
LONGEST = 300


class Notifier:
    """Gathers what it is told, and sends it from a thread of its own: a drain waits for its hooks,
    and must not wait for a chat."""

    def __init__(self, url: str, *, gather: float = GATHER_SECONDS) -> None:
        self._request = urllib.request.Request(url, headers={"Content-Type": "application/json"})
        self._gather = gather
        self._lock = threading.Lock()
        self._by_type: Counter[str] = Counter()
        self._examples: list[ParkedLetter] = []
        self._stops = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
        self._thread.start()

    def on_parked(self, letter: ParkedLetter) -> None:
        with self._lock:
            self._by_type[letter.event_type or "?"] += 1
            if len(self._examples) < MOST_SHOWN:
                self._examples.append(letter)

    def on_stopped(self, _report: ReplayReport) -> None:
        with self._lock:
            self._stops += 1

    def close(self) -> bool:
        """Send what is left; whether nothing is."""
        self._is_over.set()
        self._thread.join()
        return not (self._by_type or self._stops)

    def _work(self) -> None:
        while not self._is_over.wait(self._gather):
            self._send()
        self._send()

    def _send(self) -> None:
        with self._lock:
            by_type, examples, stops = self._by_type, self._examples, self._stops
            self._by_type, self._examples, self._stops = Counter(), [], 0
        if not (by_type or stops):
            return
        body = json.dumps({"text": message(by_type, examples, stops)}).encode()
        try:
            urllib.request.urlopen(self._request, body, TIMEOUT_SECONDS).close()
        except (OSError, HTTPException) as error:
            print(f"not sent, kept for the next message: {error}", file=sys.stderr)
            with self._lock:
                self._by_type += by_type
                self._examples = (examples + self._examples)[:MOST_SHOWN]
                self._stops += stops


def message(by_type: Counter[str], examples: list[ParkedLetter], stops: int) -> str:
    lines = []
    if stops:
        lines.append("The replay has stopped: what the handlers need seems to be down.")
    if by_type:
        commonest = by_type.most_common(MOST_SHOWN)
        types = ", ".join(f"{_plain(name)}: {number}" for name, number in commonest)
        lines.append(f"Letters parked: {by_type.total()} ({types})")
        lines += [f"• {one.permanent_failure_id}: {_plain(one.reason)}" for one in examples]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Its first line, as no chat takes for markup: who writes letters may choose some of it."""
    line = "".join(c if c.isprintable() else "?" for c in text.partition("\n")[0][:LONGEST])
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def main(database: str, handlers: str, url: str) -> int:
    module, _, attribute = handlers.partition(":")
    registry = getattr(import_module(module), attribute)
    if not Path(database).is_file():
        sys.exit(f"there is no file {database}")
    notifier = Notifier(url)
    with DeadLetterQueue.open(database) as dlq:
        replayer = DlqReplayer(
            dlq, registry, on_parked=notifier.on_parked, on_stopped=notifier.on_stopped
        )
        try:
            print(replayer.drain())
        finally:
            is_sent = notifier.close()
    return 0 if is_sent else 1


if __name__ == "__main__":
    try:
        DB, HANDLERS, URL = sys.argv[1:]
    except ValueError:
        sys.exit("usage: notify.py DB MODULE:REGISTRY URL")
    sys.path.insert(0, "")
    sys.exit(main(DB, HANDLERS, URL))
