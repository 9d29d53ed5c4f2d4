"""Ranks behind a second stage that puts the best documents of a first one in another order."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.ranking import Ranking
from hr_retrieval.retrieval.relevance import Relevance


def reordered(ranking: Ranking, relevance: Relevance, scores: Float[Tensor, "Q depth"]) -> Int[Tensor, " nnz"]:
    """The rank of each relevant document where the best `depth` of each query are ordered by these
    scores; equal ones stay in their order, and what is behind them keeps its rank.

    Args:
        ranking: of the first stage, with at least `depth` documents a query.
        scores: of its best documents, in their order.

    Raises:
        UserError: there are fewer documents.
    """
    depth = scores.shape[1]
    if ranking.rows.shape[1] < depth:
        raise UserError(
            f"the best {depth} documents of each query", f"{ranking.rows.shape[1]}", "Rank with a larger k."
        )
    order = scores.masked_fill(ranking.rows[:, :depth] < 0, -torch.inf).argsort(dim=1, descending=True, stable=True)
    places = torch.empty_like(order).scatter_(1, order, torch.arange(depth).expand_as(order))
    owners = relevance.owners
    among = ranking.ranks <= depth
    ranks = ranking.ranks.clone()
    ranks[among] = places[owners[among], ranking.ranks[among] - 1] + 1
    return ranks
