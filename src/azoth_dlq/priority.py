"""In which order due letters are attempted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from azoth_dlq.errors import ConfigError, not_allowed
from azoth_dlq.kernels.order import ErrorTypes, validate_error_types

if TYPE_CHECKING:
    from collections.abc import Iterable

_BY_ERROR_TYPE: Final = "by-error-type"
ORDER_BY: Final = {
    "fifo": "failed_at ASC",
    "lifo": "failed_at DESC",
    "by-retry-count": "retry_count ASC, failed_at ASC",
}
TEXT_FORMS: Final = f"{', '.join(ORDER_BY)} or {_BY_ERROR_TYPE}=TEXT,TEXT,…"


@dataclass(frozen=True, slots=True, repr=False)
class ReplayPriority:
    """An order of due letters: by rank, then by the instant of `failed_at`, then by id.

    One of `FIFO`, `LIFO`, `BY_RETRY_COUNT`, or made by `by_error_type` or `parse`.
    """

    FIFO: ClassVar[ReplayPriority]
    """Oldest first."""
    LIFO: ClassVar[ReplayPriority]
    """Newest first."""
    BY_RETRY_COUNT: ClassVar[ReplayPriority]
    """Fewest retries first, then oldest first."""

    name: str
    error_types: tuple[str, ...] = ()
    _ranker: ErrorTypes | None = field(init=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.name == _BY_ERROR_TYPE:
            object.__setattr__(self, "error_types", _validated(self.error_types))
            object.__setattr__(self, "_ranker", ErrorTypes(self.error_types))
        elif self.name not in ORDER_BY:
            names = f"one of {', '.join([*ORDER_BY, _BY_ERROR_TYPE])}"
            raise not_allowed("name", self.name, names)
        elif self.error_types:
            raise not_allowed("error_types", self.error_types, f"() for {self.name}")

    @classmethod
    def by_error_type(cls, texts: Iterable[str]) -> Self:
        """Rank by the first of `texts` found in `error_message`, unlisted last, then oldest first.

        A text is 1 to 128 characters, each alphanumeric, `_`, `-`, `.` or a space, and matches
        literally without regard to ASCII case. Errors: `ConfigError`, also for an empty list.
        """
        return cls(_BY_ERROR_TYPE, _validated(texts))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `fifo`, `lifo`, `by-retry-count` or `by-error-type=timeout,deadlock`."""
        name, separator, texts = text.partition("=")
        if name == _BY_ERROR_TYPE and separator:
            return cls.by_error_type(texts.split(","))
        if text not in ORDER_BY:
            raise not_allowed("priority", text, TEXT_FORMS)
        return cls(text)

    @property
    def rank(self) -> Literal["retry_count"] | ErrorTypes | None:
        """What ranks letters before their age: nothing, the retry count or the error text.

        :meta private:
        """
        return "retry_count" if self.name == "by-retry-count" else self._ranker

    @property
    def descending(self) -> bool:
        """Whether newer letters come first."""
        return self.name == "lifo"

    @property
    def needs_error_text(self) -> bool:
        """Whether `error_message` must be read to tell the order.

        :meta private:
        """
        return self._ranker is not None

    def order_by_clause(self) -> str:
        """Return the order as the terms of an SQL ORDER BY, for people and other programs.

        It compares `failed_at` as text, which for one written form is the order of the instants.
        """
        if self.name != _BY_ERROR_TYPE:
            return ORDER_BY[self.name]
        cases = " ".join(
            f"WHEN error_message LIKE {_like_pattern(text)} THEN {place}"
            for place, text in enumerate(self.error_types)
        )
        return f"CASE {cases} ELSE {len(self.error_types)} END, failed_at ASC"

    def __str__(self) -> str:
        if self.name == _BY_ERROR_TYPE:
            return f"{self.name}={','.join(self.error_types)}"
        return self.name

    def __repr__(self) -> str:
        if self.name == _BY_ERROR_TYPE:
            return f"{type(self).__name__}.by_error_type({list(self.error_types)!r})"
        return f"{type(self).__name__}.{self.name.upper().replace('-', '_')}"

    # The ranker is made anew from its texts: what a pickle holds must outlive the compiled form.
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.error_types)


ReplayPriority.FIFO = ReplayPriority("fifo")
ReplayPriority.LIFO = ReplayPriority("lifo")
ReplayPriority.BY_RETRY_COUNT = ReplayPriority("by-retry-count")


def _validated(texts: Iterable[str]) -> tuple[str, ...]:
    try:
        return validate_error_types(texts)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"priority {_BY_ERROR_TYPE}: {error}") from error


def _like_pattern(text: str) -> str:
    """Return the SQL of a LIKE pattern for a valid text, in which only `_` is a wildcard."""
    if "_" not in text:
        return f"'%{text}%'"
    return "'%" + text.replace("_", r"\_") + r"%' ESCAPE '\'"
