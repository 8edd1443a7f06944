"""`--handlers package.module:attribute`: the registry that a user's module holds."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, Final

import click

from azoth_dlq.cli.output import stdout_reserved
from azoth_dlq.engine.failure import describe
from azoth_dlq.registry import EventHandlerRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_FORM: Final = "package.module:attribute, such as bank.handlers:registry"

handlers_option: Callable[[Any], Any] = click.option(
    "--handlers",
    required=True,
    metavar="MODULE:REGISTRY",
    help="The EventHandlerRegistry to use; the current directory is importable, last of all.",
)


@stdout_reserved()
def load_registry(path: str) -> EventHandlerRegistry:
    """Import the registry at `package.module:attribute`, which may print: to stderr.

    Errors: click.BadParameter.
    """
    module_name, _, attribute = path.partition(":")
    _check_form(path, module_name, attribute)
    _make_importable()
    found = _attribute(_module(module_name), attribute, path)
    if not isinstance(found, EventHandlerRegistry):
        kind = type(found).__name__
        raise _wrong(f"{path} is of type {kind}; it must be an azoth_dlq.EventHandlerRegistry")
    if not found.event_types:
        raise _wrong(f"{path} has no handlers; register some when {module_name} is imported")
    return found


def _make_importable() -> None:
    """Behind all others, so that no file that happens to lie in the current directory is taken for
    a module of Python's or of an installed package; by its path, for handlers may change it."""
    with suppress(FileNotFoundError):  # it was removed
        directory = os.getcwd()  # noqa: PTH109 -- pathlib would be imported for it alone
        if directory not in sys.path:
            sys.path.append(directory)


def _wrong(message: str) -> click.BadParameter:
    return click.BadParameter(message, click.get_current_context(), param_hint="--handlers")


def _check_form(path: str, module_name: str, attribute: str) -> None:
    if "/" in path or "\\" in path or module_name.endswith(".py"):
        raise _wrong(f"{path!r} is the path of a file; it must be {_FORM}")
    names = [*module_name.split("."), *attribute.split(".")]
    if not all(name.isidentifier() for name in names):
        raise _wrong(f"{path!r} must be {_FORM}")


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        raise _wrong(_not_found(name, error)) from error
    # An import runs whatever the module holds, sys.exit() too.
    except BaseException as error:
        raise _wrong(f"importing {name} raised {describe(error)}{_place(error)}") from error


def _not_found(name: str, error: ModuleNotFoundError) -> str:
    missing = error.name
    if missing is None or not f"{name}.".startswith(f"{missing}."):
        return f"importing {name} needs a module that is not there: {error}{_place(error)}"
    whole = "" if missing == name else f" (of {name})"
    return (
        f"there is no module {missing}{whole} in the current directory or among the installed "
        "packages; check its name, and the directory that the command is run in"
    )


def _place(error: BaseException) -> str:
    """Where a module's own code, or what it called, went wrong."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}, line {error.lineno})"
    frames = [
        frame
        for frame in extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen importlib") and frame.filename != __file__
    ]
    frames = [frame for frame in frames if frame.filename != importlib.__file__]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _attribute(module: ModuleType, path: str, whole: str) -> object:
    found: object = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise _wrong(f"{whole}: {_no_attribute(module, found, name)}") from None
    return found


def _no_attribute(module: ModuleType, holder: object, name: str) -> str:
    import difflib  # noqa: PLC0415 -- most names are there

    attributes: dict[str, object] = getattr(holder, "__dict__", {})
    registries = [key for key, value in attributes.items() if _is_registry(value)]
    known = difflib.get_close_matches(name, registries, n=1) or registries
    hint = f"; did you mean {' or '.join(known)}?" if known else ""
    where = module.__name__ if holder is module else type(holder).__name__
    return f"{where} has no attribute {name}{hint}"


def _is_registry(value: object) -> bool:
    return isinstance(value, EventHandlerRegistry)
