"""What programs and people may rely on, as text: public names with their signatures, commands with
their options. `python -m tests.public_api` writes it anew, so that a change shows in a diff.

The kernels' names are in their stubs, which stubtest holds to.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import azoth_dlq
from azoth_dlq import cli

_PRIVATE = ":meta private:"  # what Sphinx leaves out, too: for other modules of the package
PATH = Path(__file__).parent / "data" / "public_api.txt"


def listing() -> str:
    return "\n".join([*_names(), *_commands()]) + "\n"


def _names() -> Iterator[str]:
    for name in sorted(vars(azoth_dlq)["__all__"]):
        value = getattr(azoth_dlq, name)
        yield f"azoth_dlq.{name}{_signature(value)}"
        if isinstance(value, type):
            yield from (f"    {member}" for member in _members(value))


def _members(kind: type) -> Iterator[str]:
    """Those that are ours, also of a base."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("azoth_dlq")]
    found: dict[str, object] = {}
    for base in reversed(ours):
        found |= dict.fromkeys(inspect.get_annotations(base)) | dict(vars(base))
    for name in sorted(found):
        if not name.startswith("_") and _PRIVATE not in (getattr(found[name], "__doc__", "") or ""):
            yield f"{name}{_signature(found[name])}"


def _signature(value: Any) -> str:
    if isinstance(value, property):
        return f" -> {inspect.signature(value.fget).return_annotation}" if value.fget else ""
    if isinstance(value, type) and not value.__module__.startswith("azoth_dlq"):
        return ""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, type) and "__init__" not in _written(value):
        return ""
    if not callable(value):
        return ""
    text = re.sub(r"<function (\w+) at \w+>", r"\1", str(inspect.signature(value)))
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)


def _written(kind: type) -> set[str]:
    """Names that our classes themselves define."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("azoth_dlq")]
    return {name for base in ours for name in vars(base)}


def _commands() -> Iterator[str]:
    group = cli.azoth_dlq
    for name in sorted(group.commands):
        command = group.commands[name]
        yield f"azoth-dlq {name}"
        yield from sorted(f"    {_parameter(one)}" for one in command.params)


def _parameter(one: click.Parameter) -> str:
    if isinstance(one, click.Argument):
        return f"{one.human_readable_name}{' …' if one.nargs < 0 else ''}"
    names = ", ".join([*one.opts, *one.secondary_opts])
    is_flag = isinstance(one, click.Option) and one.is_flag
    return names if is_flag else f"{names} {one.metavar or one.type.name.upper()}"


if __name__ == "__main__":
    PATH.write_text(listing(), encoding="utf-8")
