"""The masking of error texts again, slow and plain."""

from __future__ import annotations

import re
from itertools import groupby, pairwise

from tests.kernels.twins import mix64

LONGEST_TEXT = 4096
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
CODES = frozenset(
    b"code errno error exit http signal sqlstate status status_code statuscode winerror".split()
)
NUMBERED = frozenset(b"dpi dpy ora pls tns".split())
BEFORE_ADDRESSES = frozenset(b"at broker connecting from host server tcp to".split())
METHODS = frozenset(b"delete get head patch post put".split())

QUOTES = b"\"'`"
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


# Each tells how long what it knows is, at a place.


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


# Which lines tell what went wrong


def telling(text: bytes) -> bytes:
    kept, where = [], "prose"
    for line in re.findall(rb"[^\n]*\n|[^\n]+", text):
        content = line.rstrip(b"\n")
        if where == "goroutines":
            continue
        inner = content.lstrip(b" \t")
        if inner != content:
            if re.match(rb"at |File \"|\.\.\. \d|\d+:", inner):
                where = "trace"
            if where != "trace" and inner.strip(b"^~ \r"):
                kept.append(line)
            continue
        where = "prose"
        if content.startswith(b"Traceback (most recent call last):"):
            where = "trace"
        elif re.match(rb"goroutine \d", content):
            where = "goroutines"
        elif not re.match(rb"LINE \d|\[parameters: |\[signal |note: run with `RUST_BACKTRACE", content):
            kept.append(line)
    return b"".join(kept)


def cut(text: bytes) -> bytes:
    end = min(len(text), LONGEST_TEXT)
    for _ in range(3):
        if end < len(text) and text[end] & 0xC0 == 0x80:
            end -= 1
    return text[:end]


def behind_type(text: bytes) -> int:
    match = re.match(rb"((?:\w*\.)*)(\w*):( +)", text)
    if not match:
        return 0
    last = match[2]
    is_type = last.endswith((b"Error", b"Exception")) or last.lower() in (b"error", b"fatal", b"panic")
    return match.end() if is_type and text[match.end() :].count(b" ") >= 2 else 0


class Masking:
    """A text, and its template as far as it is made."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.place = behind_type(text)
        self.out = b""
        self.mask_end: int | None = None
        self.word = b""
        self.word_end = -1
        self.literal: set[int] = set()  # quotes that end a sentence

    def copy(self, end: int) -> None:
        self.out += self.text[self.place : end]
        self.place = max(self.place, end)

    def put(self, placeholder: bytes, length: int) -> bool:
        if length == 0:
            return False
        self.place += length
        gap = b"?" if self.mask_end is None else self.out[self.mask_end :]
        enclosed = gap.endswith(b"(") and at(self.text, self.place) == b")"
        if len(gap) <= 3 and not gap[: len(gap) - enclosed].strip(b" ,:;=-/>."):
            self.out = self.out[: self.mask_end]
            self.place += enclosed
            return True
        self.out += placeholder
        self.mask_end = len(self.out)
        return True

    def follows_code(self) -> bool:
        gap = self.text[self.word_end : self.place]
        if self.word_end < 0 or len(gap) > 3:
            return False
        odd = gap.lstrip(b" =:#([")
        if odd:
            return odd.startswith(b"-") and self.word in NUMBERED
        return bool(gap) and self.word in CODES

    def note_word(self, end: int) -> None:
        self.word, self.word_end = self.text[self.place : end].lower(), end

    def mask_token(self) -> None:
        text, place = self.text, self.place
        end = place + found(rb"\w+", text, place)
        word = text[place:end]
        digits = bool(re.search(rb"\d", word))
        follow = at(text, end)
        if not digits and (self.stands_alone(end) or (follow == b"-" and word.lower() in NUMBERED)):
            self.mask_plain(end)
        elif digits and len(word) <= 5 and follow != b"." and self.follows_code():
            self.copy(end)
        elif not self.mask_shape(follow):
            self.note_word(end)
            if digits and not re.match(rb"[A-Za-z]+\d\Z", word):
                self.mask_word(end)
            elif digits and not found(rb"\.[A-Za-z]", text, end):
                self.mask_word(end)
            else:
                version = found(rb"/\d(?:\.\d)?", text, end) if word.lower() == b"http" else 0
                self.copy(end + version)

    def stands_alone(self, end: int) -> bool:
        follow, after = at(self.text, end), at(self.text, end + 1)
        if not follow or follow not in b":.-@+%/\\":
            return True
        is_joined = is_word(self.text, end + 1) or (after and after in b"/\\:")
        return follow != b"@" and not is_joined

    def mask_plain(self, end: int) -> None:
        word = self.text[self.place : end]
        if word.lower() in METHODS and found(rb" (?:\"?/|\"?http|request)", self.text, end):
            self.put(b"<method>", len(word))
            return
        self.note_word(end)
        is_plural = len(word) >= 4 and word.endswith(b"s") and not word.endswith(b"ss")
        self.out += word[:-1] if is_plural and self.out.endswith(b"<num> ") else word
        self.place = end

    def mask_shape(self, follow: bytes) -> bool:
        text, place = self.text, self.place
        figure = at(text, place).isdigit()
        expected = follow == b":" and self.word in BEFORE_ADDRESSES
        ways = [
            (b":+", b"<url>", url),
            (b".-@+%", b"<email>", email),
            (None, b"<time>", time),
            (b"-", b"<uuid>", uuid),
            (None, b"<hex>", pointer),
            (b".:", b"<address>", ip),
            (b".-:", b"<address>", lambda text, place: host(text, place, expected=expected)),
            (b"./:-", b"<path>", path),
            (b".", b"<name>", dotted),
            (b"-", b"<id>", hyphened),
            (None, b"<num>", number),
        ]
        return any(
            self.put(placeholder, shape(text, place))
            for before, placeholder, shape in ways
            if (figure if before is None else follow and follow in before)
        )

    def mask_word(self, end: int) -> None:
        while self.place < end:
            segment = self.text[self.place : end].partition(b"_")[0]
            start = self.place
            kinds = [chr(c).isdigit() for c in segment]
            switches = sum(one != other for one, other in pairwise(kinds))
            if not any(kinds):
                self.copy(start + len(segment))
            elif switches and len(segment) >= 8 and re.fullmatch(HEX + b"+", segment):
                self.put(b"<hex>", len(segment))
            elif switches >= 3 or (switches and len(segment) >= 16):
                self.put(b"<id>", len(segment))
            else:
                for is_figure, run in groupby(kinds):
                    length = len(list(run))
                    if not is_figure:
                        self.copy(self.place + length)
                    else:
                        self.put(b"<num>", length)
            self.copy(min(start + len(segment) + 1, end))

    def mask_quoted(self) -> None:
        place, quote = self.place, at(self.text, self.place)
        before = self.text[place - 1 : place] if place else b""
        if re.match(rb"[\w\x80-\xff]", before) or place in self.literal:
            return self.copy(place + 1)
        closing = re.compile(rb"(?<!\\)%s(?![\w\x80-\xff])" % re.escape(quote))
        closed = closing.search(self.text, place + 1)
        if not closed:
            return self.copy(place + 1)
        inner = self.text[place + 1 : closed.start()]
        if re.match(rb"\d\d\d [A-Za-z]", inner) or inner.count(b" ") >= 4:
            self.literal.add(closed.start())
            return self.copy(place + 1)
        self.put(b"<quoted>", closed.end() - place)
        return None

    def mask_values(self) -> bool:
        place = self.place
        before = self.text[place - 1 : place] if place else b""
        is_after = self.word_end == place - 1 and self.word in (b"contains", b"key")
        if before != b"=" and not (before == b" " and is_after):
            return False
        closed = re.compile(rb"\)(?=[ .,;=\n\0]|\Z)").search(self.text, place + 1)
        return self.put(b"<quoted>", closed.end() - place) if closed else False

    def mask_sign(self) -> None:
        place, sign = self.place, at(self.text, self.place)
        before = self.text[place - 1 : place] if place else b""
        is_first = not re.match(rb"[\w\x80-\xff]", before)
        if sign in QUOTES:
            self.mask_quoted()
        elif sign == b"(" and self.mask_values():
            return
        elif sign in b"[:" and self.put(b"<address>", ip(self.text, place)):
            return
        elif sign in b"/~." and is_first and before != b"." and self.put(
            b"<path>", path(self.text, place)
        ):
            return
        elif sign in b"-+" and is_first and before != b")" and found(rb"\d", self.text, place + 1):
            self.place += 1
            self.mask_token()
        else:
            self.copy(place + 1)

    def masked(self) -> bytes:
        while self.place < len(self.text):
            if is_word(self.text, self.place):
                self.mask_token()
            elif spaces := found(rb"[ \t-\r]+", self.text, self.place):
                self.place += spaces
                self.out += b" " if self.out and not self.out.endswith(b" ") else b""
            else:
                self.mask_sign()
        return self.out.removesuffix(b" ")


def template(text: str | bytes | bytearray) -> str:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    counted = cut(raw)
    if b"\n" in counted:
        counted = telling(counted)
    try:
        counted.decode()
    except UnicodeDecodeError:
        counted = re.sub(rb"[\x80-\xff]+", b"?", counted)
    return Masking(counted).masked().decode()


def fingerprint(text: str | bytes | bytearray) -> str:
    hashed = 0xCBF29CE484222325
    for byte in template(text).encode():
        hashed = (hashed ^ byte) * 0x100000001B3 % 2**64
    return f"{mix64(hashed):016x}"
