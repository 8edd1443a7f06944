"""What the live views show, as lines of a terminal."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rich.text import Text

from azoth_dlq.cli.output import duration_text, first_line
from azoth_dlq.cli.screen import Line, Screen
from azoth_dlq.engine.failure import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azoth_dlq.cli.figures import Field, Figures, TopGroup

# Which lines are left out last where a terminal is low.
_STATE, _FIGURES, _KEYS, _BAR, _GROUPS = range(5)
_LEAST_COLUMN = 22
_GAP = 3
_LONGEST_BAR = 60


def drain_lines(
    figures: Figures, database: str, screen: Screen, seconds: float, *, over: bool
) -> list[Line]:
    """Of a drain or run that goes on for so long, or is over."""
    width = screen.size.columns
    state = "over" if over and figures.ending is None else figures.state()
    elapsed = duration_text(timedelta(seconds=seconds))
    lines = [state_line(state, database, elapsed, is_usual=figures.is_usual)]
    if figures.planned:
        share = min(figures.done / figures.planned, 1.0)
        lines.append(Line(_bar(share, width, boxes=screen.draws_boxes), _BAR))
    lines += field_lines(figures.fields(), width)
    lines += group_lines("failed with", figures.groups())
    if not over:
        keys = [("q", "ends" if figures.ending is None else "interrupts")]
        if figures.ending is None:
            keys.append(("p", "resumes" if figures.replayer.paused else "pauses"))
        lines.append(key_line(keys))
    return lines


def field_lines(fields: Sequence[Field], width: int) -> list[Line]:
    """As many beside one another as there is room for."""
    column = (width + _GAP) // max((width + _GAP) // (_LEAST_COLUMN + _GAP), 1)
    rows = [Text()]
    for field in fields:
        text = Text.assemble((f"{field.name} ", "dim"), (field.value, f"bold {field.style}"))
        place = -(-rows[-1].cell_len // column) * column
        if place and place + text.cell_len > width:
            rows.append(Text())
            place = 0
        rows[-1].pad_right(place - rows[-1].cell_len)
        rows[-1].append_text(text)
        rows[-1].pad_right(_GAP)
    return [Line(row, _FIGURES) for row in rows if row]


def group_lines(heading: str, groups: Sequence[TopGroup]) -> list[Line]:
    """Templates, each after its number of letters, and its fingerprint where that is known."""
    if not groups:
        return []
    numbers = [f"{group.letters:,}" for group in groups]
    width = max(map(len, numbers))
    lines = [Line(Text(heading, "dim"), _GROUPS)]
    for number, group in zip(numbers, groups, strict=True):
        template = one_line(first_line(group.template))
        fingerprint = (f"{group.fingerprint}  " if group.fingerprint else "", "dim")
        shown = Text.assemble((f"{number:>{width}}", "bold"), "  ", fingerprint, template)
        lines.append(Line(shown, _GROUPS))
    return lines


def key_line(keys: Sequence[tuple[str, str]]) -> Line:
    parts = [part for key, does in keys for part in ((key, "bold"), (f" {does}   ", "dim"))]
    return Line(Text.assemble(*parts), _KEYS)


def state_line(state: str, database: str, remark: str, *, is_usual: bool = True) -> Line:
    shown = (one_line(state), "bold" if is_usual else "bold yellow")
    return Line(Text.assemble(shown, "   ", one_line(database), "   ", (remark, "dim")), _STATE)


def _bar(share: float, width: int, *, boxes: bool) -> Text:
    length = max(min(width - 6, _LONGEST_BAR), 1)
    filled = int(share * length)
    done, left = ("━", "─") if boxes else ("#", "-")
    percent = f" {int(share * 100):>3} %"
    return Text.assemble((done * filled, "green"), (left * (length - filled), "dim"), percent)
