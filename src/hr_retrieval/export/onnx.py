"""A run's encoder as an ONNX graph with its tokenizer and its card; in 8 bits with what that costs."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.graph import OPSET, quantise, write_graph
from hr_retrieval.encoder.session import FILE, GRAPH, INPUTS, OUTPUT, GraphSession
from hr_retrieval.errors import UserError
from hr_retrieval.files import check_vacant, read_json, whole_folder, write_json
from hr_retrieval.retrieval.significance import bootstrap_interval
from hr_retrieval.runs.directory import Run
from hr_retrieval.runs.measured import MeasuredSplit, as_read

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loss:
    """What 8 bits cost on the test split of the run, over the same queries and documents.

    Attributes:
        float32: the MRR of the encoder, without mixing at ranking time.
        int8: that of the graph.
        interval: of the difference, 95 % over queries.
        queries: how many were measured.
    """

    float32: float
    int8: float
    interval: tuple[float, float]
    queries: int

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"In 8 bits the MRR on {self.queries:,} test queries is {self.int8:.4f}, in 32 bits {self.float32:.4f}: "
            f"{self.int8 - self.float32:+.4f} (95 % interval {low:+.4f} to {high:+.4f})."
        )


def export_graph(
    run: Run,
    folder: Path,
    int8: bool = False,
    measured: bool = True,
    licence: str | None = None,
    evaluation: Path | None = None,
) -> Loss | None:
    """Write a new folder with `model.onnx`, the tokenizer, `graph.json` and the model card.

    Args:
        int8: whether weights are kept in 8 bits.
        measured: whether what these cost is measured, which encodes the test texts twice.
        licence: as of `Run.card`.
        evaluation: as of `Run.card`.

    Raises:
        UserError: the folder holds something, the run has no checkpoint, or its data are not as
            they were.
    """
    check_vacant(folder)
    encoder = run.encoder()
    split = _test_split(run, encoder) if int8 and measured else None
    with TemporaryDirectory() as temporary, whole_folder(folder) as partial:
        if int8:
            write_graph(encoder, Path(temporary))
            quantise(Path(temporary), partial)
        else:
            write_graph(encoder, partial)
        loss = None if split is None else _loss(split, encoder, GraphSession(partial))
        if loss is not None:
            write_json(partial / FILE, {**read_json(partial / FILE), "loss": asdict(loss)})
        card = run.card(encoder, licence, evaluation, _said(int8, loss))
        (partial / "README.md").write_text(card, encoding="utf-8")
    return loss


def _said(int8: bool, loss: Loss | None) -> str:
    """What the card says of the graph."""
    about = (
        f"`{GRAPH}` (opset {OPSET}) takes `{'` and `'.join(INPUTS)}`, both `[batch, length]` of int64, padded behind the "
        f"last token, and gives unit vectors as `{OUTPUT}`: pooling, dense layers, truncation and normalisation are inside."
    )
    return "\n".join([about, *(["Its weights are of 8 bits."] if int8 else []), *([str(loss)] if loss else [])])


def _test_split(run: Run, encoder: Encoder) -> MeasuredSplit:
    remedy = "Or leave out what 8 bits cost: measured=false."
    try:
        if not (run.folder / "summary.json").is_file():
            raise UserError(f"a finished run in {run.folder}", "one without summary.json", "Finish it.")
        return MeasuredSplit(run.config, run.summary()["data"], encoder, "test")
    except UserError as error:
        raise UserError(error.expected, error.got, f"{error.remedy} {remedy}") from None


def _loss(split: MeasuredSplit, encoder: Encoder, graph: GraphSession) -> Loss:
    before, own = _reciprocal_ranks(split, "32 bits", as_read(encoder))
    after, other = _reciprocal_ranks(split, "8 bits", graph.encode)
    low, high = bootstrap_interval(other - own)
    return Loss(before, after, (low, high), len(own))


def _reciprocal_ranks(
    split: MeasuredSplit, what: str, encode: Callable[[list[str]], Any]
) -> tuple[float, npt.NDArray[np.float64]]:
    """The MRR, and the part of each query in it, times their number."""
    log.info("measuring %s", what)
    figures, values = split.figures(encode)
    count = sum(len(own["mrr"]) for own in values)
    parts = [
        own["mrr"].numpy() * (source.share * count / len(own["mrr"]))
        for source, own in zip(split.sources, values, strict=True)
    ]
    return figures["mrr"], np.concatenate(parts)
