"""The masking of error texts again, slow and plain."""

from __future__ import annotations

import re
from itertools import groupby, pairwise

from tests.kernels import shape_twins as shapes
from tests.kernels.shape_twins import at, found, is_word
from tests.kernels.twins import mix64

LONGEST_TEXT = 4096
CODES = frozenset(
    b"code errno error exit http signal sqlstate status status_code statuscode winerror".split()
)
NUMBERED = frozenset(b"dpi dpy ora pls tns".split())
BEFORE_ADDRESSES = frozenset(b"at broker connecting from host server tcp to".split())
METHODS = frozenset(b"delete get head patch post put".split())
QUOTES = b"\"'`"


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
        elif not re.match(
            rb"LINE \d|\[parameters: |\[signal |note: run with `RUST_BACKTRACE", content
        ):
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
    is_type = last.endswith((b"Error", b"Exception")) or last.lower() in (
        b"error",
        b"fatal",
        b"panic",
    )
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
            if (digits and not re.match(rb"[A-Za-z]+\d\Z", word)) or (
                digits and not found(rb"\.[A-Za-z]", text, end)
            ):
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
            self.mask_end = None
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
            (b":+", b"<url>", shapes.url),
            (b".-@+%", b"<email>", shapes.email),
            (None, b"<time>", shapes.time),
            (b"-", b"<uuid>", shapes.uuid),
            (None, b"<hex>", shapes.pointer),
            (b".:", b"<address>", shapes.ip),
            (b".-:", b"<address>", lambda text, place: shapes.host(text, place, expected=expected)),
            (b"./:-", b"<path>", shapes.path),
            (b".", b"<name>", shapes.dotted),
            (b"-", b"<id>", shapes.hyphened),
            (None, b"<num>", shapes.number),
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
            elif switches and len(segment) >= 8 and re.fullmatch(shapes.HEX + b"+", segment):
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
        elif (
            (sign == b"(" and self.mask_values())
            or (sign in b"[:" and self.put(b"<address>", shapes.ip(self.text, place)))
            or (
                sign in b"/~."
                and is_first
                and before != b"."
                and self.put(b"<path>", shapes.path(self.text, place))
            )
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
