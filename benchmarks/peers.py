"""Training with sentence-transformers on a prepared data set: the same backbone, pairs, batch,
length and number of steps.

    pip install -c constraints.txt -e '.[builtin,peers]'
    python -m benchmarks.peers --data data/prepared/esco_titles --output outputs/peers/esco_titles --seeds 1 2 3
    python -m benchmarks.peers ... --losses smooth --our-batches

The peer trains with its own trainer: our smooth form (`MultipleNegativesRankingLoss`, batches
without duplicates, both directions as ours) or its cosine `TripletLoss` with one random negative of
another group for each pair. bf16 autocast, Adam with the warm-up, clipping and rate schedule of our
default. Its encoder is measured by our exact ranks, and each run leaves the files that a training
run leaves (`summary.json`, `metrics.csv`, `per_query.parquet`), so that `benchmarks.mixing` and
`hr_retrieval.compare` read both alike. Dropout is off on both sides (on a CPU its random numbers
cost more than the matrix products) unless `--dropout` is given. With `--our-batches` it is given
the very batches of our run of the same seed, so that nothing but the training differs: which pairs
meet in which batch moves the figures of a hundred steps more than most methods do.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer import losses
from torch import nn
from torch.utils.data import BatchSampler

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.evaluation_set import evaluation_set
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.sampler import PairSampler
from hr_retrieval.data.tables import SPLITS, Split, Table
from hr_retrieval.encoder.builtin import BUILTIN
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.folder import encoder_folder
from hr_retrieval.files import whole_folder, write_json
from hr_retrieval.retrieval.metrics import per_query
from hr_retrieval.retrieval.ranking import exact_ranks

LOSSES = ("smooth", "hinge")


def main() -> None:
    """Train each loss with each rate and seed, and write a run directory for each."""
    arguments = _arguments()
    dataset = PreparedDataset.open(arguments.data)
    for loss in arguments.losses:
        for rate in arguments.rates:
            for seed in arguments.seeds:
                own = "-our_batches" if arguments.our_batches else ""
                folder = arguments.output / f"{loss}{own}-{rate:g}-{seed}"
                if not (folder / "summary.json").exists():
                    _run(arguments, dataset, loss, rate, seed, folder)
                print(folder, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--encoder", default=BUILTIN)
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-4])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--our-batches", action="store_true", help="the batches of our run of the same seed")
    parser.add_argument("--dropout", action="store_true", help="keep the dropout of the encoder's configuration")
    return parser.parse_args()


def _run(
    arguments: argparse.Namespace, dataset: PreparedDataset, loss: str, rate: float, seed: int, folder: Path
) -> None:
    begun = time.monotonic()
    with TemporaryDirectory() as work:
        trained = _train(arguments, dataset, loss, rate, seed, Path(work))
        encoder = Encoder(str(trained), max_length=arguments.length)
    figures = {split: _measure(encoder, dataset, split) for split in ("validation", "test")}
    means = {
        split: {name: float(values.mean()) for name, values in metrics.items()}
        for split, (_, metrics) in figures.items()
    }
    rows, values = figures["test"]
    with whole_folder(folder) as partial:
        (partial / "config.yaml").write_text(yaml.safe_dump(_settings(arguments, dataset, loss, rate, seed)))
        with (partial / "metrics.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["step", *(f"validation/{name}" for name in means["validation"])])
            writer.writerow([arguments.steps, *means["validation"].values()])
        pq.write_table(pa.table({"query_id": dataset.ids_at("queries", rows), **values}), partial / "per_query.parquet")
        write_json(
            partial / "summary.json",
            {
                "zero_shot": None,
                "trained": means["test"],
                "queries": len(rows),
                "documents": dataset.document_count,
                "corpus": f"the whole corpus of {dataset.document_count:,} documents",
                "split": "test",
                "data": dataset.fingerprint,
                "seconds": round(time.monotonic() - begun, 1),
            },
        )


def _settings(
    arguments: argparse.Namespace, dataset: PreparedDataset, loss: str, rate: float, seed: int
) -> dict[str, Any]:
    """What a run's config says, as far as the peer has it."""
    return {
        "project": "peers",
        "peer": f"sentence-transformers {loss}" + (", our batches" if arguments.our_batches else ""),
        "seed": seed,
        "data": {"name": dataset.info.get("name", dataset.folder.name), "folder": str(dataset.folder)},
        "datamodule": {
            "batch_size": arguments.batch,
            "test_corpus": "all",
            "evaluation_queries": None,
            "identical_text": "ignore",
        },
        "model": {"encoder": {"name_or_path": arguments.encoder, "max_length": arguments.length}},
        "optimizer": {"lr": rate},
        "dropout": arguments.dropout,
        "steps": arguments.steps,
    }


def _train(
    arguments: argparse.Namespace, dataset: PreparedDataset, loss: str, rate: float, seed: int, work: Path
) -> Path:
    with encoder_folder(arguments.encoder) as source:
        model = SentenceTransformer(str(source), device="cpu")
    model.max_seq_length = arguments.length
    if not arguments.dropout:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    settings = SentenceTransformerTrainingArguments(
        output_dir=str(work / "trainer"),
        max_steps=arguments.steps,
        per_device_train_batch_size=arguments.batch,
        learning_rate=rate,
        warmup_steps=arguments.steps // 10,
        lr_scheduler_type="linear",
        optim="adamw_torch",
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=True,
        use_cpu=True,
        seed=seed,
        batch_sampler=_batches(arguments, loss, seed),
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(
        model=model, args=settings, train_dataset=_pairs(dataset, loss == "hinge", seed), loss=_loss(model, loss)
    )
    trainer.train()
    model.save_pretrained(str(work / "encoder"), create_model_card=False)
    return work / "encoder"


def _batches(arguments: argparse.Namespace, loss: str, seed: int) -> Any:
    """The trainer's own sampler, or what makes ours of its data set."""
    if arguments.our_batches:
        return lambda dataset, **_: _OurBatches(len(dataset), arguments.batch, seed)
    return BatchSamplers.NO_DUPLICATES if loss == "smooth" else BatchSamplers.BATCH_SAMPLER


class _OurBatches(BatchSampler):
    """`PairSampler` as the trainer wants it: the pairs are numbered alike on both sides."""

    def __init__(self, pairs: int, batch: int, seed: int) -> None:
        self.stream = PairSampler(np.zeros(pairs, np.int32), batch, seed)
        self.batch_size, self.drop_last = batch, True

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[list[int]]:
        for _, pairs in self.stream:
            yield pairs.tolist()


def _loss(model: SentenceTransformer, name: str) -> nn.Module:
    loss: nn.Module
    if name == "smooth":
        loss = losses.MultipleNegativesRankingLoss(
            model, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        )
    else:
        loss = losses.TripletLoss(model, losses.TripletDistanceMetric.COSINE, triplet_margin=0.2)
    return loss


def _pairs(dataset: PreparedDataset, negatives: bool, seed: int) -> Dataset:
    """The training pairs, each with a random document that is not relevant to its query if `negatives` says so."""
    counts = np.diff(dataset.positive_offsets)
    places = np.flatnonzero(np.repeat(dataset.query_split == SPLITS["train"], counts))
    queries = np.repeat(np.arange(dataset.query_count), counts)[places]
    documents = dataset.positive_documents[places].astype(np.int64)
    tables: tuple[Table, Table] = ("queries", "corpus")
    texts = {table: list(chain.from_iterable(dataset.texts(table))) for table in tables}
    columns = {
        "anchor": [texts["queries"][row] for row in queries],
        "positive": [texts["corpus"][row] for row in documents],
    }
    if negatives:
        drawn = _negatives(dataset, queries, documents, np.random.default_rng(seed))
        columns["negative"] = [texts["corpus"][row] for row in drawn]
    return Dataset.from_dict(columns)


def _negatives(
    dataset: PreparedDataset, queries: np.ndarray, documents: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """A random training document for each query, drawn anew where the guard says that it is none."""
    guard, choices = Guard(dataset), np.unique(documents)
    drawn = generator.choice(choices, len(queries))
    block = 512
    for begin in range(0, len(queries), block):
        own = slice(begin, begin + block)
        while (wrong := ~guard.judge(queries[own], drawn[own])[1].diagonal()).any():
            drawn[own] = np.where(wrong, generator.choice(choices, len(wrong)), drawn[own])
    return drawn


def _measure(encoder: Encoder, dataset: PreparedDataset, split: Split) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows of the measured queries and their metrics, each query ranked over the whole corpus."""
    measured = evaluation_set(dataset, Guard(dataset), split)
    relevance = measured.relevance
    queries = encoder.encode(dataset.texts_at("queries", measured.query_rows), "query", precision="bf16")
    documents = encoder.encode(dataset.texts_at("corpus", measured.document_rows), "document", precision="bf16")
    metrics = per_query(exact_ranks(queries, documents, relevance), relevance)
    rows = measured.query_rows[relevance.counts.numpy() > 0]
    return rows, {name: value.numpy() for name, value in metrics.items()}


if __name__ == "__main__":
    main()
