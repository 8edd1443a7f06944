"""What `--help` shows: of a command as a manual page does, of all of them by what they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from azoth_dlq.durations import TEXT_FORMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEADINGS: Final = {False: "Options", True: "Settings"}
VARIABLE: Final = "AZOTH_DLQ_DB"
"""Names the file where DB is left out."""

_VALUES: Final = {
    "DB": f"the SQLite file with the letters; may be left out where {VARIABLE} names it",
    "[ID]...": "ids, such as 17, and ranges, such as 20-30; - reads them from stdin",
    "DURATION": TEXT_FORMS,
    "TIME": "a date, with or without a time of day, or a DURATION ago; local, unless it ends in Z "
    "or an offset",
}
DONE_OR_NOT: Final = {
    0: "done",
    1: "an error, told in one line on stderr",
    2: "wrong usage",
    130: "interrupted",
}
"""The exit codes of every command; what 1 is besides, a command tells."""


class Setting(click.Option):
    """An option that is a setting of replays: listed apart from the others."""


class Command(click.Command):
    """A command whose help ends with its exit codes and with commands that go with it.

    `exit_codes`: those that mean more than in DONE_OR_NOT. `see_also`: names of commands.
    """

    def __init__(
        self,
        *args: Any,
        exit_codes: Mapping[int, str] | None = None,
        see_also: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.exit_codes = {**DONE_OR_NOT, **(exit_codes or {})}
        self.see_also = see_also

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records: dict[bool, list[tuple[str, str]]] = {False: [], True: []}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None and isinstance(option, click.Option):
                records[isinstance(option, Setting)].append(record)
        for is_setting, heading in _HEADINGS.items():
            if records[is_setting]:
                with formatter.section(heading):
                    formatter.write_dl(records[is_setting])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        usage = " ".join(param.make_metavar(ctx) for param in self.get_params(ctx))
        values = [(name, what) for name, what in _VALUES.items() if name in usage.split()]
        if values:
            with formatter.section("Where"):
                formatter.write_dl(values)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), what) for code, what in self.exit_codes.items()])
        with formatter.section("See also"):
            names = f"{', '.join(self.see_also)}: " if self.see_also else ""
            formatter.write_text(f"{names}azoth-dlq [COMMAND] --help")


class Commands(click.Group):
    """Commands under headings: `headings` has the names below each, in the order shown."""

    def __init__(self, *args: Any, headings: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headings = headings

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- the base's
        return [name for names in self._headings.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(ctx)))
        for heading, names in self._headings.items():
            with formatter.section(heading):
                commands = [(name, self.get_command(ctx, name)) for name in names]
                limit = formatter.width - 6 - width
                formatter.write_dl(
                    [
                        (f"{name:<{width}}", command.get_short_help_str(limit))
                        for name, command in commands
                        if command is not None
                    ]
                )
