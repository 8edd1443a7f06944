"""A gzip file as a chain of members, each of whole lines: what ends amid one goes on behind the
last whole one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

_GZIP: Final = 31  # as zlib counts: the largest window, and a header of gzip's
_LEVEL: Final = 1  # higher ones take two to three times as long for a few per cent
_MEMBER_BYTES: Final = 4 * 2**20  # of lines
_READ_BYTES: Final = 2**18


class MemberWriter:
    """Writes lines into members; the last one ends with `flush`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._bytes = 0

    def write(self, line: bytes) -> None:
        self._file.write(self._compressor.compress(line))
        self._bytes += len(line)
        if self._bytes >= _MEMBER_BYTES:
            self.flush()

    def flush(self) -> None:
        """End the member."""
        if self._bytes:
            self._file.write(self._compressor.flush())
            self._file.flush()  # a kill from here on costs what is behind
            self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            self._bytes = 0


def whole_members(file: BinaryIO) -> Iterator[tuple[list[bytes], int]]:
    """The lines of each whole member, and where it ends. Of a file that ends amid one, or holds
    something else from there on, only what is before."""
    end = 0
    waiting = b""
    while True:
        decompressor = zlib.decompressobj(_GZIP)
        parts = []
        while not decompressor.eof:
            data = waiting or file.read(_READ_BYTES)
            if not data:
                return
            waiting = b""
            end += len(data)
            try:
                parts.append(decompressor.decompress(data))
            except zlib.error:
                return
        waiting = decompressor.unused_data
        end -= len(waiting)
        yield b"".join(parts).splitlines(keepends=True), end
