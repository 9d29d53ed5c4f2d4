"""Mixing of each anchor with another wording of the same text."""

from dataclasses import dataclass

import torch.nn.functional as F

from hr_retrieval.errors import UserError
from hr_retrieval.objective.mixing.base import Given, Mixed, Mixing, check, without_synthetic


@dataclass(eq=False, repr=False, kw_only=True)
class QueryViewMixing(Mixing):
    """Each anchor is moved towards a view of itself, its text with some tokens left out.

    `a' = normalise((1 - w) a + w v)`, where `v` embeds the same text without each of its tokens by
    chance. A view is a positive that cannot be wrong. Documents and relevance stay as they are. The
    view is embedded in the same pass: it costs the anchors a second time. Diagnostics also:
    `view_cosine`, the mean cosine of anchors and views. Sources: Gao et al. 2021 (SimCSE, arXiv
    2104.08821: word deletion as a view), Zhang et al. 2018 (mixup, arXiv 1710.09412: the mix).

    Args:
        weight: `w`, in (0, 1].
        random: draw each anchor's weight uniformly from 0 up to this.
        drop: chance of each token but the first and the last to be left out, in (0, 1).
    """

    ramp_steps: int = 50
    added: float | None = 0.1
    weight: float = 0.5
    random: bool = False
    drop: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 < self.weight <= 1, "weight", "in (0, 1]", self.weight, "It is the view's share; 0.5 is the default.")
        check(0 < self.drop < 1, "drop", "in (0, 1)", self.drop, "It is the share of tokens that a view lacks.")

    @property
    def view_drop(self) -> float:
        return self.drop

    def mix(self, given: Given) -> Mixed:
        if given.views is None:
            raise UserError("views of the anchors", "none from the caller", "Pass them to the mixing.")
        views = self.held(given.views)
        share = given.share(self.weight, self.random, len(given.anchors), 1)
        mixed = self.unit((1 - share) * given.anchors + share * views)
        diagnostics = {
            "mixed_share": (share > 0).float().mean(),
            "shift": F.cosine_similarity(given.anchors, mixed).detach().mean(),
            "view_cosine": F.cosine_similarity(given.anchors, views).detach().mean(),
        }
        return without_synthetic(mixed, given.documents, given.labels, diagnostics, given.relevant)
