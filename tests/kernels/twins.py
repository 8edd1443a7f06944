"""The kernels again, slow and plain: big integers, datetime and sorted()."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from math import floor

from azoth_dlq.kernels.backoff import EXPONENTIAL, FIXED
from azoth_dlq.kernels.eligibility import NONE, UNREADABLE, Verdict

LONGEST = 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

Row = tuple[object, ...]


@cache
def fibonacci(place: int) -> int:
    last, value = 0, 1
    for _ in range(place):
        last, value = value, last + value
    return value


def delay(kind: int, initial: int, maximum: int, attempt: int) -> int:
    if kind == FIXED:
        return initial
    # Both factors pass 2**63 long before attempt 100.
    step = min(attempt, 100)
    factor = 2**step if kind == EXPONENTIAL else fibonacci(step)
    return min(initial * factor, maximum, LONGEST)


def mix64(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def jittered(whole: int, jitter: float, letter_id: int, retry_count: int) -> int:
    share = floor(jitter * 2**32 + 0.5)
    hashed = mix64((mix64(letter_id % 2**64) + retry_count) % 2**64) >> 32
    factor = hashed * share >> 32
    return whole - (whole >> 32) * factor - ((whole % 2**32) * factor >> 32)


TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))?",
    re.ASCII,
)


def parse_timestamp(text: str) -> int | None:
    match = TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hour, offset_minute = match.groups()[6:]
    offset = (int(offset_hour or 0) * 60 + int(offset_minute or 0)) * (-1 if sign == "-" else 1)
    leap = second == 60
    try:
        local = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    except ValueError:
        return None
    if int(offset_hour or 0) > 23 or int(offset_minute or 0) > 59:
        return None
    whole = (local - EPOCH) // timedelta(seconds=1) - offset * 60 + leap
    if leap and whole % 86400 != 0:
        return None
    return whole * 10**6 + int((fraction or "0")[:6].ljust(6, "0"))


def format_timestamp(instant: int) -> str:
    moment = EPOCH + instant * MICROSECOND
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S.%f}Z"


@dataclass(frozen=True, kw_only=True)
class Rules:
    now: int
    max_retries: int
    min_age: int
    kind: int
    initial: int
    maximum: int
    jitter: float = 0.0
    waive_delay: bool = False


@dataclass(frozen=True)
class Letter:
    id: int
    retry_count: int
    failed_at: int
    last_retry_at: int
    not_before: int


def judge(  # noqa: PLR0911 -- one rule a return
    rules: Rules, letter: Letter
) -> tuple[Verdict, int]:
    """The verdict, and the instant at which a waiting letter becomes due."""
    nothing = (NONE, UNREADABLE)
    if letter.retry_count in nothing:
        return Verdict.BAD_RETRY_COUNT, 0
    if letter.retry_count < 0:
        return Verdict.NEGATIVE_RETRY_COUNT, 0
    if letter.failed_at in nothing:
        return Verdict.BAD_FAILED_AT, 0
    if letter.last_retry_at == UNREADABLE:
        return Verdict.BAD_LAST_RETRY_AT, 0
    if letter.retry_count >= rules.max_retries:
        return Verdict.EXHAUSTED, 0
    if rules.waive_delay:
        return Verdict.DUE, 0
    if letter.not_before not in nothing:
        due_at = letter.not_before
    else:
        wait = delay(rules.kind, rules.initial, rules.maximum, letter.retry_count)
        wait = jittered(wait, rules.jitter, letter.id, letter.retry_count)
        base = letter.failed_at if letter.last_retry_at == NONE else letter.last_retry_at
        due_at = base + max(wait, rules.min_age)
    return (Verdict.DUE, 0) if due_at <= rules.now else (Verdict.WAITING, min(due_at, LONGEST))


def instant_of(value: object) -> int:
    if value is None:
        return NONE
    if isinstance(value, bytearray):
        value = value.decode("utf-8", "replace")
    instant = parse_timestamp(value) if isinstance(value, str) else None
    return UNREADABLE if instant is None else instant


def count_of(value: object) -> int:
    if not isinstance(value, int) or value >= 2**63:
        return UNREADABLE
    return value if value >= 0 else -1


def letter_of(row: Row) -> Letter:
    letter_id, retry_count, failed_at, last_retry_at, *more = row
    assert isinstance(letter_id, int)
    not_before = more[0] if more else None
    is_instant = isinstance(not_before, int) and UNREADABLE < not_before < 2**63
    return Letter(
        letter_id,
        count_of(retry_count),
        instant_of(failed_at),
        instant_of(last_retry_at),
        not_before if is_instant else NONE,  # type: ignore[arg-type]  # an int then
    )


def ascii_lower(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def rank_of(texts: Sequence[str], message: object) -> int:
    if isinstance(message, (bytes, bytearray)):
        message = message.decode("utf-8", "replace")
    if not isinstance(message, str):
        return len(texts)
    folded = ascii_lower(message)
    places = (place for place, text in enumerate(texts) if ascii_lower(text) in folded)
    return next(places, len(texts))


@dataclass(frozen=True)
class Selection:
    ids: list[int]
    unfit: list[tuple[int, Verdict]]
    waiting: int
    next_due: int | None
    oldest_due: int | None


def select(
    rows: Iterable[Row],
    rules: Rules,
    rank: str | Sequence[str] | None = None,
    *,
    descending: bool = False,
) -> Selection:
    due: list[tuple[int, int, int]] = []
    unfit: list[tuple[int, Verdict]] = []
    waiting: list[int] = []
    for row in rows:
        letter = letter_of(row)
        verdict, due_at = judge(rules, letter)
        if verdict is Verdict.DUE:
            place = letter.retry_count if rank == "retry_count" else 0
            if rank is not None and not isinstance(rank, str):
                place = rank_of(rank, row[5])
            instant = -letter.failed_at if descending else letter.failed_at
            due.append((place, instant, letter.id))
        elif verdict is Verdict.WAITING:
            waiting.append(due_at)
        else:
            unfit.append((letter.id, verdict))
    return Selection(
        ids=[letter_id for _, _, letter_id in sorted(due)],
        unfit=unfit,
        waiting=len(waiting),
        next_due=min(waiting, default=None),
        oldest_due=min((-i if descending else i for _, i, _ in due), default=None),
    )
