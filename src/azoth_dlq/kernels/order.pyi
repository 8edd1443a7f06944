from collections.abc import Iterable
from typing import Self, final

from typing_extensions import Buffer

def validate_error_types(texts: Iterable[str]) -> tuple[str, ...]: ...

@final
class ErrorTypes:
    def __new__(cls, texts: Iterable[str]) -> Self: ...
    @property
    def texts(self) -> tuple[str, ...]: ...
    def rank(self, text: str | bytes | bytearray) -> int: ...
    def ranks(self, texts: Iterable[str | bytes | bytearray]) -> list[int]: ...

def argsort(
    instants: Buffer,
    ids: Buffer,
    ranks: Buffer | None = None,
    *,
    descending: bool = False,
    out: Buffer,
) -> None: ...
