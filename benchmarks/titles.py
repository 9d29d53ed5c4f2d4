"""Training speed on job titles against sentence-transformers: short texts, large batches, and a table of 250,000 words.

    python -m benchmarks.titles [--quick] [--only train_short|train_multilingual]

256 pairs of titles a step, about eight tokens a title, by the loops of `benchmarks.train`; both
sides in one precision: float32 and, where the processor computes it natively, bf16. `train_short`
has MiniLM and labels of the built-in ESCO data. `train_multilingual` has an encoder of the shape of
multilingual-e5-small with random weights, whose tokenizer looks words up and is quicker than the
model's own: the peer, which tokenises in the loop, gains by that. Rows with `_products` have the
matrix products of our step in the place of the peer: their ratio is the share of them in it. Rows with
`_long` have our own training on 32 pairs of labels and descriptions there, by the same number of
tokens: their ratio is the share of that rate of tokens which titles reach.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.gpu.made import Size, mixed_texts, write_encoder
from benchmarks.interleave import comparison, interleave, table
from benchmarks.train import Ours, Peer, Products, Task, esco_pairs, smooth
from hr_retrieval.encoder.builtin import BUILTIN
from hr_retrieval.encoder.cpu.rounding import native_bfloat16
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.train.memory import keep_freed_memory

BATCH, LENGTH, WORDS = 256, 64, 4
# Multilingual-e5-small's; batches and counts are of no use here.
E5_SMALL = Size(384, 12, 12, 250_037, BATCH, 0, 0, 0, 0, 0, 0)


def run(quick: bool, only: str | None = None) -> list[dict[str, Any]]:
    """Rows `train_short` and `train_multilingual`, each in float32 and with `_bf16` behind its name in bf16."""
    keep_freed_memory()
    cases: dict[str, Callable[[bool], list[dict[str, Any]]]] = {
        "train_short": short,
        "train_multilingual": multilingual,
    }
    return [row for name, case in cases.items() if only in (None, name) for row in case(quick)]


def short(quick: bool) -> list[dict[str, Any]]:
    """MiniLM on labels of one ESCO concept each, cut to four words."""
    words = (labels.split() for labels, _ in esco_pairs(2 * WORDS))
    pairs = [(" ".join(own[:WORDS]), " ".join(own[WORDS:])) for own in words if len(own) == 2 * WORDS]
    return _rows("train_short", "MiniLM, titles", Task(BUILTIN, pairs, BATCH, LENGTH), quick, esco_pairs(None))


def multilingual(quick: bool) -> list[dict[str, Any]]:
    """A table of 250,037 words, of which a step looks few up and Adam goes through all."""
    with TemporaryDirectory() as work:
        write_encoder(Path(work) / "made", E5_SMALL)
        texts = (mixed_texts(E5_SMALL.vocabulary, 20 * BATCH, 6, seed) for seed in (1, 2))
        task = Task(str(Path(work) / "made" / "encoder"), list(zip(*texts, strict=True)), BATCH, LENGTH)
        return _rows("train_multilingual", "250,037 words, titles", task, quick)


def _rows(
    name: str, what: str, task: Task, quick: bool, long: list[tuple[str, str]] | None = None
) -> list[dict[str, Any]]:
    # One model a side for both precisions: of the multilingual one each takes two gigabytes.
    ours = Ours(task, TripletLoss())
    sides: dict[str, Ours | Peer] = {"ours": ours, "peer": Peer(task, smooth, torch.float32)}
    tokens = {"peer": ours.mean_tokens(), "products": ours.mean_tokens()}
    if long is not None:
        sides["long"] = slow = Ours(Task(task.encoder, long), TripletLoss())
        tokens["long"] = slow.mean_tokens()

    def call(side: str, dtype: torch.dtype) -> None:
        sides[side].dtype = dtype
        sides[side]()

    dtypes = {"": torch.float32, **({"_bf16": torch.bfloat16} if native_bfloat16() else {})}
    rivals: dict[str, Callable[[], object]] = {
        f"{side}{own}": partial(call, side, dtype) for own, dtype in dtypes.items() for side in sides
    }
    rivals |= {f"products{own}": Products(ours.encoder, ours.mean_tokens(), dtype) for own, dtype in dtypes.items()}
    times = interleave(rivals, rounds=3 if quick else 5)
    told = {"": "float32", "_bf16": "bf16"}
    return [
        comparison(
            f"{name}{part}{own}",
            f"{what}: {against}, {told[own]}",
            times[f"ours{own}"],
            times[f"{side}{own}"].scaled(ours.mean_tokens() / tokens[side]),
        )
        for own in dtypes
        for part, against, side in (
            ("", "sentence-transformers", "peer"),
            ("_products", "its matrix products alone", "products"),
            ("_long", "as many tokens of long texts", "long"),
        )
        if side in tokens
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--only", choices=["train_short", "train_multilingual"])
    options = parser.parse_args()
    print(table(run(options.quick, options.only)))
