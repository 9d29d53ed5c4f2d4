"""Anchors scored against documents mixed as they are when a corpus is ranked."""

from dataclasses import dataclass

import torch.nn.functional as F

from hr_retrieval.objective.mixing.base import Given, Mixed, check, without_synthetic
from hr_retrieval.objective.mixing.candidates import nearest
from hr_retrieval.objective.mixing.neighbour import NeighbourMixing


@dataclass(eq=False, repr=False, kw_only=True)
class DocumentMixing(NeighbourMixing):
    """Each document is moved towards its nearest documents, whatever they are relevant to, as at ranking time.

    `d' = normalise((1 - w) d + w sum_j softmax(cos(d, n_j) / temperature) n_j)` over its `k`
    nearest documents `n_j`, itself and its duplicates aside. A document stays relevant to what it
    was relevant to, as in a ranking: the judgement is of the document, not of its neighbours. What
    no anchor of the batch says anything of is not mixed in. Source: Arandjelovic and Zisserman 2012
    (database-side feature augmentation, CVPR), here in training too.

    Args:
        weight: `w`, in (0, 1).
        temperature: of the softmax; a lower one favours the nearest.
    """

    k: int = 10
    ramp_steps: int = 50
    source: str = "corpus"
    added: float | None = 0.1
    weight: float = 0.6
    temperature: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            0 < self.weight < 1, "weight", "in (0, 1)", self.weight, "It is the neighbours' share; 0.6 is the default."
        )
        remedy = "The smaller it is, the more the nearest neighbour weighs; 0.05 is the default."
        check(self.temperature > 0, "temperature", "above 0", self.temperature, remedy)

    def mix(self, given: Given) -> Mixed:
        candidates = self.candidates(given)
        others = given.identities.unsqueeze(1) != candidates.identities
        said = (candidates.relevance | candidates.negative).any(0)
        near = nearest(self.held(given.documents), candidates.embeddings, others & said, self.k)
        share = given.share(self.weight, False, len(given.documents), 1) * near.found.any(1, keepdim=True)
        mixed = self.unit((1 - share) * given.documents + share * near.blend(near.weights("softmax", self.temperature)))
        diagnostics = {
            "mixed_share": (share[: len(given.anchors)] > 0).float().mean(),
            "shift": F.cosine_similarity(given.documents, mixed).detach().mean(),
        }
        return without_synthetic(given.anchors, mixed, given.labels, diagnostics, given.relevant)
