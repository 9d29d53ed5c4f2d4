"""How long an encoder and exact search over its embeddings take: the original system's table.

Each call is timed end to end: from text to an embedding in main memory, or from embedded queries to
rows in main memory.
"""

import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from hr_retrieval.encoder.encoder import Encoder, Precision
from hr_retrieval.encoder.graph import quantise, write_graph
from hr_retrieval.encoder.session import GraphSession
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.errors import UserError
from hr_retrieval.files import check_vacant, whole_folder, write_json
from hr_retrieval.markdown import markdown_table
from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.runs.directory import open_encoder
from hr_retrieval.time.texts import QUERIES, Texts

log = logging.getLogger(__name__)

DEPTHS = (1, 5)
# Documents by which the time of all is estimated.
_SAMPLE = 64

Clock = Callable[[], float]
Encode = Callable[[list[str], Kind], Tensor]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: is timed.
        median: milliseconds of a call, over `calls`.
        p95: likewise the 95th percentile, linear between neighbouring samples.
        a_second: texts or queries at the median; `None` where the clock is too coarse for it.
        calls: that count.
    """

    what: str
    median: float
    p95: float
    a_second: float | None
    calls: int


def take_timings(
    encoder: str,
    output: Path,
    texts: Texts,
    count: int,
    repeats: int,
    onnx: bool = False,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Time an encoder and search; write `timings.json` and `timings.md`; return what `timings.json` holds.

    Args:
        encoder: a run directory, whose best checkpoint is taken, or whatever `Encoder` loads.
        output: a new or empty folder; it is written whole or not at all.
        texts: are taken again and again where there are too few.
        count: documents that are encoded and searched.
        repeats: calls of each kind but those that encode all documents, which are timed once.
        onnx: whether the encoder is timed as an ONNX graph too, in 32 and in 8 bits.
        clock: seconds since some moment.

    Raises:
        UserError: a number is below 1, `output` holds something, or the encoder or the texts are
            not there.
    """
    for name, value in (("texts", count), ("repeats", repeats)):
        if value < 1:
            raise UserError(f"{name} of at least 1", str(value), f"Set {name} to 1 or more.")
    check_vacant(output)
    loaded, _ = open_encoder(encoder)
    loaded.to("cuda" if torch.cuda.is_available() else "cpu")
    for kind, found in (("query", texts.queries), ("document", texts.documents)):
        if not found:
            raise UserError(f"at least one {kind}", f"none in {texts.source}", "Name another data.folder.")
    queries, documents = (
        list(islice(cycle(found), size)) for found, size in ((texts.queries, QUERIES), (texts.documents, count))
    )
    rows = [*_rows(loaded, queries, documents, repeats, onnx, clock)]
    summary = {
        "machine": machine(),
        "encoder": {**loaded.describe(), "name_or_path": encoder, "device": loaded.device.type},
        "data": {"source": texts.source, "documents": count, "distinct": len(set(documents))},
        "unit": "ms",
        "rows": [asdict(row) for row in rows],
    }
    with whole_folder(output) as partial:
        write_json(partial / "timings.json", summary)
        (partial / "timings.md").write_text("# Timings\n\n" + markdown(summary), encoding="utf-8")
    return summary


def usual_count() -> int:
    """Documents that take a minute or so on what this machine has."""
    return 10_000 if torch.cuda.is_available() else 1_000


def report(summary: Mapping[str, Any], folder: Path) -> None:
    """Print the table, and where the files are."""
    print(markdown(summary), folder / "timings.json", folder / "timings.md", sep="\n")


def markdown(summary: Mapping[str, Any]) -> str:
    """The machine, what was timed, and the table."""
    data, encoder = summary["data"], summary["encoder"]
    repeated = "" if data["distinct"] == data["documents"] else f", {data['distinct']:,} different ones, repeated"
    header = ["what", "median, ms", "95 %, ms", "a second", "calls"]
    figures = [[_shown(row[key]) for key in ("median", "p95", "a_second")] for row in summary["rows"]]
    body = [[row["what"], *own, str(row["calls"])] for row, own in zip(summary["rows"], figures, strict=True)]
    parts = [
        f"{summary['machine']}.",
        f"Encoder {encoder['name_or_path']}: {encoder['parameters']:,} parameters, {encoder['embedding_dimension']} "
        f"dimensions, on {encoder['device']}. Texts: {data['documents']:,} documents of {data['source']}{repeated}.",
        markdown_table([header, *body]),
    ]
    return "\n\n".join(parts) + "\n"


def machine() -> str:
    """Processor, cores, torch and its threads, in one line; the accelerator too where there is one."""
    accelerator = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = named[0] if named else platform.processor() or platform.machine()
    return (
        f"{accelerator}{processor}, {os.cpu_count()} cores, {platform.system()}; "
        f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )


def _rows(
    encoder: Encoder, queries: list[str], documents: list[str], repeats: int, onnx: bool, clock: Clock
) -> Iterator[Row]:
    """Encoding in each precision and, where asked for, as a graph; then search over the embeddings in float32."""
    embeddings = {}
    precisions = {precision: _by_torch(encoder, precision) for precision in get_args(Precision)}
    # A few texts say how long all of them will take.
    sample = documents[:_SAMPLE]
    with _graphs(encoder, onnx) as graphs:
        for name, encode in {**precisions, **graphs}.items():
            begun = time.perf_counter()
            encode(sample, "document")
            expected = (time.perf_counter() - begun) * len(documents) / len(sample)
            log.info("encoding %s documents in %s, about %.0f s", f"{len(documents):,}", name, expected)

            def one(call: int, encode: Encode = encode) -> Tensor:
                return encode([queries[call % len(queries)]], "query")

            def everything(_: int, encode: Encode = encode) -> Tensor:
                return encode(documents, "document")

            yield _timed(f"encode 1 query, {name}", one, 1, repeats, clock)[0]
            what = f"encode {len(documents):,} documents, {name}"
            row, embeddings[name] = _timed(what, everything, len(documents), 0, clock)
            yield row
    log.info("searching")
    asked, found = encoder.encode(queries, "query"), embeddings["float32"].to(encoder.device)
    row, index = _timed(
        f"index {len(documents):,} documents", lambda _: ExactIndex(found), len(documents), repeats, clock
    )
    yield row
    for size in (1, QUERIES):
        for k in DEPTHS:

            def search(call: int, size: int = size, k: int = k) -> Tensor:
                begin = call * size % len(queries)
                return index.search(asked[begin : begin + size], k)[1].cpu()

            what = f"search top {k}, {size} {'query' if size == 1 else 'queries'}"
            yield _timed(what, search, size, repeats, clock)[0]


@contextmanager
def _graphs(encoder: Encoder, wanted: bool) -> Iterator[dict[str, Encode]]:
    """The encoder as `export` writes it, on the CPU; none where none are wanted."""
    if not wanted:
        yield {}
        return
    names = ("onnx float32", "onnx int8")
    with TemporaryDirectory() as temporary:
        whole, small = (Path(temporary, name) for name in names)
        whole.mkdir()
        small.mkdir()
        device = encoder.device
        write_graph(encoder.to("cpu"), whole)
        encoder.to(device)
        quantise(whole, small)
        yield {name: _by_graph(encoder, GraphSession(Path(temporary, name))) for name in names}


def _by_torch(encoder: Encoder, precision: Precision) -> Encode:
    return lambda texts, kind: encoder.encode(texts, kind, precision=precision).cpu()


def _by_graph(encoder: Encoder, session: GraphSession) -> Encode:
    return lambda texts, kind: session.encode(encoder.worded(texts, kind))


def _timed(what: str, call: Callable[[int], Result], items: int, repeats: int, clock: Clock) -> tuple[Row, Result]:
    """A row of `repeats` calls by their number, after one that does not count; with 0, of a single
    call without such.
    """
    seconds = []
    for number in range(repeats + 1):
        start = clock()
        result = call(number)
        seconds.append(clock() - start)
    counted = np.array(seconds[1:] or seconds) * 1e3
    median, p95 = (float(value) for value in np.percentile(counted, (50, 95)))
    return Row(what, median, p95, items / median * 1e3 if median > 0 else None, len(counted)), result


def _shown(value: float | None) -> str:
    """At least three digits, and no more decimals than these need."""
    if value is None:
        return "-"
    return f"{value:,.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3}f}"
