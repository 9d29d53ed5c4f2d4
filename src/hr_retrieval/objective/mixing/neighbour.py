"""The strategies that look up neighbours of the anchors."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.objective.mixing.base import Given, Mixing, check
from hr_retrieval.objective.mixing.candidates import Neighbours
from hr_retrieval.objective.similarity import at_least_float32

SOURCES = ("batch", "queue", "corpus")


@dataclass(eq=False, repr=False, kw_only=True)
class NeighbourMixing(Mixing):
    """A strategy that looks up neighbours among the documents of the batch and, if `source` says so, beyond.

    Args:
        k: neighbours of each kind; an anchor that has fewer takes those it has.
        source: "batch"; the batch and what the caller takes from its memory "queue"; or the batch
            and, from the whole "corpus" as it was embedded at the beginning of the epoch, what is
            near to its texts.
    """

    k: int = 3
    source: str = "batch"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.k >= 1, "k", "of at least 1", self.k, "model/mixing=none takes no neighbours.")
        remedy = "queue also looks among past documents, and needs model.queue_size; corpus among all."
        check(self.source in SOURCES, "source", f"to be one of {', '.join(SOURCES)}", self.source, remedy)

    def candidates(self, given: Given) -> Neighbours:
        """The documents of the batch, then those beyond it; constants if `detach` says so."""
        if self.source == "batch":
            return Neighbours(self.held(given.documents), given.relevance, given.negative, given.identities)
        if given.neighbours is None:
            raise UserError(
                f"neighbours from the {self.source}, as model.mixing.source says",
                "none from the caller",
                "Pass them to the mixing, or set model.mixing.source=batch.",
            )
        beyond = at_least_float32(given.neighbours.embeddings).detach().to(given.documents.dtype)
        return Neighbours(
            torch.cat([self.held(given.documents), beyond]),
            torch.cat([given.relevance, given.neighbours.relevance], 1),
            torch.cat([given.negative, given.neighbours.negative], 1),
            torch.cat([given.identities, given.neighbours.identities]),
        )


def own_positives(given: Given, candidates: Neighbours) -> Bool[Tensor, "B C"]:
    """Which candidates are an anchor's own positive or a duplicate of it: anchors of one group may share a document."""
    return given.identities[: len(given.anchors)].unsqueeze(1) == candidates.identities
