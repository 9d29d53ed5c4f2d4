"""A folder with an ONNX graph of an encoder, run by onnxruntime on the CPU."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hr_retrieval.encoder.graph import GRAPH, INPUTS, OUTPUT

# Texts at a time.
_TEXTS = 32


class GraphSession:
    """What `encoder.graph.write_graph` wrote, opened.

    Args:
        folder: it lies in.
        threads: of the CPU; `None` for as many as torch takes.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def encode(self, texts: list[str]) -> Float[Tensor, "N d"]:
        """Unit embeddings of texts as they are read (`Encoder.worded`), those of like length together."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        parts = [[texts[place] for place in order[begin : begin + _TEXTS]] for begin in range(0, len(order), _TEXTS)]
        return torch.cat([self._run(part) for part in parts])[torch.tensor(order).argsort()]

    def _run(self, texts: list[str]) -> Float[Tensor, "n d"]:
        encodings = self._tokenizer.encode_batch_fast(texts)
        given = [[one.ids for one in encodings], [one.attention_mask for one in encodings]]
        arrays = {name: np.array(own, np.int64) for name, own in zip(INPUTS, given, strict=True)}
        return torch.from_numpy(self._session.run([OUTPUT], arrays)[0])
