"""Training speed against sentence-transformers: the same encoder, pairs, batch, length and number of steps.

    python -m benchmarks.train [--quality]

Both sides run a plain loop of encode, loss, backward, clip and optimizer step on the built-in ESCO
pairs (all labels -> description) with MiniLM, 32 pairs a batch, at most 128 tokens. Ours is what
`python -m hr_retrieval.train` does in its default configuration: tokens made beforehand, no
padding, no dropout, bf16 where the processor has it. The peer tokenises in the loop and keeps the
dropout of its model, as its own trainer does. With `--quality` both sides train 100 steps with the
smooth loss on short queries (three words of the labels) from three seeds, and the validation MRR of
each is printed.
"""

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from torch import Tensor, nn

from benchmarks.interleave import comparison, interleave, table
from hr_retrieval.encoder.builtin import BUILTIN
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.folder import encoder_folder
from hr_retrieval.markdown import markdown_table
from hr_retrieval.objective.similarity import cosine
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.prepare.readers.esco import EscoReader
from hr_retrieval.retrieval.metrics import per_query
from hr_retrieval.retrieval.ranking import exact_ranks
from hr_retrieval.retrieval.relevance import Relevance
from hr_retrieval.train.memory import keep_freed_memory

STEPS, RATE = 4, 5e-5


@dataclass(frozen=True)
class Task:
    """What both sides train on: the encoder's folder or name, pairs, how many a step, and tokens of a text."""

    encoder: str
    pairs: list[tuple[str, str]]
    batch: int = 32
    length: int = 128


def run(quick: bool) -> list[dict[str, Any]]:
    """Rows `train_float32`, `train_bf16`, `train_hinge` (the peer's precision or loss against our
    default) and `train_bound`.
    """
    # For the peer too: it is one process.
    keep_freed_memory()
    task = Task(BUILTIN, esco_pairs(None))
    ours = Ours(task, TripletLoss())
    rivals: dict[str, Callable[[], object]] = {
        "ours smooth": ours,
        "ours hinge": Ours(task, TripletLoss("hinge")),
        "peer float32": Peer(task, smooth, torch.float32),
        "peer bf16": Peer(task, smooth, torch.bfloat16),
        "peer hinge": Peer(task, hinge, torch.float32, negatives=True),
    }
    rivals["products"] = Products(ours.encoder, ours.mean_tokens())
    times = interleave(rivals, rounds=3 if quick else 5)
    return [
        comparison(
            "train_float32", "smooth loss: sentence-transformers float32", times["ours smooth"], times["peer float32"]
        ),
        comparison(
            "train_bf16", "smooth loss: sentence-transformers bf16 autocast", times["ours smooth"], times["peer bf16"]
        ),
        comparison(
            "train_hinge",
            "hinge loss: sentence-transformers TripletLoss float32",
            times["ours hinge"],
            times["peer hinge"],
        ),
        comparison(
            "train_bound",
            "smooth loss: the layers' matrix products alone (the ratio is the share of this bound that training reaches)",
            times["ours smooth"],
            times["products"],
        ),
    ]


class Ours:
    """A call is `STEPS` steps of our loop."""

    def __init__(
        self,
        task: Task,
        loss: TripletLoss,
        dtype: torch.dtype = torch.bfloat16,
        seed: int = 0,
        total: int | None = None,
    ) -> None:
        self.encoder, self.loss, self.dtype = Encoder(task.encoder, max_length=task.length), loss, dtype
        self.anchors, _ = self.encoder.tokenise([anchor for anchor, _ in task.pairs], "query")
        self.documents, _ = self.encoder.tokenise([positive for _, positive in task.pairs], "document")
        self.optimizer, self.schedule = _optimizer(self.encoder, total)
        self.batch, self.order = task.batch, _order(len(task.pairs), task.batch, seed)
        self.relevance = torch.eye(task.batch, dtype=torch.bool)

    def __call__(self) -> None:
        for _ in range(STEPS):
            rows = torch.from_numpy(next(self.order))
            with _autocast(self.dtype):
                embeddings = self.encoder(self.anchors.take(rows).concatenate(self.documents.take(rows)))
            loss = self.loss(cosine(embeddings[: self.batch], embeddings[self.batch :]), self.relevance).loss
            _step(self.encoder, loss, self.optimizer, self.schedule)

    def mean_tokens(self) -> int:
        """Tokens of a batch, both sides, in the mean."""
        pairs = len(self.anchors)
        return round(self.batch * (len(self.anchors.ids) + len(self.documents.ids)) / pairs)


class Products:
    """A call is what `STEPS` steps cannot do without: the layers' matrix products, in bfloat16 unless told.

    For each weight `W[out, in]` and `T` tokens: `X W'` forward, and backward the gradients `dY W`
    and `dY' X`. Attention itself, norms, activations, pooling, loss, the embedding tables and the
    optimizer are left out.
    """

    def __init__(self, encoder: Encoder, tokens: int, dtype: torch.dtype = torch.bfloat16) -> None:
        self.weights = [
            module.weight.detach().to(dtype)
            for name, module in encoder.named_modules()
            # The pooler is not used.
            if isinstance(module, nn.Linear) and "pooler" not in name
        ]
        self.inputs = {weight.shape[1]: torch.randn(tokens, weight.shape[1], dtype=dtype) for weight in self.weights}
        self.gradients = {weight.shape[0]: torch.randn(tokens, weight.shape[0], dtype=dtype) for weight in self.weights}

    def __call__(self) -> None:
        for _ in range(STEPS):
            for weight in self.weights:
                given, gradient = self.inputs[weight.shape[1]], self.gradients[weight.shape[0]]
                torch.mm(given, weight.T)
                torch.mm(gradient, weight)
                torch.mm(gradient.T, given)


def smooth(model: SentenceTransformer) -> nn.Module:
    """The peer's `MultipleNegativesRankingLoss` in both directions, as our smooth form is."""
    loss: nn.Module = losses.MultipleNegativesRankingLoss(
        model, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
    )
    return loss


def hinge(model: SentenceTransformer) -> nn.Module:
    """The peer's triplet loss on cosine distance with our margin."""
    loss: nn.Module = losses.TripletLoss(model, losses.TripletDistanceMetric.COSINE, triplet_margin=0.1)
    return loss


class Peer:
    """A call is `STEPS` steps of the peer's model and loss; for its triplets the negative is the
    next pair's document.
    """

    def __init__(
        self,
        task: Task,
        loss: Callable[[SentenceTransformer], nn.Module],
        dtype: torch.dtype,
        negatives: bool = False,
        seed: int = 0,
        total: int | None = None,
    ) -> None:
        with encoder_folder(task.encoder) as folder:
            self.model = SentenceTransformer(str(folder), device="cpu")
        self.model.max_seq_length = task.length
        self.model.train()
        self.task, self.loss, self.dtype, self.negatives = task, loss(self.model), dtype, negatives
        self.optimizer, self.schedule = _optimizer(cast(nn.Module, self.model), total)
        self.order = _order(len(task.pairs), task.batch, seed)

    def __call__(self) -> None:
        for _ in range(STEPS):
            batch = [self.task.pairs[row] for row in next(self.order)]
            sides = [[anchor for anchor, _ in batch], [positive for _, positive in batch]]
            if self.negatives:
                sides.append(sides[1][1:] + sides[1][:1])
            features = [self.model.preprocess(texts) for texts in sides]
            with _autocast(self.dtype):
                loss = self.loss(features, torch.zeros(self.task.batch))
            _step(cast(nn.Module, self.model), loss, self.optimizer, self.schedule)


def quality(steps: int = 100, seeds: int = 3) -> str:
    """Validation MRR of both sides after as many steps, as a Markdown table."""
    pairs = esco_pairs(3)
    order = np.random.default_rng(0).permutation(len(pairs))
    held_out, training = [pairs[row] for row in order[:1700]], Task(BUILTIN, [pairs[row] for row in order[1700:]])
    rows = [["", "validation MRR by seed", "mean"]]
    zero_shot = mrr(Encoder(BUILTIN, max_length=training.length), held_out)
    rows.append(["zero-shot", "", f"{zero_shot:.4f}"])
    for name in ("ours bf16", "peer float32"):
        figures = []
        for seed in range(seeds):
            side: Ours | Peer
            if name == "ours bf16":
                side = Ours(training, TripletLoss(), seed=seed, total=steps)
            else:
                side = Peer(training, smooth, torch.float32, seed=seed, total=steps)
            for _ in range(steps // STEPS):
                side()
            figures.append(mrr(side.encoder if isinstance(side, Ours) else side.model, held_out))
        rows.append([name, ", ".join(f"{figure:.4f}" for figure in figures), f"{statistics.mean(figures):.4f}"])
    return markdown_table(rows, text=(0, 1))


def mrr(model: Encoder | SentenceTransformer, pairs: list[tuple[str, str]]) -> float:
    """Exact full-rank MRR of the pairs' queries over the pairs' documents."""
    queries, documents = [query for query, _ in pairs], [document for _, document in pairs]
    if isinstance(model, Encoder):
        embeddings = model.encode(queries, "query"), model.encode(documents, "document")
    else:
        embeddings = tuple(model.encode(texts, convert_to_tensor=True) for texts in (queries, documents))
    relevance = Relevance.from_lists([[row] for row in range(len(pairs))])
    return float(per_query(exact_ranks(*embeddings, relevance), relevance)["mrr"].mean())


def esco_pairs(label_words: int | None) -> list[tuple[str, str]]:
    """Labels and descriptions of the built-in data."""
    batches = EscoReader(label_words=label_words).batches(["labels", "description"])
    return [(row["labels"], row["description"]) for batch in batches for row in batch.values]


def _optimizer(
    model: nn.Module, total: int | None
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    warmup = (total or 0) // 10

    def share(step: int) -> float:
        if total is None:
            return 1.0
        return (step + 1) / (warmup + 1) if step < warmup else max(0.0, (total - step) / (total - warmup))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def _autocast(dtype: torch.dtype) -> torch.autocast:
    return torch.autocast("cpu", dtype, enabled=dtype != torch.float32)


def _order(count: int, batch: int, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    while True:
        order = generator.permutation(count)
        yield from order[: count // batch * batch].reshape(-1, batch)


def _step(
    model: nn.Module, loss: Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler
) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()


if __name__ == "__main__":
    print(quality() if "--quality" in sys.argv else table(run(quick="--quick" in sys.argv)))
