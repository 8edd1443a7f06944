"""A file that letters come from, read twice: the same lines both times, or told."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import BinaryIO, Final, NamedTuple, cast

from azoth_dlq.errors import ExchangeError
from azoth_dlq.store.sqlite.faults import shown_path

_GZIP_MAGIC: Final = b"\x1f\x8b"
_LINES_A_CHUNK: Final = 1000
_BYTES_A_CHUNK: Final = 4 * 2**20
_READ_BYTES: Final = 2**20
# What SQLite takes as a row, in base64, with its history.
LONGEST_LINE: Final = 1_500_000_000


class Line(NamedTuple):
    """`number` counts from 1."""

    number: int
    content: bytes


class Chunk(NamedTuple):
    """Lines, and what tells them from others."""

    lines: list[Line]
    digest: bytes


class Source:
    """`where`: as it is told in errors."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self.where = where
        self._file = file
        self._is_gzip = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC

    def chunks(self) -> Iterator[Chunk]:
        """The lines from the first on, but empty ones, in chunks of a few megabytes, or of one line
        that is longer. Errors: ExchangeError."""
        self._file.seek(0)
        file = cast("BinaryIO", gzip.GzipFile(fileobj=self._file)) if self._is_gzip else self._file
        lines: list[Line] = []
        size = 0
        digest = blake2b(digest_size=16)
        for line in self._lines(file):
            lines.append(line)
            size += len(line.content)
            digest.update(line.content)
            if len(lines) == _LINES_A_CHUNK or size >= _BYTES_A_CHUNK:
                yield Chunk(lines, digest.digest())
                lines, size, digest = [], 0, blake2b(digest_size=16)
        if lines:
            yield Chunk(lines, digest.digest())

    def _lines(self, file: BinaryIO) -> Iterator[Line]:
        number = 0
        while True:
            number += 1
            content = self._line(file, number)
            if not content:
                return
            if not content.isspace():
                yield Line(number, content)

    def _line(self, file: BinaryIO, number: int) -> bytes:
        parts = [self._read(file, number)]
        if len(parts[0]) == _READ_BYTES and not parts[0].lstrip().startswith(b"{"):
            # Told before it fills the memory.
            raise self.error(number, "it is no JSON object, and no line of text")
        size = len(parts[0])
        while len(parts[-1]) == _READ_BYTES and not parts[-1].endswith(b"\n"):
            parts.append(self._read(file, number))
            size += len(parts[-1])
            if size > LONGEST_LINE:
                raise self.error(number, f"it is longer than {LONGEST_LINE:,} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read(self, file: BinaryIO, number: int) -> bytes:
        try:
            return file.readline(_READ_BYTES)
        except EOFError:
            raise self.error(number, "the gzip file ends early: it is not whole") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self.error(number, f"the gzip file is damaged: {error}") from None
        except OSError as error:
            raise self.error(number, f"it cannot be read: {error.strerror}") from error

    def error(self, number: int, reason: str) -> ExchangeError:
        """What is wrong with a line."""
        return ExchangeError(f"{self.where}, line {number}: {reason}", line=number)


@contextmanager
def opened(file: str | os.PathLike[str] | BinaryIO) -> Iterator[Source]:
    """A file by its name, or a stream: what cannot be read twice is kept in a temporary file, which
    takes as much room. Errors: ExchangeError."""
    if not isinstance(file, (str, os.PathLike)):
        with _spooled(file, "the stream") as source:
            yield source
        return
    where = shown_path(file)
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 -- a path may be of any kind
            if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                yield Source(stream, where)
            else:
                with _spooled(stream, where) as source:
                    yield source
    except OSError as error:
        raise ExchangeError(f"{where} cannot be read: {error.strerror or error}") from error


@contextmanager
def _spooled(stream: BinaryIO, where: str) -> Iterator[Source]:
    with tempfile.TemporaryFile() as copy:
        try:
            shutil.copyfileobj(stream, copy, _READ_BYTES)
        except OSError as error:
            raise ExchangeError(
                f"{where} cannot be copied to {tempfile.gettempdir()}, since it is read twice: "
                f"{error.strerror}; set TMPDIR to a folder with room"
            ) from error
        copy.seek(0)
        yield Source(cast("BinaryIO", copy), where)
