"""Anchors or documents mixed pairwise, their relevance mixed alike (i-Mix, Metrix)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from hr_retrieval.objective.mixing.base import ABSENT, Given, Mixed, Mixing, check, without_synthetic


@dataclass(eq=False, repr=False, kw_only=True)
class SoftLabelMixing(Mixing):
    """Each anchor is mixed with another one, and is then relevant to the documents of both, in the same shares.

    `a'_i = normalise((1 - s) a_i + s a_j)` and `r'_i = (1 - s) r_i + s r_j` for a random
    permutation `j` of the batch, where `1 - s` is drawn from Beta(alpha, alpha). With `side`
    "documents", the documents and the columns of the relevance. Where a document is neither
    relevant nor a negative of one of both, so it is of the mixed anchor. Sources: Lee et al. 2021
    (i-Mix, arXiv 2010.08887), which mixes inputs; Venkataramanan et al. 2022 (Metrix, arXiv
    2106.04990), which also mixes embeddings.

    Args:
        alpha: of the Beta distribution, above 0: 1 is uniform, less keeps closer to one of the two,
            more to the middle.
        side: "anchors" or "documents".
    """

    alpha: float = 1.0
    side: str = "anchors"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.alpha > 0, "alpha", "above 0", self.alpha, "1 mixes by every share alike.")
        remedy = "It is the side that is mixed; anchors is the default."
        check(self.side in ("anchors", "documents"), "side", 'to be "anchors" or "documents"', self.side, remedy)

    def mix(self, given: Given) -> Mixed:
        plain = given.anchors if self.side == "anchors" else given.documents
        labels = given.labels if self.side == "anchors" else given.labels.T
        partner = torch.from_numpy(given.random.permutation(len(plain))).to(plain.device)
        share = given.tensor((1 - given.random.beta(self.alpha, self.alpha, (len(plain), 1))) * given.ramp)
        # A row that was dealt to itself stays exactly as it is.
        share = share.masked_fill((partner == torch.arange(len(plain), device=plain.device)).unsqueeze(1), 0)
        mixed = self.unit((1 - share) * plain + share * self.held(plain[partner]))
        neither = (labels == ABSENT) | (labels[partner] == ABSENT)
        mixed_labels = torch.lerp(labels, labels[partner], share).masked_fill(neither, ABSENT)
        diagnostics = {
            "mixed_share": (share > 0).float().mean(),
            "shift": F.cosine_similarity(plain, mixed).detach().mean(),
        }
        if self.side == "anchors":
            return without_synthetic(mixed, given.documents, mixed_labels, diagnostics)
        return without_synthetic(given.anchors, mixed, mixed_labels.T, diagnostics)
