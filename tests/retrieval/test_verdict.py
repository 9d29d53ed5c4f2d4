"""A verdict says better or worse only beyond chance."""

import numpy as np

from hr_retrieval.retrieval.verdict import verdict


def test_each_system_is_told_by_its_kind() -> None:
    own = np.full(200, 0.5)
    noise = np.where(np.arange(200) % 2, 0.1, -0.1)
    told = verdict("the encoder", own, {"low": own - 0.2, "high": own + 0.2, "same": own + noise}, "mrr")
    assert told.startswith("The encoder is better than low (+0.2000 mrr, p = 0.0")
    assert "neither better nor worse, beyond chance, than same (" in told
    assert "worse than high (-0.2000 mrr, p = 0.0" in told


def test_alone_there_is_nothing_to_say() -> None:
    assert verdict("the encoder", np.ones(3), {}, "mrr") == ""
