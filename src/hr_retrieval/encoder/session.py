"""A folder with an ONNX graph of an encoder, run by onnxruntime on the CPU."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor

from hr_retrieval.encoder.passages import Cutter, Span
from hr_retrieval.encoder.wording import KINDS, Kind, around
from hr_retrieval.errors import UserError
from hr_retrieval.files import read_json

GRAPH, FILE = "model.onnx", "graph.json"
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
# Texts at a time.
_TEXTS = 32


class GraphSession:
    """What `encoder.graph.write_graph` wrote, opened.

    Args:
        folder: it lies in.
        threads: of the CPU; `None` for as many as torch takes.

    Attributes:
        tokenizer: cuts as the encoder does, and pads.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def encode(self, texts: list[str]) -> Float[Tensor, "N d"]:
        """Unit embeddings of texts as they are read (`Encoder.worded`), those of like length together."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        parts = [[texts[place] for place in order[begin : begin + _TEXTS]] for begin in range(0, len(order), _TEXTS)]
        return torch.cat([self._run(part) for part in parts])[torch.tensor(order).argsort()]

    def _run(self, texts: list[str]) -> Float[Tensor, "n d"]:
        encodings = self.tokenizer.encode_batch_fast(texts)
        given = [[one.ids for one in encodings], [one.attention_mask for one in encodings]]
        arrays = {name: np.array(own, np.int64) for name, own in zip(INPUTS, given, strict=True)}
        return torch.from_numpy(self._session.run([OUTPUT], arrays)[0])


class GraphEncoder:
    """The encoder behind a graph: texts in its wording to the same unit embeddings.

    Args:
        folder: that `encoder.graph.write_graph` wrote.
        threads: as of `GraphSession`.

    Raises:
        UserError: its weights are of 8 bits, whose embeddings are others.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        content = read_json(folder / FILE)
        if content["weights"] != "float32":
            raise UserError(
                f"a graph with the encoder's own weights in {folder}",
                f"weights in {content['weights']}, which give other embeddings",
                "Export it with format=onnx.",
            )
        self._session = GraphSession(folder, threads)
        self._around = {kind: around(None, content[f"{kind}_template"], kind) for kind in KINDS}
        self._cutters: dict[tuple[str, int], Cutter] = {}
        self._max_length: int = content["max_length"]
        self._fingerprint: str = content["encoder"]

    def encode(self, texts: list[str], kind: Kind) -> Float[Tensor, "N d"]:
        """Unit embeddings of texts in their order."""
        before, behind = self._around[kind]
        return self._session.encode([f"{before}{text}{behind}" for text in texts])

    def passages(self, texts: list[str], kind: Kind, overlap: int) -> list[list[Span]]:
        """As `Encoder.passages`."""
        before, behind = self._around[kind]
        way = f"{before}{behind}", overlap
        if way not in self._cutters:
            own = Tokenizer.from_str(self._session.tokenizer.to_str())
            self._cutters[way] = Cutter(own, way[0], self._max_length, overlap)
        return self._cutters[way](texts)

    def embedding_fingerprint(self) -> str:
        """Of the encoder that the graph was made of."""
        return self._fingerprint
