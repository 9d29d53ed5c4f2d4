"""What gives texts their embeddings to a search: an encoder, by its weights or by its graph."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from hr_retrieval.encoder.passages import Span
from hr_retrieval.encoder.wording import Kind


@runtime_checkable
class Embedder(Protocol):
    """`Encoder`, or `GraphEncoder`, which needs neither torch's modules nor transformers."""

    def encode(self, texts: list[str], kind: Kind) -> Float[Tensor, "N d"]:
        """Unit embeddings of texts in their order."""

    def passages(self, texts: list[str], kind: Kind, overlap: int) -> list[list[Span]]:
        """Where each text is cut into passages that are read whole, as `encoder.passages.Cutter` says."""

    def embedding_fingerprint(self) -> str:
        """Of the encoder; changes whenever the same text could get another embedding."""
