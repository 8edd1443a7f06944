"""What a disk may hold after a loss of power.

A file has what was written before it was last synced. Of each change since, any part may be there:
all of it, nothing, or some of its sectors. Which names a folder has is journalled by file systems:
the changes to it are there in their order up to some point, all those before it was last synced,
and all up to the making of a file that was synced itself. SQLite relies on no more than that.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.faults import Change, Kind

SECTOR = 512
# How much of what was not synced is there: one of these in turn.
_SHARES = (0.0, 0.1, 0.5, 0.9, 1.0)


@dataclass
class _File:
    """What it is sure to have, and the changes that it may have."""

    synced: bytes = b""
    pending: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        content = bytearray(self.synced)
        for change in self.pending:
            _apply(content, change)
        self.synced = bytes(content)
        self.pending = []

    def after_loss(self, dice: random.Random, share: float) -> bytes:
        content = bytearray(self.synced)
        for change in self.pending:
            if dice.random() < share:
                _apply(content, change)
            elif change.kind is Kind.WRITE and dice.random() < share:
                for sector in _sectors(change):
                    if dice.random() < 0.5:
                        _apply(content, sector)
        return bytes(content)


def _apply(content: bytearray, change: Change) -> None:
    if change.kind is Kind.TRUNCATE:
        del content[change.offset :]
    gap = change.offset - len(content)
    if gap > 0:
        content += bytes(gap)
    if change.kind is Kind.WRITE:
        content[change.offset : change.offset + len(change.data)] = change.data


def _sectors(change: Change) -> Iterator[Change]:
    """The parts of a write that lie in one sector each."""
    begin, end = change.offset, change.offset + len(change.data)
    while begin < end:
        until = min(end, (begin // SECTOR + 1) * SECTOR)
        data = change.data[begin - change.offset : until - change.offset]
        yield Change(change.kind, change.path, begin, data)
        begin = until


@dataclass
class _Naming:
    """A name is given to a file, or (`file` is None) taken away."""

    path: str
    file: _File | None


class Disk:
    """The files of one folder."""

    def __init__(self, folder: Path) -> None:
        """With the files that are there now, all of them synced."""
        self._folder = str(folder)
        self._names = {str(path): _File(path.read_bytes()) for path in folder.iterdir()}
        self._synced = dict(self._names)
        self._pending: list[_Naming] = []

    def change(self, change: Change) -> None:
        match change.kind:
            case Kind.WRITE | Kind.TRUNCATE:
                self._file(change.path).pending.append(change)
            case Kind.SYNC if change.path == self._folder:
                self._settle_names(len(self._pending))
            case Kind.SYNC:
                self._sync(self._file(change.path))
            case Kind.UNLINK:
                # One that nothing was written to was never here.
                if self._names.pop(change.path, None) is not None:
                    self._pending.append(_Naming(change.path, None))
            case Kind.RENAME:
                file = self._names.pop(change.path)
                target = change.data.decode()
                self._names[target] = file
                # One step of a journal; a loss leaves the old name or the new one.
                self._pending += [_Naming(target, file), _Naming(change.path, None)]
            case Kind.NOTE:
                pass

    def _file(self, path: str) -> _File:
        if path not in self._names:
            self._names[path] = file = _File()
            self._pending.append(_Naming(path, file))
        return self._names[path]

    def _sync(self, file: _File) -> None:
        file.sync()
        steps = [n for n, naming in enumerate(self._pending, 1) if naming.file is file]
        self._settle_names(max(steps, default=0))

    def _settle_names(self, steps: int) -> None:
        _name(self._synced, self._pending[:steps])
        del self._pending[:steps]

    def after_loss(self, dice: random.Random) -> dict[str, bytes]:
        """Contents by name, as a loss of power now might leave them."""
        share = dice.choice(_SHARES)
        steps = sum(dice.random() < share for _ in self._pending)
        names = dict(self._synced)
        _name(names, self._pending[:steps])
        return {
            Path(path).name: file.after_loss(dice, share)
            for path, file in names.items()
            if not path.endswith("-shm")  # whoever opens the database first makes it anew
        }


def _name(names: dict[str, _File], steps: Iterable[_Naming]) -> None:
    for step in steps:
        if step.file is None:
            names.pop(step.path, None)
        else:
            names[step.path] = step.file
