"""What an option of `ranking/mixing=` asks for."""

from typing import Any

from hr_retrieval.config.build import build
from hr_retrieval.retrieval.mixing import AutoMixing, Composition, RankingMixing


def offered_mixing(node: Any) -> Composition:
    """The strategies of an option, each at its full strength; a config from before there were any offers none."""
    built: Composition | RankingMixing = Composition() if node is None else build(node, _convert_="all")
    return Composition.of(built) if isinstance(built, RankingMixing) else built


def asked_mixing(node: Any) -> Composition | None:
    """The mixing that an option states, at full strength; `None` for `auto`, which takes the one that was chosen."""
    mixing = offered_mixing(node)
    return None if isinstance(mixing, AutoMixing) else mixing
