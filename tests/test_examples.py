"""The programs of `examples/` do what they say, against real servers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, ParkedLetter

NOTIFY = Path(__file__).parent.parent / "examples" / "notify.py"
HANDLERS = """
from azoth_dlq import EventHandlerRegistry, NonRetryable
registry = EventHandlerRegistry()

@registry.handler("bad")
def bad(conn, event_id, payload):
    raise NonRetryable(f"no account {event_id}")

@registry.handler("ok")
def ok(conn, event_id, payload):
    pass
"""


class Chat(ThreadingHTTPServer):
    """Keeps the messages that are posted, and refuses the first `refused` of them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Room)
        self.refused = 0
        self.messages: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/room"


class Room(BaseHTTPRequestHandler):
    server: Chat

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.refused:
            self.server.refused -= 1
            self.send_error(503)
            return
        self.server.messages.append(body["text"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def chat() -> Iterator[Chat]:
    with Chat() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def notify(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    (folder / "handlers.py").write_text(HANDLERS)
    with DeadLetterQueue.open(folder / "projection.db") as dlq:
        events = [b"ok:x", *[b"bad:x"] * 1000]
        dlq.add_many([(n, event, "boom") for n, event in enumerate(events)])
        dlq.connection.execute("UPDATE dead_letter_queue SET failed_at = '2026-01-01 00:00:00'")
    arguments = [str(NOTIFY), "projection.db", "handlers:registry", url]
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_thousand_parked_letters_are_one_message(tmp_path: Path, chat: Chat) -> None:
    done = notify(tmp_path, chat.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1001 attempted (1 succeeded, 1000 failed); 1000 parked")
    [text] = chat.messages
    first, *examples = text.splitlines()
    assert first == "Letters parked: 1000 (bad: 1000)"
    assert examples == [f"• {n}: not retryable: NonRetryable: no account {n}" for n in range(1, 6)]


def test_a_message_that_cannot_be_sent_is_told(tmp_path: Path, chat: Chat) -> None:
    """The drain has parked its letters all the same."""
    chat.refused = 1
    done = notify(tmp_path, chat.url)
    assert done.returncode == 1
    assert "not sent, kept for the next message: HTTP Error 503" in done.stderr
    with DeadLetterQueue.open(tmp_path / "projection.db") as dlq:
        assert (dlq.count(), dlq.permanent_failure_count()) == (0, 1000)


def test_an_answer_that_is_none_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            asked, _ = server.accept()
            with asked:
                asked.recv(65536)
                asked.sendall(b"garbage\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        done = notify(tmp_path, f"http://127.0.0.1:{server.getsockname()[1]}/")
    assert done.returncode == 1
    assert "not sent, kept for the next message" in done.stderr


def test_what_letters_say_is_no_markup() -> None:
    text = the_module().message(
        Counter({"<!channel>": 1}), [ParkedLetter(1, 1, 1, "x", "a <@all>\x1b[31m & b\nc")], 0
    )
    assert text == "Letters parked: 1 (&lt;!channel&gt;: 1)\n• 1: a &lt;@all&gt;?[31m &amp; b"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a.db"], "usage: notify.py DB MODULE:REGISTRY URL"),
        (["a.db", "json:loads", "http://x"], "there is no file a.db"),
    ],
)
def test_wrong_arguments_make_no_file(tmp_path: Path, arguments: list[str], told: str) -> None:
    command = [sys.executable, str(NOTIFY), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"{told}\n")
    assert list(tmp_path.iterdir()) == []


def the_module() -> Any:
    spec = spec_from_file_location("notify", NOTIFY)
    assert spec is not None
    assert spec.loader is not None
    module: Any = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_could_not_be_sent_goes_with_the_next_message(chat: Chat) -> None:
    module = the_module()
    chat.refused = 1
    notifier = module.Notifier(chat.url, gather=0.02)
    notifier.on_parked(ParkedLetter(17, 1, 42, "bad", "poison"))
    deadline = time.monotonic() + 15
    while not chat.messages:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert notifier.close()
    assert chat.messages == ["Letters parked: 1 (bad: 1)\n• 1: poison"]
