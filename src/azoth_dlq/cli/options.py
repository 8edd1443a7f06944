"""Settings as options and as keys of a TOML file: one for each field of `DlqReplayConfig`."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from azoth_dlq.backoff import FORMS as BACKOFF_FORMS
from azoth_dlq.cli.database import FILE
from azoth_dlq.cli.help import Setting
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.errors import ConfigError
from azoth_dlq.priority import ORDER_BY
from azoth_dlq.priority import TEXT_FORMS as PRIORITY_FORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_HELP: Final = {
    "enabled": "Whether `run` replays at all; a drain does not ask.",
    "check_interval": "The longest that `run` sleeps between two looks for due letters.",
    "max_retries": "Attempts before a letter is parked.",
    "backoff": f"The delay after a failed attempt: {BACKOFF_FORMS}.",
    "min_age": "The least time since the failure or the last attempt.",
    "batch_size": "Letters that one cycle of a program attempts; drains do not ask.",
    "priority": PRIORITY_FORMS,
    "stop_on_consecutive_failures": "Failures in a row that end a drain; never: however many.",
    "jitter": "The share of its backoff by which a delay may be lessened, 0 to 1.",
    "max_transaction_time": "After how long a group of letters is committed.",
    "yield_time": "How long the file is left to others after each second of held lock.",
    "busy_timeout": "How long a locked file is waited for.",
    "history_limit": "Failed and snoozed attempts that are kept for each letter.",
    "memory_limit": "Bytes of payloads held at once; at least 1048576.",
    "cache_size": "Bytes of the file that SQLite may keep, at least; from 1048576.",
    "mmap_size": "Bytes of the file that SQLite maps into memory; 0: none.",
    "concurrency": "Attempts at once of handlers registered with transactional=False.",
    "timeout": (
        "How long a handler registered with transactional=False may take, where it has no timeout "
        "of its own."
    ),
    "rate_limit": (
        "The most attempts a second, of all handlers of this process together: 50/s, 600/m, "
        "3600/h. In a file: rate_limit."
    ),
    "retention": (
        "How long ago letters were parked, and attempts made, that `run` deletes, at its beginning "
        "and once an hour."
    ),
}
_METAVARS: Final = {
    "timedelta": "DURATION",
    "timedelta | None": "DURATION",
    "int": "N",
    "float": "X",
    "int | None": "N",
}
_FLAGS: Final = {"rate_limit": "rate"}
_WORDS: Final = {
    "priority": tuple(ORDER_BY),
    "stop_on_consecutive_failures": ("never",),
    "timeout": ("never",),
    "retention": ("never",),
    "rate_limit": ("unlimited",),
}
_FOR_NONE: Final = ("never", "unlimited")
_LARGEST_FILE: Final = 16 * 1024  # tomllib takes a second for the worst of that size
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")
_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE]-?[0-9]{1,3})?|-?\.[0-9]+")


def settings_options(
    command: _Command, *, only: Container[str] | None = None, but: Container[str] = ()
) -> _Command:
    """Add `--config` and an option for each setting (of those in `only`, and not in `but`) to a
    command."""
    defaults = DlqReplayConfig().to_mapping()
    for field in reversed(fields(DlqReplayConfig)):
        if (only is None or field.name in only) and field.name not in but:
            command = _option(field.name, str(field.type), defaults[field.name])(command)
    return click.option(
        "--config",
        cls=Setting,
        metavar="FILE.toml",
        type=FILE,
        help="Settings as top-level keys, named as the options with _ for -; options win over it.",
    )(command)


def load_config(file: str | None, options: Mapping[str, Any]) -> DlqReplayConfig:
    """Make the settings of a file and of the options that were given, which win.

    Errors: click.BadParameter.
    """
    settings = {} if file is None else read_settings(file)
    settings.update({name: value for name, value in options.items() if value is not None})
    return DlqReplayConfig.from_mapping(settings)


def any_given(file: str | None, options: Mapping[str, Any]) -> bool:
    """Whether a file or any option was given."""
    return file is not None or any(value is not None for value in options.values())


def _option(name: str, kind: str, default: Any) -> Callable[[_Command], _Command]:
    flag = _FLAGS.get(name, name).replace("_", "-")
    words = _WORDS.get(name, ())
    shown_default = words[-1] if default is None and words else _default_text(default)
    shown = f"{_HELP[name]}  [default: {shown_default}]"
    if kind == "bool":
        return click.option(f"--{flag}/--no-{flag}", name, default=None, help=shown, cls=Setting)
    metavar = "RATE" if name == "rate_limit" else _METAVARS.get(kind, "TEXT")
    metavar += "".join(f"|{word}" for word in words if word in _FOR_NONE)
    return click.option(
        *dict.fromkeys((f"--{flag}", f"--{name.replace('_', '-')}")),
        name,
        cls=Setting,
        metavar=metavar,
        help=shown,
        callback=partial(_checked, kind),
        shell_complete=partial(_words, name),
    )


def _words(name: str, _context: object, _option: object, start: str) -> list[str]:
    """The values of a setting that are words without parameters."""
    return [word for word in _WORDS.get(name, ()) if word.startswith(start)]


def _checked(kind: str, context: click.Context, option: click.Parameter, text: str | None) -> Any:
    """The plain value of one setting, refused where `DlqReplayConfig` refuses it."""
    if text is None:
        return None
    plain = _plain(text, kind)
    try:
        DlqReplayConfig.from_mapping({str(option.name): plain})
    except ConfigError as error:
        # click names the option.
        message = str(error).removeprefix(f"{option.name}=")
        raise click.BadParameter(message, context, option) from None
    return plain


def _plain(text: str, kind: str) -> int | float | str:
    """The number that a text stands for where the setting is one; what is no number stays text."""
    if kind.startswith("int") and _INTEGER.fullmatch(text):
        return int(text)
    if kind.startswith("float") and _DECIMAL.fullmatch(text):
        return float(text)
    return text


def _default_text(default: Any) -> str:
    if default is None:
        return "as SQLite has it"
    return str(default).lower() if isinstance(default, bool) else str(default)


def read_settings(file: str) -> dict[str, Any]:
    """The settings of a TOML file, checked. Errors: click.BadParameter."""
    import tomllib  # noqa: PLC0415 -- most commands are given no file

    try:
        with open(file, "rb", opener=_open_at_once) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise _wrong(f"{file} is no ordinary file; give the path of a TOML file")
            content = opened.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise _wrong(f"{file} holds no settings: it has more than {_LARGEST_FILE} bytes")
        settings = tomllib.loads(content.decode())
        DlqReplayConfig.from_mapping(settings)
    except OSError as error:
        raise _wrong(f"{file} cannot be read: {error.strerror}") from None
    except ConfigError as error:
        raise _wrong(f"{file}: {error}") from None
    except UnicodeDecodeError as error:
        raise _wrong(f"{file} is not UTF-8, as TOML must be, at byte {error.start + 1}") from None
    # Of a number with thousands of digits, and of arrays nested as deep.
    except (ValueError, RecursionError) as error:
        raise _wrong(f"{file} is not TOML: {error}") from None
    return settings


def _open_at_once(file: str, flags: int) -> int:
    """A pipe would be waited for."""
    return os.open(file, flags | getattr(os, "O_NONBLOCK", 0))


def _wrong(message: str) -> click.BadParameter:
    # None where the file is read again while a run goes on.
    context = click.get_current_context(silent=True)
    return click.BadParameter(message, context, param_hint="--config")
