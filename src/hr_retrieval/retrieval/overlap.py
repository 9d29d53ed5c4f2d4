"""How alike two rankings are, the top before all: rank-biased overlap.

Webber, Moffat and Zobel, A similarity measure for indefinite rankings, ACM TOIS 28(4), 2010. With
`X_d` the number of documents that stand among the first `d` of both rankings, and both known to
depth `k`, the extrapolated form is

    RBO_ext = X_k / k p^k + (1 - p) / p sum_{d = 1 .. k} X_d / d p^d (equation 23)

It is 1 for equal rankings, 0 for those that share nothing. With `p` = 0.9 the first ten places have
86 % of the weight.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.errors import UserError

PERSISTENCE = 0.9
# Comparisons of two places held at a time.
_COMPARED = 1 << 24


def rank_biased_overlap(a: Int[Tensor, "Q k"], b: Int[Tensor, "Q k"], p: float = PERSISTENCE) -> Float[Tensor, " Q"]:
    """RBO_ext, in float64, of each row of `a` with that of `b`: document rows, best first, each once in a ranking.

    Raises:
        UserError: `p` is not between 0 and 1, or a ranking is empty.
    """
    if not 0 < p < 1:
        raise UserError("p between 0 and 1", str(p), "Use 0.9.")
    depth = a.shape[1]
    if not depth:
        raise UserError("rankings of at least one document", "none", "Rank the corpus first.")
    size = max(1, _COMPARED // depth**2)
    shared = torch.cat(
        [_shared(one, other) for one, other in zip(torch.split(a, size), torch.split(b, size), strict=True)]
    )
    depths = torch.arange(1, depth + 1, dtype=torch.float64, device=a.device)
    agreement, weights = shared / depths, p**depths
    return agreement[:, -1] * p**depth + (1 - p) / p * (agreement * weights).sum(dim=1)


def _shared(a: Int[Tensor, "q k"], b: Int[Tensor, "q k"]) -> Int[Tensor, "q k"]:
    """Documents that stand among the first 1, 2, ... k of both."""
    places = torch.arange(a.shape[1], device=a.device)
    # A document on places i and j is shared from the deeper of the two on.
    deeper = torch.maximum(places[:, None], places[None, :]).flatten()
    same = (a[:, :, None] == b[:, None, :]).flatten(1).long()
    return torch.zeros_like(a).index_add_(1, deeper, same).cumsum(dim=1)
