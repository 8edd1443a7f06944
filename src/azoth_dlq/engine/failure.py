"""An error as a text that can be stored and read, whatever the error is."""

from __future__ import annotations

ERROR_LIMIT = 4096  # characters
_CUT = " … (cut)"


def readable(text: str, limit: int = ERROR_LIMIT) -> str:
    """The text, bounded and without what SQLite cannot take: NUL, lone surrogates."""
    if len(text) > limit:
        text = text[: limit - len(_CUT)] + _CUT
    text = text.replace("\0", "\N{SYMBOL FOR NULL}")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def one_line(text: str) -> str:
    """The text for a log or a terminal: control characters are shown, not obeyed."""
    return text.translate(_CONTROLS)


def describe(error: BaseException) -> str:
    """`Type: message`, bounded and storable; an error whose own text raises is named so."""
    kind = type(error).__qualname__
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 -- whatever it raises, the letter's error is told
        message = f"(its __str__ raised {type(broken).__qualname__})"
    return readable(f"{kind}: {message}" if message else kind)
