"""Handlers that misuse their connection or their process, seen from outside the process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayer
from tests.attacks import Attack
from tests.crash.processes import DlqFile, Ending
from tests.crash.rogue_errors import ROGUES
from tests.crash.rogue_server import CONFIG, Order, registry
from tests.crash.server import Server

LETTERS = [1, 2, 3, 4, 5]
Template = Callable[[str, int], Path]


class Rogues(Server):
    """Drains files in children of one process."""

    def __init__(self) -> None:
        super().__init__("rogue_server")

    def drain(self, order: Order) -> Ending:
        self.ask(order)
        status, words = self.answer()
        assert status == 0, (order, words)
        return Ending(**words)


@pytest.fixture(scope="module")
def server() -> Iterator[Rogues]:
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork here")
    with Rogues() as started:
        yield started


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A file in a journal mode with the rogue letter at a place, to be copied."""
    folder, made = tmp_path_factory.mktemp("templates"), dict[tuple[str, int], Path]()

    def make(journal_mode: str, place: int) -> Path:
        if (journal_mode, place) not in made:
            path = made[journal_mode, place] = folder / f"{journal_mode}-{place}.db"
            file = DlqFile.make(path, journal_mode)
            file.query("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
            file.query(
                "CREATE TABLE child (id REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)"
            )
            file.add(*["rogue:" if n == place else "ok:" for n in range(len(LETTERS))])
        return made[journal_mode, place]

    return make


def _situations(name: str, attack: Attack) -> list[tuple[str, int, bool]]:
    """Journal mode, place of the rogue, whether the connection is plain."""
    every = list(product(("wal", "delete"), (0, 2, 4), (False, True)))
    some = [("wal", 2, False), ("delete", 0 if len(name) % 2 else 4, True)]
    return every if attack.size(len(some), long=len(every)) == len(every) else some


def _drain(
    server: Rogues, template: Template, folder: Path, name: str, situation: tuple[str, int, bool]
) -> tuple[DlqFile, Ending]:
    journal_mode, place, plain = situation
    folder /= f"{journal_mode}-{place}-{plain}"
    folder.mkdir()
    path = folder / "projection.db"
    shutil.copy(template(journal_mode, place), path)
    return DlqFile(path), server.drain(Order(str(path), name, plain))


def _drain_with_good_handlers(file: DlqFile) -> None:
    with DeadLetterQueue.open(file.path) as queue:
        queue.connection.execute("PRAGMA synchronous = OFF")
        DlqReplayer(queue, registry(file.path.parent, None), CONFIG).drain()


def _assert_the_next_drains_go_on(file: DlqFile, culprit: int) -> None:
    if file.left():
        _drain_with_good_handlers(file)
    if file.left() == [culprit]:  # charged by that drain, as if the process had died in it
        assert file.charges() == {culprit: 1}
        _drain_with_good_handlers(file)
    assert file.effects() == LETTERS
    file.assert_whole(LETTERS)


def _assert_outcome(outcome: str, file: DlqFile, ending: Ending, place: int) -> None:
    culprit, report = LETTERS[place], ending.report
    assert report is not None, ending
    if outcome == "either":
        outcome = "fails" if report["failed"] else "harmless"
    figures = (report["succeeded"], report["failed"], report["skipped"], report["parked"])
    match outcome:
        case "fails":
            assert ending.ended == "returned", ending
            assert figures == (len(LETTERS) - 1, 1, 0, 0)
            assert file.effects() == [letter for letter in LETTERS if letter != culprit]
            assert file.charges() == {culprit: 1}
        case "harmless":
            assert ending.ended == "returned", ending
            assert figures == (len(LETTERS), 0, 0, 0)
            assert file.effects() == LETTERS
        case _:
            assert ending.ended == ("StorageError" if outcome == "ends" else outcome), ending
            done = len(file.effects())
            # A group that cannot be saved is taken back, with those before in it.
            assert done == place or (outcome == "ends" and done == 0)
            assert file.effects() == LETTERS[:done]
            assert figures == (done, 0, 0, 0)
            assert file.charges() == {}
    file.assert_whole(LETTERS)


@pytest.mark.parametrize("name", [n for n, rogue in ROGUES.items() if rogue.outcome != "others"])
def test_a_rogue_handler_costs_its_own_letter_alone(
    server: Rogues, template: Template, tmp_path: Path, attack: Attack, name: str
) -> None:
    for situation in _situations(name, attack):
        file, ending = _drain(server, template, tmp_path, name, situation)
        _, place, plain = situation
        rogue = ROGUES[name]
        _assert_outcome(rogue.plain if plain else rogue.outcome, file, ending, place)
        _assert_the_next_drains_go_on(file, LETTERS[place])
        attack.struck("rogue handler")


# Of the letters behind the rogue: whether they are left, skipped or parked, and done by the next
# drain.
CHANGES = {
    "adds_a_letter": (0, 0, True),
    "deletes_those_behind": (1, 0, False),
    "deletes_all": (1, 0, False),
    "changes_counts": (1, 0, True),
    "changes_times": (1, 0, True),
    "changes_bytes": (0, 1, False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_letters_that_a_handler_changes_are_told_and_none_is_done_twice(
    server: Rogues, template: Template, tmp_path: Path, attack: Attack, name: str
) -> None:
    skipped, parked, is_done = CHANGES[name]
    for situation in _situations(name, attack):
        file, ending = _drain(server, template, tmp_path, name, situation)
        behind = len(LETTERS) - situation[1] - 1
        report = ending.report
        assert report is not None, ending
        assert (report["skipped"], report["parked"]) == (skipped * behind, parked * behind)
        assert report["failed"] == 0
        assert report["succeeded"] == len(file.effects())
        before = set(file.effects())
        _drain_with_good_handlers(file)
        added = [6] if name == "adds_a_letter" else []
        assert file.effects() == ([*LETTERS, *added] if is_done else sorted(before))
        assert file.query("PRAGMA integrity_check") == [("ok",)]
        assert file.left() == []
        attack.struck("rogue handler")


def test_effects_that_were_committed_behind_the_guard_are_not_made_twice(
    dlq_file: DlqFile,
) -> None:
    letters = dlq_file.add("ok:", "ok:", "commits_unguarded:", "ok:", "ok:")
    report = dlq_file.drain()
    assert (report["succeeded"], report["failed"]) == (4, 1)
    assert dlq_file.effects() == letters
    assert dlq_file.left() == [letters[2]]


def test_a_process_that_dies_after_its_handler_committed_has_done_no_letter_twice(
    dlq_file: DlqFile,
) -> None:
    """The guard refuses the commit, so the death takes the whole group back."""
    letters = dlq_file.add("ok:", "commits_quietly:", "waits:never", "ok:")
    program = dlq_file.start()
    program.wait_for("in hand")
    program.kill()
    assert dlq_file.effects() == []
    dlq_file.drain()
    assert dlq_file.effects() == [letters[0], letters[3]]
    assert dlq_file.charges() == {letters[1]: 1, letters[2]: 1}
