"""Whether one system ranks better than others by more than chance, in a sentence."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from hr_retrieval.retrieval.significance import randomisation_test

# Below it a difference is called one.
SIGNIFICANT = 0.05
_SAME = "neither better nor worse, beyond chance, than"


def verdict(
    name: str,
    own: Float[np.ndarray, " Q"],
    others: Mapping[str, Float[np.ndarray, " Q"]],
    metric: str,
) -> str:
    """The sentence; empty where there is nothing to compare with.

    A randomisation test over the queries speaks of this one encoder: whether another seed would say
    the same, a comparison over several seeds tells.

    Args:
        name: of the system, with its article.
        own: its metric of each query.
        others: of each other system the metric of the same queries.
    """
    told: dict[str, list[str]] = {"better than": [], _SAME: [], "worse than": []}
    for other, values in others.items():
        difference, p = float(own.mean() - values.mean()), randomisation_test(own, values)
        kind = _SAME if p >= SIGNIFICANT else "better than" if difference > 0 else "worse than"
        told[kind].append(f"{other} ({difference:+.4f} {metric}, p = {p:.4f})")
    parts = [f"{kind} {' and '.join(names)}" for kind, names in told.items() if names]
    return f"{name[:1].upper()}{name[1:]} is {'; '.join(parts)}." if parts else ""
