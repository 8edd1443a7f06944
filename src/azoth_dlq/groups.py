"""Letters grouped by what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from azoth_dlq.clock import optional_datetime, rfc3339
from azoth_dlq.event_type import shown_event_type
from azoth_dlq.kernels.templates import Group, tally, template

if TYPE_CHECKING:
    from datetime import datetime

    from azoth_dlq.store.base import Letters

COMMONEST_TYPES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """Letters whose latest errors have one template: the same text, but for numbers, ids, quoted
    parts, paths and the like, which stand in it as `<num>`, `<quoted>`, `<path>`, ….

    `fingerprint` is that of the template, the same in every process and version. `share` is of all
    letters that were grouped. `first_seen` and `last_seen` (UTC) are the ends of `failed_at`, None
    where none can be read. `retry_counts` is how many letters have been attempted how often,
    `event_types` the commonest types of event with their letters. `example` is the error of the
    newest letter, its first 4096 bytes, and `example_id` that letter's id.
    """

    fingerprint: str
    template: str
    count: int
    share: float
    example_id: int
    example: str
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    retry_counts: dict[int, int] = field(default_factory=dict)
    event_types: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the group ready for JSON: instants as RFC 3339 in UTC."""
        return {
            "fingerprint": self.fingerprint,
            "template": self.template,
            "count": self.count,
            "share": self.share,
            "first_seen": rfc3339(self.first_seen),
            "last_seen": rfc3339(self.last_seen),
            "retry_counts": {str(count): n for count, n in self.retry_counts.items()},
            "event_types": [
                {"event_type": name, "letters": n} for name, n in self.event_types.items()
            ],
            "example": self.example,
            "example_id": self.example_id,
        }


class Grouping(NamedTuple):
    """The largest groups of `letters` letters, how many groups there are, and how many letters are
    in none: there were too many groups, and theirs was among the smallest."""

    groups: list[LetterGroup]
    letters: int
    found: int
    other: int

    @property
    def not_shown(self) -> int:
        """How many letters are in groups beyond the largest."""
        return self.letters - self.other - sum(group.count for group in self.groups)


def group_letters(
    store: Letters, ids: Sequence[int] | None = None, *, parked: bool = False, limit: int
) -> Grouping:
    """Group those of `ids` (all: None) in one pass; at most `limit` groups are told, most letters
    first, ties by fingerprint. Errors: StorageError."""
    with store.errors(ids, parked=parked) as rows:
        groups, letters, other = tally(rows, shown_event_type)
    groups.sort(key=lambda group: (-group.count, group.fingerprint))
    return Grouping(
        [_told(group, letters) for group in groups[:limit]], letters, len(groups), other
    )


def _told(group: Group, letters: int) -> LetterGroup:
    types = sorted(group.event_types.items(), key=lambda item: (-item[1], item[0]))
    return LetterGroup(
        fingerprint=group.fingerprint,
        template=template(group.example),
        count=group.count,
        share=group.count / letters,
        example_id=group.newest,
        example=group.example.decode("utf-8", "replace"),
        first_seen=optional_datetime(group.first_seen),
        last_seen=optional_datetime(group.last_seen),
        retry_counts=dict(sorted(group.retry_counts.items())),
        event_types=dict(types[:COMMONEST_TYPES]),
    )
