"""How well error texts are grouped, beside drain3: `python -m benchmarks.grouping`.

Grouping accuracy (GA) as LogPAI has it: the share of texts whose group is exactly the labelled one.
Pairwise F1: precision and recall of pairs of texts that are in one group. What drain3 answers
depends on the order of the texts: its figures are means of several orders, with the lowest and the
highest GA.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from importlib import import_module
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, Final, NamedTuple

from azoth_dlq.kernels.templates import template

DATA: Final = Path(__file__).parents[1] / "tests" / "data"
ORDERS: Final = 10
# What users of drain3 mask, as far as it goes with regular expressions: the best of several sets.
MASKS: Final = (
    ("URL", r"[A-Za-z][\w+.-]*://[^\s\"'<>()]+"),
    ("EMAIL", r"[\w.+-]+@[\w-]+(\.[\w-]+)+"),
    ("UUID", r"\b[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"),
    ("TIME", r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:?\d\d)?"),
    ("QUOTED", r"\"[^\"\n]*\"|(?<!\w)'[^'\n]*'(?!\w)|`[^`\n]*`"),
    ("IP", r"(?<![\w.])(\d{1,3}\.){3}\d{1,3}(:\d+)?(?!\w)|\[[0-9a-f:]*::?[0-9a-f:]*\](:\d+)?"),
    ("HEX", r"\b0x[0-9a-fA-F]+\b|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b"),
    ("PATH", r"(?<!\w)(/[\w.@+-]+)+/?"),
    ("NUM", r"(?<!\w)[-+]?\d+([.,]\d+)*(ms|s|m|h|%|[KMG]i?B)?(?!\w)"),
)
SIMILARITIES: Final = (0.4, 0.5, 0.6, 0.7, 0.8)  # drain3's default is the first
DEPTHS: Final = (4, 5, 6)  # as is this one


class Sample(NamedTuple):
    """Texts, and what each of them is labelled as."""

    labels: list[str]
    texts: list[str]

    def part(self, first: int) -> Sample:
        """The texts of every second label, from the one at `first` on."""
        names = set(list(dict.fromkeys(self.labels))[first::2])
        kept = [pair for pair in zip(*self, strict=True) if pair[0] in names]
        return Sample([label for label, _ in kept], [text for _, text in kept])


class Score(NamedTuple):
    accuracy: float
    f1: float


Grouper = Callable[[Sequence[str]], list[Hashable]]


def read_sample(name: str = "errors") -> Sample:
    rows = [line.split("\t", 1) for line in (DATA / f"{name}.tsv").read_text("utf-8").splitlines()]
    return Sample([label for label, _ in rows], [_unescaped(text) for _, text in rows])


def _unescaped(text: str) -> str:
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")


def score(labels: Sequence[str], groups: Sequence[Hashable]) -> Score:
    """Compare groups with the labelled ones."""
    labelled: dict[str, set[int]] = defaultdict(set)
    found: dict[Hashable, set[int]] = defaultdict(set)
    for place, (label, group) in enumerate(zip(labels, groups, strict=True)):
        labelled[label].add(place)
        found[group].add(place)
    right = sum(len(places) for places in labelled.values() if places in found.values())
    both = Counter(zip(labels, groups, strict=True)).values()
    pairs = sum(_pairs(len(places)) for one in (labelled, found) for places in one.values())
    return Score(right / len(labels), 2 * sum(map(_pairs, both)) / pairs)


def _pairs(number: int) -> int:
    return number * (number - 1) // 2


def ours(texts: Sequence[str]) -> list[Hashable]:
    return [template(text) for text in texts]


def drain(
    *, masks: Sequence[tuple[str, str]] = (), similarity: float = 0.4, depth: int = 4
) -> Grouper:
    """drain3 with these settings."""
    drain3: Any = import_module("drain3")
    masking: Any = import_module("drain3.masking")

    def group(texts: Sequence[str]) -> list[Hashable]:
        config = drain3.template_miner_config.TemplateMinerConfig()
        config.drain_sim_th, config.drain_depth = similarity, depth
        config.masking_instructions = [masking.MaskingInstruction(p, name) for name, p in masks]
        miner = drain3.TemplateMiner(config=config)
        return [miner.add_log_message(text.replace("\n", " "))["cluster_id"] for text in texts]

    return group


def over_ours(grouper: Grouper) -> Grouper:
    return lambda texts: grouper([template(text) for text in texts])


def scores(sample: Sample, grouper: Grouper) -> list[Score]:
    """One for each order of the texts."""
    found = []
    for seed in range(ORDERS):
        places = list(range(len(sample.texts)))
        random.Random(seed).shuffle(places)
        groups = grouper([sample.texts[place] for place in places])
        found.append(score([sample.labels[place] for place in places], groups))
    return found


def nanoseconds(texts: Sequence[str], grouper: Grouper) -> float:
    """A text, the best of three."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        grouper(texts)
        taken.append(time.perf_counter() - start)
    return min(taken) / len(texts) * 1e9


def best(sample: Sample, make: Callable[[float, int], Grouper]) -> tuple[str, Grouper]:
    """The settings of the best mean accuracy, and drain3 with them."""
    settings = max(
        product(SIMILARITIES, DEPTHS),
        key=lambda pair: mean(s.accuracy for s in scores(sample, make(*pair))),
    )
    return "similarity {}, depth {}".format(*settings), make(*settings)


def row(name: str, grouper: Grouper, parts: Sequence[Sample]) -> str:
    cells = [name]
    for part in parts:
        found = scores(part, grouper)
        accuracies = [one.accuracy for one in found]
        spread = f" ({min(accuracies):.3f} to {max(accuracies):.3f})"
        spread = spread if len(set(accuracies)) > 1 else ""
        cells += [f"{mean(accuracies):.3f}{spread}", f"{mean(one.f1 for one in found):.3f}"]
    cells.append(f"{nanoseconds(parts[2].texts * 5, grouper) / 1000:.1f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    logging.disable(logging.WARNING)
    sample = read_sample()
    parts = [sample.part(0), sample.part(1), sample, read_sample("errors-of-programs")]
    masked, masked_drain = best(parts[0], lambda s, d: drain(masks=MASKS, similarity=s, depth=d))
    over, over_drain = best(parts[0], lambda s, d: over_ours(drain(similarity=s, depth=d)))
    names = ("tuned on", "held out", "both", "real programs")
    print(f"| | {' | '.join(f'GA, {name} | F1' for name in names)} | µs a text |")  # noqa: T201 -- the result
    print(f"|---{'|---' * (2 * len(parts) + 1)}|")  # noqa: T201 -- as above
    for name, grouper in (
        ("azoth-dlq", ours),
        ("drain3, its defaults", drain()),
        (f"drain3, masks, {masked}", masked_drain),
        (f"drain3 over our templates, {over}", over_drain),
    ):
        print(row(name, grouper, parts), flush=True)  # noqa: T201 -- as above


if __name__ == "__main__":
    main()
