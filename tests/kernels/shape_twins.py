"""What is masked in error texts, slow and plain.

Each function tells how long what it knows is at a place; 0 where it is not there.
"""

from __future__ import annotations

import re

LONGEST_NAME = 100
DOMAINS = frozenset(
    b"ai app biz ch cloud com corp de dev edu eu fr gov info internal io lan local net nl org svc "
    b"test uk us".split()
)
FILES = frozenset(
    b"bin c cc cfg conf cpp cs csv db go h html ini jar java js json kt log md pdf php py pyx rb "
    b"rs scala sh so sql toml ts txt xml yaml yml".split()
)
UNITS = frozenset(b"b kb mb gb tb kib mib gib d h m min ms ns s us k".split())
UNIT_WORDS = frozenset(
    b"b kb mb gb kib mib gib byte bytes day days hour hours min mins minute minutes millisecond "
    b"milliseconds ms s sec second seconds secs us".split()
)
BODY = rb"[^\x00-\x20\"'`<>(){}\[\]|]*"
DAY_TIME = (
    rb"\d\d:\d\d:\d\d(?!\d)(?:[.,]\d++)?+"
    rb"(?>Z|[+-]\d{4}(?!\d)|[+-]\d\d(?!\d)(?::\d\d(?!\d))?+)?+(?!\w)"
)
DATE = rb"\d{4}([-/])\d\d\1\d\d(?!\d)(?:[T ]" + DAY_TIME + rb")?+(?!\w)"
HEX = rb"[0-9A-Fa-f]"
PORT = rb"(?:[:/]\d{1,5}(?!\w))?+"


def found(pattern: bytes, text: bytes, place: int) -> int:
    """How much of what stands at `place` the pattern takes."""
    match = re.compile(pattern, re.DOTALL).match(text, place)
    return match.end() - place if match else 0


def without_end(text: bytes, signs: bytes) -> int:
    return len(text.rstrip(signs))


def at(text: bytes, place: int) -> bytes:
    return text[place : place + 1]


def is_word(text: bytes, place: int) -> bool:
    return found(rb"\w", text, place) > 0


def body(text: bytes, place: int) -> int:
    return without_end(text[place : place + found(BODY, text, place)], b".,:;!?")


def name(text: bytes, place: int) -> bytes:
    run = found(rb"[\w.-]{0,%d}" % LONGEST_NAME, text, place)
    return text[place : place + run].rstrip(b".-")


def is_lower(label: bytes) -> bool:
    return not re.search(rb"[A-Z]", label)


def url(text: bytes, place: int) -> int:
    scheme = found(rb"[\w+]{1,16}://", text, place)
    return scheme and scheme + body(text, place + scheme)


def email(text: bytes, place: int) -> int:
    local = found(rb"[\w.+%%-]{1,%d}@" % LONGEST_NAME, text, place)
    domain = name(text, place + local)
    return local + len(domain) if local and b"." in domain else 0


def time(text: bytes, place: int) -> int:
    return found(DATE if found(rb"\d{4}(?!\d)", text, place) else DAY_TIME, text, place)


def uuid(text: bytes, place: int) -> int:
    parts = [HEX + rb"{%d}(?!%s)" % (length, HEX) for length in (8, 4, 4, 4, 12)]
    return found(b"-".join(parts) + rb"(?!\w)", text, place)


def pointer(text: bytes, place: int) -> int:
    return found(rb"0[xX]" + HEX + rb"++(?!\w)", text, place)


def ip6(text: bytes, place: int) -> int:
    length = found(HEX + rb"*+(?::" + HEX + rb"*+){0,7}+", text, place)
    groups = text[place : place + length].split(b":")
    colons = len(groups) - 1
    if max(map(len, groups)) > 4 or not (colons == 7 or (colons >= 2 and length > 2)):
        return 0
    return 0 if found(rb"[\w:]", text, place + length) else length


def ip(text: bytes, place: int) -> int:
    if at(text, place) == b"[":
        inner = ip6(text, place + 1)
        end = place + 1 + inner
        closed = inner and at(text, end) == b"]"
        return end + 1 + found(PORT, text, end + 1) - place if closed else 0
    four = found(rb"(?:\d{1,3}\.){3}\d{1,3}(?!\d)" + PORT + rb"(?!\w)", text, place)
    return four or ip6(text, place)


def host(text: bytes, place: int, *, expected: bool) -> int:
    whole = name(text, place)
    labels = whole.split(b".")
    if not whole or not is_lower(whole):
        return 0
    end = place + len(whole)
    port = found(PORT, text, end) if at(text, end) == b":" else 0
    if whole == b"localhost":
        return len(whole) + port
    is_one = expected or re.search(rb"[\d.-]", whole)
    unit = found_unit_word(text, end + port)
    if port > 2 and is_one and labels[-1] not in FILES and not unit:
        return len(whole) + port
    return len(whole) if len(labels) > 1 and labels[-1] in DOMAINS else 0


def relative_path(text: bytes, place: int) -> int:
    end, parts = place, []
    while part := name(text, end):
        parts.append(part)
        end += len(part)
        if not found(rb"/\w", text, end):
            break
        end += 1
    extension = parts[-1].lower().split(b".")[1:][-1:] if parts else []
    is_file = bool(extension) and extension[0] in FILES
    if len(parts) < 3 and not is_file:
        return 0
    return end + found(rb"(?::\d++(?!\w)){0,2}+", text, end) - place


def path(text: bytes, place: int) -> int:
    start = found(rb"~|\.\.?+", text, place)
    if start:
        return start + body(text, place + start) if at(text, place + start) == b"/" else 0
    if at(text, place) == b"/":
        return 0 if at(text, place + 1) == b"/" else body(text, place)
    if found(rb"[A-Za-z]:\\", text, place):
        return body(text, place)
    return relative_path(text, place)


def dotted(text: bytes, place: int) -> int:
    whole = name(text, place)
    first, dot, last = whole.rpartition(b".")
    fits = dot and first and is_lower(last) and last[:1].isalpha()
    return len(whole) if fits else 0


def hyphened(text: bytes, place: int) -> int:
    run = found(rb"(?:\w|-(?=\w)){0,%d}" % LONGEST_NAME, text, place)
    before, _, last = text[place : place + run].rpartition(b"-")
    return run if before and re.search(rb"\d", last) else 0


def found_unit_word(text: bytes, place: int) -> int:
    length = found(rb" [A-Za-z]+(?!\w)", text, place)
    return length if text[place + 1 : place + length].lower() in UNIT_WORDS else 0


def found_unit(text: bytes, place: int) -> int:
    micro = found("µ|μ".encode(), text, place)
    letters = found(rb"[A-Za-z]+", text, place + micro)
    unit = text[place + micro : place + micro + letters]
    return micro + letters if unit.lower() in UNITS else 0


def number(text: bytes, place: int) -> int:
    end = whole = place
    while figures := found(rb"\d+", text, end):
        end += figures
        while more := found(rb"[.,]\d+", text, end):
            whole = end
            end += more
        end += found(rb"%", text, end) or found_unit(text, end)
    if end == place or is_word(text, end):
        return whole - place
    return end + found_unit_word(text, end) - place
