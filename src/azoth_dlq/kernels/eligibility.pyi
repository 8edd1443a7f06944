from collections.abc import Iterable
from typing import Any, Final, Literal, Self, TypeVar, final

from typing_extensions import Buffer

from azoth_dlq.kernels.order import ErrorTypes
from azoth_dlq.kernels.verdict import Verdict as Verdict

_Row = TypeVar("_Row", bound=tuple[Any, ...])

NONE: Final[int]
UNREADABLE: Final[int]

def parse_timestamp(text: str | bytes | bytearray) -> int: ...
def format_timestamp(instant: int) -> str: ...

@final
class Rules:
    def __new__(
        cls,
        *,
        now: int,
        max_retries: int,
        min_age: int,
        kind: int,
        initial: int,
        maximum: int,
        jitter: float = 0.0,
        waive_delay: bool = False,
    ) -> Self: ...
    @property
    def now(self) -> int: ...
    @property
    def max_retries(self) -> int: ...
    @property
    def min_age(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def initial(self) -> int: ...
    @property
    def maximum(self) -> int: ...
    @property
    def jitter(self) -> float: ...
    @property
    def waive_delay(self) -> bool: ...

def due(
    rules: Rules,
    *,
    retry_count: Buffer,
    failed_at: Buffer,
    last_retry_at: Buffer | None = None,
    not_before: Buffer | None = None,
    id: Buffer | None = None,  # noqa: A002 -- the name of the column
    out: Buffer,
    verdicts: Buffer | None = None,
) -> tuple[int, int | None]: ...

@final
class Selection:
    def __len__(self) -> int: ...
    @property
    def examined(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def next_due(self) -> int | None: ...
    @property
    def oldest_due(self) -> int | None: ...
    @property
    def unfit_count(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def ids(self, start: int = 0, stop: int | None = None) -> list[int]: ...
    def unfit(self, start: int = 0, stop: int | None = None) -> list[tuple[int, Verdict]]: ...
    def unchanged(self, rows: Iterable[_Row], start: int, stop: int | None) -> list[_Row]: ...

def select(
    rows: Iterable[tuple[Any, ...]],
    rules: Rules,
    *,
    rank: ErrorTypes | Literal["retry_count"] | None = None,
    descending: bool = False,
) -> Selection: ...
