"""How well error texts are grouped, as docs/groups.md says it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import grouping

DOCUMENT = Path(__file__).parents[1] / "docs" / "groups.md"


@pytest.fixture(scope="module")
def sample() -> grouping.Sample:
    return grouping.read_sample()


@pytest.fixture(scope="module")
def parts(sample: grouping.Sample) -> list[grouping.Sample]:
    """As the columns of the document have them."""
    real = grouping.read_sample("errors-of-programs")
    return [sample.part(0), sample.part(1), sample, real]


def test_accuracy_is_the_share_of_texts_in_exactly_their_group() -> None:
    labels = ["a", "a", "b", "b", "c"]
    assert grouping.score(labels, [1, 1, 2, 2, 3]) == (1.0, 1.0)
    assert grouping.score(labels, [1, 1, 2, 4, 3]) == (0.6, 2 / 3)
    assert grouping.score(labels, [1, 1, 1, 1, 3]) == (0.2, 0.5)


def test_the_sample_is_large_and_its_halves_share_no_group(sample: grouping.Sample) -> None:
    assert len(sample.texts) > 400
    assert len(set(sample.labels)) > 80
    tuned, held_out = sample.part(0), sample.part(1)
    assert not set(tuned.labels) & set(held_out.labels)
    assert len(tuned.texts) + len(held_out.texts) == len(sample.texts)


@pytest.mark.skipif(not DOCUMENT.is_file(), reason="the documents are not here")
def test_the_document_tells_the_accuracy_that_is_found(parts: list[grouping.Sample]) -> None:
    (row,) = re.findall(r"^\| azoth-dlq \|(.*)\|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    told = [cell.strip() for cell in row.split("|")[:8]]
    found = []
    for part in parts:
        accuracy, f1 = grouping.score(part.labels, grouping.ours(part.texts))
        found += [f"{accuracy:.3f}", f"{f1:.3f}"]
    assert told == found


def test_masking_is_more_accurate_than_drain3(parts: list[grouping.Sample]) -> None:
    pytest.importorskip("drain3")
    for part in parts:
        ours = grouping.score(part.labels, grouping.ours(part.texts))
        for grouper in (grouping.drain(), grouping.drain(masks=grouping.MASKS)):
            theirs = grouping.score(part.labels, grouper(part.texts))
            assert ours.accuracy > theirs.accuracy + 0.05
