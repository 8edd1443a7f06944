from typing import Final

from typing_extensions import Buffer

FIXED: Final[int]
EXPONENTIAL: Final[int]
FIBONACCI: Final[int]

def delay(kind: int, initial: int, maximum: int, attempt: int) -> int: ...
def delays(kind: int, initial: int, maximum: int, attempts: Buffer, out: Buffer) -> None: ...
def jittered(delay: int, jitter: float, letter_id: int, retry_count: int) -> int: ...
