"""Timings of an encoder and of search over its embeddings: percentiles over single calls, in milliseconds.

Each row times one thing, end to end: from text to an embedding in main memory, or from embedded queries to rows in main
memory. The calls before those that count are the warm-up; the first of them is shown apart, since a service meets it.
"""

import importlib.util
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits
from torch import Tensor

from hr_retrieval.data import tables
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.encoder.encoder import Encoder, Precision
from hr_retrieval.encoder.loading import Kind
from hr_retrieval.errors import UserError
from hr_retrieval.files import check_vacant, whole_folder, write_json
from hr_retrieval.markdown import markdown_table
from hr_retrieval.prepare.readers.esco import EscoReader
from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.runs.directory import open_encoder
from hr_retrieval.time.approximate import ApproximateIndex
from hr_retrieval.time.machine import Quiet, machine

log = logging.getLogger(__name__)

PERCENTILES = (50, 95, 99)
DEPTHS = (1, 5, 10)
COLUMNS = ("what", "p50, ms", "p95, ms", "p99, ms", "a second", "first, ms", "n", "recall@10")

# Queries over which recall is taken.
_QUERIES = 256
# Scores of one pair of vectors, summed in another order, may differ by so much.
_ROUNDING = 1e-5
_NOT_INSTALLED = 'not installed: pip install "hr-retrieval[search]"'

Clock = Callable[[], float]
Index = ExactIndex | ApproximateIndex
Result = TypeVar("Result")


@dataclass(frozen=True)
class Effort:
    """How much is timed how often; `TimeConfig` says what each means.

    Raises:
        UserError: a number is below 1 (`warmup`: below 0).
    """

    texts: int
    batch_size: int
    repeats: int
    passes: int
    warmup: int
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name == "warmup" else 1
            if value is not None and value < least:
                raise UserError(f"{name} of at least {least}", str(value), f"Set {name} to {least} or more.")


@dataclass(frozen=True)
class Measured(Generic[Result]):
    """One thing, called again and again.

    Attributes:
        seconds: of each call that counts.
        first: seconds of the very first call; `None` if it counts.
        result: of the last call.
    """

    seconds: list[float]
    first: float | None
    result: Result


@dataclass(frozen=True)
class Row:
    """One line of the table; times are milliseconds.

    Attributes:
        name: of what is timed, for programs.
        what: the same for people.
        unit: of the percentiles and of `first`.
        p50: percentiles over `n` calls, linear between neighbouring samples; `None` where nothing could be timed.
        p95: likewise.
        p99: likewise; with fewer than a hundred calls close to the slowest one.
        first: the first call, before those that count.
        n: calls that count.
        items: texts or queries a call.
        a_second: items a second at the median.
        recall: share of the best ten documents that this index finds; a document that scores as high as the tenth
            counts. `None` for what is no search.
        note: why there are no figures.
        settings: what the figures depend on beside the machine.
    """

    name: str
    what: str
    unit: str
    p50: float | None
    p95: float | None
    p99: float | None
    first: float | None
    n: int
    items: int
    a_second: float | None
    recall: float | None
    note: str | None
    settings: dict[str, Any]


@dataclass(frozen=True)
class Texts:
    """What is timed.

    Attributes:
        source: where it comes from.
        queries: texts of queries, repeated where there are fewer than asked for.
        documents: likewise.
        distinct: how many different documents there are.
    """

    source: str
    queries: list[str]
    documents: list[str]
    distinct: int


def take_timings(
    encoder: str,
    output: Path,
    data: Path | None,
    effort: Effort,
    ef_search: int = 64,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Time an encoder and search; write `timings.json` and `timings.md`; return what `timings.json` holds.

    Args:
        encoder: a run directory, whose best checkpoint is taken, or whatever `Encoder` loads.
        output: a new or empty folder; it is written whole or not at all.
        data: a prepared data set; `None` takes the built-in ESCO texts.
        effort: how much is timed how often.
        ef_search: candidates that the approximate index keeps.
        clock: seconds since some moment.

    Raises:
        UserError: `output` holds something, or the encoder or the texts are not there.
    """
    check_vacant(output)
    with _limited(effort.threads):
        loaded, _ = open_encoder(encoder)
        loaded.to("cuda" if torch.cuda.is_available() else "cpu")
        texts = _texts(data, effort.texts, max(effort.batch_size, _QUERIES))
        quiet = Quiet()
        rows, embeddings = _encoding(loaded, texts, effort, clock)
        queries = loaded.encode(texts.queries, "query")
        rows += _searching(queries, embeddings, effort, ef_search, clock)
        others = quiet.others()
        summary = {
            "machine": machine(),
            "others": round(others, 2),
            "encoder": {**loaded.describe(), "name_or_path": encoder, "device": loaded.device.type},
            "data": {"source": texts.source, "documents": len(texts.documents), "distinct": texts.distinct},
            "effort": asdict(effort),
            "rows": [asdict(row) for row in rows],
        }
    with whole_folder(output) as partial:
        write_json(partial / "timings.json", summary)
        (partial / "timings.md").write_text(markdown(summary), encoding="utf-8")
    return summary


def report(summary: Mapping[str, Any], folder: Path) -> None:
    """Print the table, and where the files are."""
    console = Console(width=120)
    table = Table(*COLUMNS)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in summary["rows"]:
        table.add_row(*_cells(row))
    console.print("\n".join(_remarks(summary)), soft_wrap=True, highlight=False, markup=False)
    console.print(table)
    console.print(f"{folder / 'timings.json'}\n{folder / 'timings.md'}", soft_wrap=True, highlight=False, markup=False)


def markdown(summary: Mapping[str, Any]) -> str:
    """What `timings.md` holds: the machine, what was timed, the table."""
    table = markdown_table([COLUMNS, *map(_cells, summary["rows"])])
    return "\n\n".join(["# Timings", *_remarks(summary), table]) + "\n"


def measure(
    call: Callable[[int], Result], repeats: int, warmup: int, clock: Clock = time.perf_counter
) -> Measured[Result]:
    """Time `warmup` calls and then `repeats` that count, one by one.

    Args:
        call: gets the number of the call, from 0, warm-up included; whatever it starts is done when it returns.
        repeats: at least 1.
    """
    seconds = []
    for number in range(warmup + repeats):
        start = clock()
        result = call(number)
        seconds.append(clock() - start)
    return Measured(seconds[warmup:], seconds[0] if warmup else None, result)


def recall(
    found: Int[Tensor, "Q k"],
    exact: Float[Tensor, "Q k"],
    queries: Float[Tensor, "Q d"],
    documents: Float[Tensor, "N d"],
) -> float:
    """Share of the found documents that are among the best `k`: those that score as high as the `k`-th best.

    Args:
        found: rows of distinct documents; -1 for none.
        exact: scores of the best `k`, best first.
    """
    scores = (documents[found.clamp(min=0)] * queries.unsqueeze(1)).sum(dim=2)
    right = (found >= 0) & (scores >= exact[:, -1:] - _ROUNDING)
    return float(right.double().mean())


@dataclass(frozen=True)
class _Encoding:
    """Calls that encode, each with other texts than the one before."""

    encoder: Encoder
    texts: Texts
    size: int
    precision: Precision

    def query(self, number: int) -> Tensor:
        return self._embedded([self.texts.queries[number % len(self.texts.queries)]], "query")

    def batch(self, number: int) -> Tensor:
        documents, begin = self.texts.documents, number * self.size
        return self._embedded([documents[at % len(documents)] for at in range(begin, begin + self.size)], "document")

    def everything(self, number: int) -> Tensor:
        return self._embedded(self.texts.documents, "document")

    def _embedded(self, texts: list[str], kind: Kind) -> Tensor:
        return self.encoder.encode(texts, kind, precision=self.precision).cpu()


def _encoding(encoder: Encoder, texts: Texts, effort: Effort, clock: Clock) -> tuple[list[Row], Float[Tensor, "N d"]]:
    """Rows of the encoder in both precisions, and the embeddings of all documents in float32."""
    rows, embeddings = [], {}
    short, long = (effort.repeats, effort.warmup), (effort.passes, min(effort.warmup, 1))
    for precision in get_args(Precision):
        log.info("encoding in %s", precision)
        calls = _Encoding(encoder, texts, effort.batch_size, precision)
        for kind, count, call, (repeats, warmup) in (
            ("query", 1, calls.query, short),
            ("document", effort.batch_size, calls.batch, short),
            ("document", len(texts.documents), calls.everything, long),
        ):
            measured = measure(call, repeats, warmup, clock)
            what = f"encode {_counted(count, kind)}, {precision}"
            settings = {"kind": kind, "texts": count, "precision": precision}
            rows.append(_row(f"encode/{kind}/{count}/{precision}", what, measured, count, settings))
        embeddings[precision] = measured.result
    return rows, embeddings["float32"].to(encoder.device)


def _searching(
    queries: Float[Tensor, "Q d"], documents: Float[Tensor, "N d"], effort: Effort, ef_search: int, clock: Clock
) -> list[Row]:
    """Rows of each index: its build, then each number of queries and depth."""
    hnsw = {"neighbours": 32, "ef_construction": 200, "ef_search": ef_search}
    builders: dict[str, tuple[str, Callable[[int], Index], dict[str, Any]]] = {
        "flat_float32": ("flat float32", lambda _: ExactIndex(documents), {"dtype": "float32"}),
        "flat_bf16": ("flat bf16", lambda _: ExactIndex(documents, torch.bfloat16), {"dtype": "bf16"}),
        "hnsw": ("HNSW", lambda _: ApproximateIndex(documents, **hnsw), {"dtype": "float32", **hnsw}),
    }
    exact, _ = ExactIndex(documents).search(queries, max(DEPTHS))
    rows = []
    for name, (label, build, settings) in builders.items():
        own = {"index": name, "documents": len(documents), **settings}
        if name == "hnsw" and importlib.util.find_spec("faiss") is None:
            rows.append(_absent("search/hnsw", "search, HNSW (approximate)", own))
            continue
        log.info("searching: %s", label)
        built = measure(build, effort.passes, 0, clock)
        rows.append(_row(f"build/{name}", f"index {len(documents):,} documents, {label}", built, len(documents), own))
        found = built.result.search(queries, max(DEPTHS))[1].to(documents.device)
        share = recall(found, exact, queries, documents)
        for count in dict.fromkeys((1, effort.batch_size)):
            for k in DEPTHS:
                measured = measure(_search(built.result, queries, count, k), effort.repeats, effort.warmup, clock)
                what = f"search top {k}, {_counted(count, 'query')}, {label}"
                asked = {**own, "queries": count, "k": k}
                rows.append(_row(f"search/{name}/{count}/{k}", what, measured, count, asked, share))
    return rows


def _search(index: Index, queries: Tensor, count: int, k: int) -> Callable[[int], Tensor]:
    def call(number: int) -> Tensor:
        begin = number * count % (len(queries) - count + 1)
        return index.search(queries[begin : begin + count], k)[1].cpu()

    return call


def _row(
    name: str, what: str, measured: Measured[Any], items: int, settings: dict[str, Any], share: float | None = None
) -> Row:
    p50, p95, p99 = (float(value) * 1e3 for value in np.percentile(measured.seconds, PERCENTILES))
    first = None if measured.first is None else measured.first * 1e3
    # A clock may be too coarse to see a short call.
    a_second = items / p50 * 1e3 if p50 > 0 else None
    return Row(name, what, "ms", p50, p95, p99, first, len(measured.seconds), items, a_second, share, None, settings)


def _absent(name: str, what: str, settings: dict[str, Any]) -> Row:
    return Row(name, what, "ms", None, None, None, None, 0, 0, None, None, _NOT_INSTALLED, settings)


def _texts(folder: Path | None, documents: int, queries: int) -> Texts:
    """Evenly spaced texts of each table; all of them, again and again, where there are fewer."""
    if folder is None:
        source, reader = "ESCO, built in", EscoReader(label_words=3)
        concepts = [row for batch in reader.batches(["labels", "description"]) for row in batch.values]
        kinds = [
            _spaced([row[name] for row in concepts], count)
            for name, count in (("labels", queries), ("description", documents))
        ]
    else:
        source, dataset = str(folder), PreparedDataset.open(folder)
        kinds = [_rows(dataset, "queries", queries), _rows(dataset, "corpus", documents)]
    for name, found in zip(("query", "document"), kinds, strict=True):
        if not found:
            raise UserError(f"at least one {name}", f"none in {source}", "Name another data.folder.")
    repeated = [list(islice(cycle(found), count)) for found, count in zip(kinds, (queries, documents), strict=True)]
    return Texts(source, repeated[0], repeated[1], len(set(kinds[1])))


def _rows(dataset: PreparedDataset, table: tables.Table, count: int) -> list[str]:
    size = dataset.query_count if table == "queries" else dataset.document_count
    return dataset.texts_at(table, np.array(_spaced(range(size), count), np.int64))


def _spaced(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spaced."""
    taken = min(count, len(items))
    return [items[place * len(items) // taken] for place in range(taken)]


@contextmanager
def _limited(threads: int | None) -> Iterator[None]:
    """So many threads of torch, BLAS, OpenMP and, in a process that has not tokenised yet, the tokenizer."""
    if threads is None:
        yield
        return
    before, rayon = torch.get_num_threads(), os.environ.get("RAYON_NUM_THREADS")
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    try:
        with threadpool_limits(threads):
            torch.set_num_threads(threads)
            yield
    finally:
        torch.set_num_threads(before)
        if rayon is None:
            del os.environ["RAYON_NUM_THREADS"]
        else:
            os.environ["RAYON_NUM_THREADS"] = rayon


def _remarks(summary: Mapping[str, Any]) -> list[str]:
    data, effort, encoder = summary["data"], summary["effort"], summary["encoder"]
    repeated = "" if data["distinct"] == data["documents"] else f", {data['distinct']:,} different ones, repeated"
    return [
        f"{summary['machine']}. Other processes used {summary['others']:.2f} CPUs meanwhile.",
        f"Encoder {encoder['name_or_path']}: {encoder['parameters']:,} parameters, {encoder['embedding_dimension']} "
        f"dimensions, on {encoder['device']}. Texts: {data['documents']:,} documents of {data['source']}{repeated}.",
        f"Percentiles over n calls, after {effort['warmup']} that do not count (1 for all documents, none for builds); "
        "the first of these is shown apart. a second: texts or queries, at the median. recall@10: of the exact ten best.",
    ]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    times = [_shown(row[f"p{one}"]) for one in PERCENTILES]
    what = f"{row['what']} ({row['note']})" if row["note"] else str(row["what"])
    share = "-" if row["recall"] is None else f"{row['recall']:.4f}"
    return (what, *times, _shown(row["a_second"]), _shown(row["first"]), str(row["n"]), share)


def _shown(value: float | None) -> str:
    """At least three digits, and no more decimals than these need."""
    if value is None:
        return "-"
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{decimals}f}"


def _counted(count: int, kind: str) -> str:
    plural = {"query": "queries", "document": "documents"}
    return f"1 {kind}" if count == 1 else f"{count:,} {plural[kind]}"
