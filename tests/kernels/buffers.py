"""Buffers of int64 of several makers."""

from array import array
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

MAKERS: dict[str, Callable[[Iterable[int]], Any]] = {
    "array": lambda items: array("q", items),
    "memoryview": lambda items: memoryview(bytearray(array("q", items))).cast("q"),
    "numpy": lambda items: np.fromiter(items, np.int64),
}


def int64(items: Iterable[int]) -> "array[int]":
    return array("q", items)


def zeros(count: int) -> "array[int]":
    return array("q", bytes(8 * count))
