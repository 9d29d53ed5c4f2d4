"""What the options of `ranking/mixing=` ask for."""

import pytest
from omegaconf import OmegaConf

from hr_retrieval.errors import UserError
from hr_retrieval.ranking.options import asked_mixing, offered_mixing
from hr_retrieval.retrieval.mixing import AutoMixing, Composition, DocumentMixing, HubCorrection, QueryMixing
from tests.test_configs import composed


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_auto_offers_documents_queries_and_hubs_and_asks_for_what_was_chosen(verb: str) -> None:
    node = composed(verb).ranking.mixing
    offered = offered_mixing(node)
    assert offered == AutoMixing(documents=DocumentMixing(), queries=QueryMixing(), hubs=HubCorrection())
    assert asked_mixing(node) is None


def test_other_options_ask_for_what_they_state() -> None:
    assert asked_mixing(composed("evaluate", "ranking/mixing=none").ranking.mixing) == Composition()
    one = composed("evaluate", "ranking/mixing=documents", "ranking.mixing.k=3").ranking.mixing
    assert asked_mixing(one) == offered_mixing(one) == Composition(documents=DocumentMixing(k=3))
    assert offered_mixing(None) == Composition()
    with pytest.raises(UserError, match="weight of ranking/mixing=documents"):
        offered_mixing(OmegaConf.merge(one, {"weight": 1.5}))
