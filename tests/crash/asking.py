"""Processes that drain a file by asking a server (`http_server`), many at once, and what one that
is killed is to be charged with."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.crash.at_once import NUMBER, PORT
from tests.crash.http_server import HttpServer, until
from tests.crash.processes import DlqFile, Program

AT_ONCE = 16
CLAIMED = 3 * AT_ONCE  # those that are called, and twice as many ahead
SETTINGS: dict[str, Any] = {
    "concurrency": AT_ONCE,
    "max_retries": 10**6,
    "min_age": 0,
    "backoff": "fixed=0",
    "stop_on_consecutive_failures": "never",
}


class Drain(NamedTuple):
    """A process, and the number under which the server notes it."""

    number: int
    program: Program


class Scene:
    """A file, a server that its handlers ask, and processes that drain it."""

    def __init__(self, file: DlqFile, server: HttpServer) -> None:
        self.file = file
        self.server = server
        self.drains = 0

    def start(
        self, *pauses: str, now: bool = False, is_command: bool = False, **settings: Any
    ) -> Drain:
        self.drains += 1
        self.file.environment = {PORT: str(self.server.port), NUMBER: str(self.drains)}
        order = {
            "settings": {**SETTINGS, **settings},
            "now": now,
            "pauses": pauses,
            "is_command": is_command,
        }
        return Drain(self.drains, self.file.run("at_once", json.dumps(order)))

    def drain(self, **order: Any) -> dict[str, Any]:
        """The report of a process that must return."""
        return self.start(**order).program.report()

    def hands_are_full(self, drain: Drain) -> bool:
        """Whether it calls as many handlers as it may."""
        return self.server.open_of(drain.number) >= AT_ONCE

    def claims(self) -> list[int]:
        rows = self.file.query("SELECT letter_id FROM azoth_dlq_claims ORDER BY 1")
        return [letter for (letter,) in rows]

    def begun(self, drain: Drain | None = None) -> Counter[int]:
        """How often each letter was asked for, by a drain or by all."""
        server = self.server
        asked = server.requests if drain is None else server.requests_of(drain.number)
        return Counter(request.letter for request in asked)

    def answered(self, drain: Drain | None = None) -> set[int]:
        """Letters for which the server did what was asked for."""
        server = self.server
        asked = server.requests if drain is None else server.requests_of(drain.number)
        return {request.letter for request in asked if request.how == "200"}

    def beside(self) -> set[str]:
        """The files of drains that are beside the database."""
        path = self.file.path
        return {found.name for found in path.parent.glob(f"{path.name}-azoth-*")}

    def assert_nothing_is_left(self) -> None:
        """Of drains, in the file and beside it."""
        assert (self.claims(), self.beside()) == ([], set())
        assert self.file.query("PRAGMA integrity_check") == [("ok",)]


class Kills:
    """Of drains, one after another, and what they are to be charged with: for each kill an attempt
    of each letter that had been called, by what the server noted, and whose outcome is not
    written."""

    def __init__(self, scene: Scene, kinds: Sequence[str]) -> None:
        self._scene = scene
        self._kinds = kinds
        self._chance = random.Random(AT_ONCE)
        self._owed: set[int] = set()
        self._kills_owed = 0  # whose letters are not charged yet
        self.letters: list[int] = []
        self.were_full = 0  # whose hands were, when they were killed amid nothing but calls

    def have_letters(self, most: int) -> None:
        missing = most - len(self._scene.file.left())
        kinds = self._chance.choices(self._kinds, k=max(missing, 0))
        self.letters += self._scene.file.add(*(f"{kind}:ok" for kind in kinds))

    def strike(self) -> bool:
        """Whether it was in time."""
        scene, chance = self._scene, self._chance
        before, charges = set(scene.file.left()), scene.file.charges()
        moment = chance.random()
        if moment < 0.85:
            scene.server.hold()
        drain = scene.start()
        if moment < 0.85:
            until(lambda: scene.hands_are_full(drain))
        if moment < 0.7:
            scene.server.release()
        time.sleep(chance.uniform(0, 0.1 if moment < 0.85 else 0.5))
        drain.program.kill()
        scene.server.settle(drain.number)
        self._check(drain, before, charges)
        if 0.7 <= moment < 0.85:
            assert self._owed.issuperset(scene.begun(drain))
            assert len(scene.begun(drain)) == AT_ONCE
            scene.server.release()
            self.were_full += 1
        return drain.program.wait() == -signal.SIGKILL

    def finish(self) -> None:
        """Drain the rest: what is charged first, the next drain calls."""
        file = self._scene.file
        died = file.query(
            "SELECT letter_id, count(*) FROM azoth_dlq_history WHERE outcome = 'died' "
            "AND letter_id IS NOT NULL GROUP BY letter_id"
        )
        assert dict(died) == file.charges()
        for _ in range(2):
            before, charges = set(file.left()), file.charges()
            drain = self._scene.start()
            report = drain.program.report()
            charged = self._check(drain, before, charges)
            assert (report["failed"], report["remaining"]) == (len(charged), 0)
        assert file.left() == []

    def _check(self, drain: Drain, before: set[int], charges: dict[int, int]) -> set[int]:
        """What the drain has changed; what it has charged."""
        scene = self._scene
        left, now, begun = set(scene.file.left()), scene.file.charges(), scene.begun(drain)
        assert before - left <= scene.answered(drain)
        more = {i: n - charges.get(i, 0) for i, n in now.items() if n != charges.get(i, 0)}
        assert set(more.values()) <= {1}
        charged = set(more)
        if charged or begun:
            assert self._owed <= charged
            # A handler may have started that has not come to ask.
            assert len(charged - self._owed) <= AT_ONCE * self._kills_owed
            self._owed, self._kills_owed = set(), 0
        assert not begun.keys() & charged
        assert set(begun.values()) <= {1}
        self._owed |= begun.keys() & left
        self._kills_owed += 1
        return charged
