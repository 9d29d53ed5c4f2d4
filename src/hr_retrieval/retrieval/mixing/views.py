"""Each text with other wordings of it."""

from dataclasses import dataclass, replace
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from hr_retrieval.retrieval.index import ExactIndex
from hr_retrieval.retrieval.mixing.base import Need, RankingMixing, check
from hr_retrieval.retrieval.mixing.corpus import Corpus, Side

PLACE = "{text}"
TEMPLATES = (
    'The candidate\'s job title is "{text}".',
    'The candidate\'s job title is "{text}". What skills are likely required for this job?',
)


@dataclass(frozen=True, kw_only=True)
class ViewMixing(RankingMixing):
    """Each embedding is moved to the mean of those of several wordings of its text, on both sides.

    `x' = normalise((1 - w) x + w normalise(mean_j e(template_j(x))))`. Each template is one more
    pass of the encoder.

    Prompt ensembling: Radford et al., Learning transferable visual models from natural language
    supervision, ICML 2021, 3.1.4.

    Args:
        weight: `w`, from 0 up to 1.
        query_templates: wordings of a query, each with {text} in it.
        document_templates: likewise of a document.
    """

    name: ClassVar[str] = "views"
    weight: float = 1.0
    query_templates: tuple[str, ...] = TEMPLATES
    document_templates: tuple[str, ...] = TEMPLATES

    def __post_init__(self) -> None:
        check(0 <= self.weight <= 1, self.name, "weight", "from 0 to 1", self.weight, "0 leaves texts as they are.")
        for key in ("query_templates", "document_templates"):
            templates = tuple(getattr(self, key))
            right = bool(templates) and all(PLACE in template for template in templates)
            check(right, self.name, key, f"with {PLACE} in each", templates, "Write the text's place into each.")
            object.__setattr__(self, key, templates)

    def scaled(self, share: float) -> "ViewMixing":
        return replace(self, weight=self.weight * share)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset[Need]({"views"})

    def documents(self, documents: Float[Tensor, "N d"], corpus: Corpus) -> Float[Tensor, "N d"]:
        return self._moved(documents, corpus.side)

    def queries(self, queries: Float[Tensor, "Q d"], documents: ExactIndex | None, texts: Side) -> Float[Tensor, "Q d"]:
        return self._moved(queries, texts)

    def _moved(self, embeddings: Float[Tensor, "n d"], texts: Side) -> Float[Tensor, "n d"]:
        assert texts.views is not None, "asked for by `needs`"
        return F.normalize((1 - self.weight) * embeddings + self.weight * texts.views, dim=1)

    def __str__(self) -> str:
        count = len(self.query_templates)
        return f"each text moved by {self.weight:g} to the mean of {count} wording{'s' if count > 1 else ''} of it"
