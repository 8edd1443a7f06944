"""What exports and imports hand out: how they went."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from array import array


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote: so many dead letters and permanent failures.

    `file`: its name; None for a stream. `resumed`: those of them that an earlier export, which was
    interrupted, had written. `restarted`: why what it had written was not gone on with. Where ids
    were given, `dead_ids` and `parked_ids` are those of the letters in the file, in its order.
    """

    file: str | None
    dead: int
    parked: int
    resumed: int = 0
    restarted: str | None = None
    duration: timedelta = timedelta(0)
    dead_ids: array[int] | None = None
    parked_ids: array[int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report ready for JSON, without the ids: the duration in seconds."""
        return {
            "file": self.file,
            "dead_letters": self.dead,
            "permanent_failures": self.parked,
            "resumed": self.resumed,
            "restarted": self.restarted,
            "duration": self.duration.total_seconds(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import brought in: so many dead letters and permanent failures.

    Left out were letters that are `here`, that came in `before` (or stand twice in the file), and
    own ones of this file that are `gone`: they may have been replayed. `format`: what the file
    was. `dry_run`: nothing was written, this is what would have been.
    """

    format: str
    dead: int = 0
    parked: int = 0
    here: int = 0
    before: int = 0
    gone: int = 0
    dry_run: bool = False
    duration: timedelta = timedelta(0)

    @property
    def skipped(self) -> int:
        """Letters of the file that were left out."""
        return self.here + self.before + self.gone

    def as_dict(self) -> dict[str, Any]:
        """Return the report ready for JSON: the duration in seconds."""
        plain = asdict(self)
        plain["dead_letters"], plain["permanent_failures"] = plain.pop("dead"), plain.pop("parked")
        return {**plain, "skipped": self.skipped, "duration": self.duration.total_seconds()}
