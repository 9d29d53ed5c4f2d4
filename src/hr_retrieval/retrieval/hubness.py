"""How unevenly rankings spread over the documents: the skewness of how often each is found."""

import torch
from jaxtyping import Int
from torch import Tensor


def hubness(rows: Int[Tensor, "Q k"], document_count: int) -> float:
    """Skewness of the `k`-occurrence: `E[(N_k - m)^3] / s^3`, `N_k` the number of queries that have
    a document among their best `k`, `m` its mean over the documents and `s` its standard deviation;
    0 where all are found equally often.

    Radovanović, Nanopoulos and Ivanović, Hubs in space, JMLR 2010, equation 1.

    Args:
        rows: of the best documents of each query; below 0 where there is none.
    """
    counts = torch.bincount(rows[rows >= 0].flatten(), minlength=document_count).double()
    apart = counts - counts.mean()
    deviation = apart.square().mean().sqrt()
    return float((apart**3).mean() / deviation**3) if deviation > 0 else 0.0
