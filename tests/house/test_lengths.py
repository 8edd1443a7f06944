"""Files that can be read at once, and functions that can be seen at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.checkout import CODE, shown, sources
from tests.house.functions import Function, functions

MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 50

CYTHON = """
cdef class Loop:
    cdef int first(self, long long a,
                   long long b) except -1:
        if a:
            return 1

        return 2

    def second(self):
        return 3

cdef inline bint third(
    int a,
):
    return a
"""
C = """
static int table[] = {1, 2};

static void first(int a,
                  int b)
{
    if (a) {
        b++;
    }
}

int second(void)
{
    return 1;
}
"""


def test_no_file_is_longer_than_it_may_be() -> None:
    lines = {shown(path): len(path.read_bytes().splitlines()) for path in sources(*CODE)}
    assert len(lines) > 500
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_function_is_longer_than_it_may_be() -> None:
    found = [(shown(path), one) for path in sources(*CODE) for one in functions(path)]
    assert len(found) > 4000
    assert [place for place in found if place[1].lines > MOST_LINES_OF_A_FUNCTION] == []


@pytest.mark.parametrize(
    ("suffix", "text", "expected"),
    [
        (".pyx", CYTHON, [Function("first", 6), Function("second", 2), Function("third", 4)]),
        (".c", C, [Function("first", 7), Function("second", 4)]),
        (".py", "def first():\n    return (\n        1\n    )\n", [Function("first", 4)]),
    ],
)
def test_functions_are_found_from_their_first_line_to_their_last(
    tmp_path: Path, suffix: str, text: str, expected: list[Function]
) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_text(text)
    assert functions(path) == expected
