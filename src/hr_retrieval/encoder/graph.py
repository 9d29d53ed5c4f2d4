"""An encoder as one ONNX graph, from token ids to unit embeddings, and the folder that it is shipped in."""

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.mode import evaluating
from hr_retrieval.encoder.pooling import pool_padded
from hr_retrieval.encoder.session import FILE, GRAPH, INPUTS, OUTPUT
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json, write_json

# What torch's exporter writes by itself, and what onnxruntime reads from 1.14 on.
OPSET = 18
# A protobuf holds 2 GB; the weights of larger models go into a file beside it.
_MOST = 1 << 31


def write_graph(encoder: Encoder, folder: Path) -> None:
    """Write `model.onnx`, the tokenizer's files and `graph.json` into a folder.

    The graph takes token ids and their mask, both `[batch, length]` of int64, padded behind the
    last token, and gives unit vectors `[batch, dimension]` in float32. Batch and length may be any,
    up to the length that the encoder reads. Pooling, dense layers, truncation and normalisation are
    inside. `graph.json` says what both are called, and what is put around each query and document.

    Args:
        encoder: on the CPU.

    Raises:
        UserError: the encoder has two sides.
    """
    if encoder.two_sided:
        raise UserError(
            "an encoder that embeds queries and documents alike, as one graph does",
            f"{encoder.name_or_path}, with a side for each",
            "Export it with format=sentence-transformers.",
        )
    with _silent():
        _export(encoder, folder / GRAPH)
    encoder.save_tokenizer(folder)
    content = {
        "inputs": list(INPUTS),
        "output": OUTPUT,
        "dimension": encoder.embedding_dimension,
        "opset": OPSET,
        "weights": "float32",
        "max_length": encoder.max_length,
        **encoder.wording,
        "encoder": encoder.embedding_fingerprint(),
    }
    write_json(folder / FILE, content)


def quantise(source: Path, folder: Path) -> None:
    """Write what `write_graph` wrote into `source` into another folder, with weights of 8 bits.

    What they are multiplied with is rounded to 8 bits on the fly (dynamic quantisation), with a
    scale for each column of the weights; these have 7 bits, so that nothing overflows on processors
    without VNNI.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _silent():
        quantize_dynamic(
            source / GRAPH, folder / GRAPH, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8
        )
    for file in source.glob("*.json"):
        shutil.copyfile(file, folder / file.name)
    write_json(folder / FILE, {**read_json(source / FILE), "weights": "int8"})


class _Whole(nn.Module):
    """What the graph computes."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Int[Tensor, "B L"], attention_mask: Int[Tensor, "B L"]) -> Float[Tensor, "B d"]:
        reader = self.encoder.readers["query"]
        hidden = reader.token_vectors.padded(input_ids, attention_mask)
        return self.encoder.finished(pool_padded(hidden, attention_mask, reader.pooling))


def _export(encoder: Encoder, path: Path) -> None:
    ids = torch.arange(6).view(2, 3)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=encoder.max_length)}
    weights = sum(weight.nbytes for weight in encoder.parameters())
    with evaluating(whole := _Whole(encoder)):
        torch.onnx.export(
            whole,
            (ids, mask),
            path,
            input_names=INPUTS,
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=dict.fromkeys(INPUTS, sizes),
            external_data=weights >= _MOST,
            verbose=False,
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Without what the libraries say of their own insides."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
