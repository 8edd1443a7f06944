"""A server of HTTP/1.1 on this machine, in a thread of the test, that notes every request.

A request is `GET /BEHAVIOUR/LETTER?process=NUMBER`, and the behaviour is one of: `ok`, which is
answered after a moment, but not while the server holds such answers back; `unavailable` (503);
`reset`, where the connection is; `hang`, where there is no answer. A request is over when it is
answered, or when its client goes away.
"""

from __future__ import annotations

import asyncio
import http.client
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from math import inf
from typing import Self
from urllib.parse import parse_qs, urlsplit

HOST = "127.0.0.1"
PATIENCE_SECONDS = 60.0
_LONGEST_MOMENT = 0.05  # seconds
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # for SO_LINGER
_BACKLOG = 1000


@dataclass(slots=True)
class Request:
    """`how` it ended: "200", "503", "reset", or "gone" where its client went away before; ""
    while it is open."""

    letter: int
    process: int
    how: str = ""


def until(condition: Callable[[], object]) -> None:
    """Wait for it. Errors: AssertionError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class HttpServer:
    """Until it is left. What it noted: `requests` in the order in which they began, `overlaps`
    (letters of which a request began while another one was open), and how many were open at once,
    at most, of each process and (0) of all."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[Request] = []
        self.overlaps: list[int] = []
        self.most_at_once: Counter[int] = Counter()
        self._open_of_letter: Counter[int] = Counter()
        self._open_of_process: Counter[int] = Counter()
        self._requests_of: defaultdict[int, list[Request]] = defaultdict(list)
        self._chance = random.Random(200)
        self._waiting: deque[_Client] = deque()  # for an answer that is held back
        self._answers = inf  # before they are
        self._thread = threading.Thread(target=self._run, name="http server")
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._end: asyncio.Future[None] | None = None

    # What a test does

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop = self._ready.result()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set_result, None)
        self._thread.join()

    def hold(self) -> None:
        """Answer no `ok`."""
        self.release(0)

    def release(self, answers: float = inf) -> None:
        """So many, before they are held back."""
        self._call(lambda: self._release(answers))

    def requests_of(self, process: int) -> list[Request]:
        return list(self._requests_of[process])

    def open_of(self, process: int) -> int:
        """How many requests of a process are open, of all (0)."""
        return self._open_of_process[process]

    def settle(self, process: int) -> None:
        """When the process has ended: until all that it had sent is noted, and over."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", "/")  # which comes to its turn after the others
            assert connection.getresponse().status == http.HTTPStatus.NO_CONTENT
        finally:
            connection.close()
        until(lambda: not self.open_of(process))

    # What clients do, in the server's thread

    def began(self, letter: int, process: int) -> Request:
        request = Request(letter, process)
        self.requests.append(request)
        self._requests_of[process].append(request)
        if self._open_of_letter[letter]:
            self.overlaps.append(letter)
        self._open_of_letter[letter] += 1
        for whose in (0, process):
            self._open_of_process[whose] += 1
            most, now = self.most_at_once[whose], self._open_of_process[whose]
            self.most_at_once[whose] = max(most, now)
        return request

    def ended(self, request: Request, how: str) -> None:
        request.how = how
        self._open_of_letter[request.letter] -= 1
        for whose in (0, request.process):
            self._open_of_process[whose] -= 1

    def soon(self, action: Callable[[], None]) -> None:
        """In a moment."""
        self._loop.call_later(self._chance.uniform(0, _LONGEST_MOMENT), action)

    def answer(self, client: _Client) -> None:
        self._waiting.append(client)
        self._answer()

    def _release(self, answers: float) -> None:
        self._answers = answers
        self._answer()

    def _answer(self) -> None:
        while self._waiting and self._answers > 0:
            self._answers -= 1
            self.soon(self._waiting.popleft().answer)

    # Its thread

    def _call(self, action: Callable[[], None]) -> None:
        done: Future[None] = Future()

        def act() -> None:
            action()
            done.set_result(None)

        self._loop.call_soon_threadsafe(act)
        done.result(PATIENCE_SECONDS)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._end = loop.create_future()
        clients: set[_Client] = set()
        server = await loop.create_server(lambda: _Client(self, clients), HOST, 0, backlog=_BACKLOG)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set_result(loop)
        await self._end
        server.close()
        for client in tuple(clients):
            client.drop()
        while clients:
            await asyncio.sleep(0)


class _Client(asyncio.Protocol):
    """A connection, for one request."""

    def __init__(self, server: HttpServer, clients: set[_Client]) -> None:
        self._server = server
        self._clients = clients
        self._heard = b""
        self._request: Request | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._clients.add(self)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if b"\r\n\r\n" in self._heard and self._request is None:
            self._serve(self._heard.split(b" ", 2)[1].decode())

    def eof_received(self) -> None:
        self._end("gone")

    def connection_lost(self, _error: Exception | None) -> None:
        self._end("gone")
        self._clients.discard(self)

    def drop(self) -> None:
        self._transport.abort()

    def _serve(self, target: str) -> None:
        if target == "/":
            self._send(http.HTTPStatus.NO_CONTENT)
            return
        url = urlsplit(target)
        _, behaviour, letter = url.path.split("/")
        self._request = self._server.began(int(letter), int(parse_qs(url.query)["process"][0]))
        match behaviour:
            case "ok":
                self._server.answer(self)
            case "unavailable":
                self._server.soon(lambda: self.answer(http.HTTPStatus.SERVICE_UNAVAILABLE))
            case "reset":
                self._server.soon(self._reset)

    def answer(self, status: http.HTTPStatus = http.HTTPStatus.OK) -> None:
        # Noted before the client can know, and go on to its next request.
        if self._end(str(status.value)):
            self._send(status)

    def _reset(self) -> None:
        if self._end("reset"):
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()

    def _end(self, how: str) -> bool:
        """Whether it is over now, and was not before."""
        request = self._request
        if request is None or request.how:
            return False
        self._server.ended(request, how)
        return True

    def _send(self, status: http.HTTPStatus) -> None:
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: 0\r\n"
        self._transport.write(f"{head}Connection: close\r\n\r\n".encode())
        self._transport.close()
