"""A frozen encoder that is asked once about every text."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from hr_retrieval.encoder.encoder import Encoder, Precision
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.retrieval.mixing import Composition

# Texts at a time: enough to sort by length, few enough that the progress bar moves.
_TEXTS = 4096


class EncoderGuide:
    """An encoder with its own pooling, length and prefixes, as the guide of the false-negative guard or as a teacher.

    Its weights lie on the CPU, and on an accelerator, if there is one, only while it embeds.

    Args:
        mixing: with which it ranks, of no parts for none.
    """

    def __init__(self, encoder: Encoder, mixing: Composition | None = None) -> None:
        self.encoder = encoder.eval().requires_grad_(False)
        self.mixing = mixing or Composition()
        self.fingerprint = self.encoder.embedding_fingerprint()

    @property
    def dimension(self) -> int:
        """Length of the embeddings."""
        return self.encoder.embedding_dimension

    def embed(self, blocks: Iterable[list[str]], kind: Kind) -> Iterator[npt.NDArray[np.float16]]:
        """Unit embeddings `[n, g]` of the texts in their order, some thousand texts at a time."""
        self.encoder.to("cuda" if torch.cuda.is_available() else "cpu")
        fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        precision: Precision = "bf16" if fast else "float32"
        try:
            for block in blocks:
                for begin in range(0, len(block), _TEXTS):
                    embeddings = self.encoder.encode(block[begin : begin + _TEXTS], kind, precision=precision)
                    yield embeddings.cpu().numpy().astype(np.float16)
        finally:
            self.encoder.to("cpu")
