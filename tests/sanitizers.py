"""AddressSanitizer and UndefinedBehaviorSanitizer, where the tests run with them: see noxfile."""

from __future__ import annotations

import os
from pathlib import Path

_VARIABLES = ("LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS")
HAVE_OURS = "libasan" in os.environ.get("LD_PRELOAD", "")


def preload(library: Path) -> dict[str, str]:
    """What a process needs to have `library` preloaded; that of a sanitizer has to come first."""
    return {"LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()}


def environment_without() -> dict[str, str]:
    """For a program that has sanitizers of its own."""
    return {name: value for name, value in os.environ.items() if name not in _VARIABLES}
