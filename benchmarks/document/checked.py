"""JSON of which each value is checked as it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite


class UnfitError(Exception):
    """What was read is not what it should be: says where, and how it is instead."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value, and where it stands."""

    value: object
    where: str

    def __getitem__(self, key: str) -> Part:
        part = self.get(key)
        if part is None:
            raise UnfitError(f"{self.where} has no `{key}`")
        return part

    def get(self, key: str) -> Part | None:
        """None: it is not there, or null."""
        value = self._mapping().get(key)
        return None if value is None else Part(value, f"{self.where}.{key}")

    def members(self) -> Iterator[tuple[str, Part]]:
        for key, value in self._mapping().items():
            yield key, Part(value, f"{self.where}.{key}")

    def elements(self) -> Iterator[Part]:
        if not isinstance(self.value, list):
            raise self._must_be("a list")
        for place, value in enumerate(self.value):
            yield Part(value, f"{self.where}[{place}]")

    def number(self) -> float:
        if isinstance(self.value, int | float) and not isinstance(self.value, bool):
            with suppress(OverflowError):
                number = float(self.value)
                if isfinite(number):
                    return number
        raise self._must_be("a finite number")

    def numbers(self) -> dict[str, float]:
        return {key: part.number() for key, part in self.members()}

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self._must_be("a text")
        return self.value

    def truth(self) -> bool:
        if not isinstance(self.value, bool):
            raise self._must_be("true or false")
        return self.value

    def _mapping(self) -> Mapping[str, object]:
        if not isinstance(self.value, dict):
            raise self._must_be("an object")
        return self.value

    def _must_be(self, what: str) -> UnfitError:
        shown = repr(self.value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        return UnfitError(f"{self.where} must be {what}, is {shown}")
