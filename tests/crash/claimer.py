"""A program that claims letters, run as a process: `python -m tests.crash.claimer FILE ORDER`.

ORDER is JSON with the members of `Order`. Letters are claimed and settled as by a drain whose
handlers run outside a transaction; an effect is an id, and a charged death the negative one.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from azoth_dlq.store.base import Busy, DrainSettings
from azoth_dlq.store.settlement import Settlement
from azoth_dlq.store.sqlite import SqliteStore, open_connection
from tests.crash.talk import say, wait_for

T = TypeVar("T")
AT_ONCE = 3


@dataclass
class Order:
    """Letters to claim and hold until the file `go` is there, and what a child, forked meanwhile,
    does: ends, or lives on until the file `child may end` is there. Or (`works`): claim and settle
    letters until none is left and the file `go` is there."""

    claims: list[int] = field(default_factory=list)
    child: Literal["ends", "lives on"] | None = None
    works: bool = False


def hold(store: SqliteStore, folder: Path, order: Order) -> None:
    begin(store)
    store.claim(order.claims, batch=False)
    store.end(commit=True)
    if order.child is not None and os.fork() == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for output in (1, 2):  # who reads ours waits for the parent alone
            os.dup2(nowhere, output)
        (folder / "child").write_text(str(os.getpid()))
        if order.child == "lives on":
            wait_for(folder / "child may end")
        return
    if order.child == "ends":
        os.wait()
    say("claimed")
    wait_for(folder / "go")


def begin(store: SqliteStore) -> None:
    patiently(store.begin)


def patiently(action: Callable[[], T]) -> T:
    while True:
        try:
            return action()
        except Busy:
            time.sleep(0.001)


def work(store: SqliteStore, folder: Path) -> None:
    say("working")
    while True:
        begin(store)
        letters = [letter.id for letter in store.read()]
        if not letters and (folder / "go").exists():
            break
        free_claims_of_the_dead(store)
        taken = store.claimed()
        free = [letter_id for letter_id in letters if letter_id not in taken][-AT_ONCE:]
        store.claim(free, batch=False)
        patiently(lambda: store.end(commit=True))
        time.sleep(random.uniform(0.001, 0.01))
        begin(store)
        check_not_robbed(store, free)
        note(store, free)
        store.settle(Settlement(acked=free))
        patiently(lambda: store.end(commit=True))
    say("done")


def free_claims_of_the_dead(store: SqliteStore) -> None:
    note(store, [-letter_id for letter_id in store.abandoned().single])


def check_not_robbed(store: SqliteStore, ids: list[int]) -> None:
    places = ", ".join("?" * len(ids))
    statement = f"SELECT count(*) FROM azoth_dlq_claims WHERE letter_id IN ({places})"  # noqa: S608 -- places alone
    ((held,),) = store.connection.execute(statement, ids).fetchall()
    if held != len(ids) or not store.claimed().isdisjoint(ids):
        raise AssertionError(f"somebody took letters of {ids}")


def note(store: SqliteStore, effects: list[int]) -> None:
    store.connection.executemany("INSERT INTO effects VALUES (?)", ((e,) for e in effects))


def main() -> None:
    path, order = Path(sys.argv[1]), Order(**json.loads(sys.argv[2]))
    with ExitStack() as stack:
        connection = stack.enter_context(closing(open_connection(path)))
        # A killed process loses nothing by it, and waiting for the disk is most of its time.
        connection.execute("PRAGMA synchronous = OFF")
        store = SqliteStore(connection)
        settings = DrainSettings(busy_timeout=5, settings="{}")
        patiently(lambda: stack.enter_context(store.draining(settings)))
        if order.works:
            work(store, path.parent)
        else:
            hold(store, path.parent, order)


if __name__ == "__main__":
    main()
