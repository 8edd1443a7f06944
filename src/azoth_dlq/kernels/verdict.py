"""What the eligibility kernel says of a letter."""

from enum import IntEnum


class Verdict(IntEnum):
    """Whether a letter may be attempted now; from EXHAUSTED on it never will."""

    DUE = 0
    WAITING = 1
    EXHAUSTED = 2
    BAD_RETRY_COUNT = 3
    NEGATIVE_RETRY_COUNT = 4
    BAD_FAILED_AT = 5
    BAD_LAST_RETRY_AT = 6
