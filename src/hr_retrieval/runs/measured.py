"""A split of a run's data, to measure encoders on as the run was measured."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from hr_retrieval.data.evaluation_set import evaluation_set
from hr_retrieval.data.source import fingerprint_of_all, mean_of, open_sources
from hr_retrieval.data.tables import Split
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.metrics import RankingMetrics

# Embeddings of texts as they are read (`Encoder.worded`).
Encode = Callable[[list[str]], Float[Tensor, "N d"]]


class MeasuredSplit:
    """One split of each source of a run.

    Args:
        config: of the run.
        data: the fingerprint of its data.
        encoder: whose words are put around the texts.
        split: `validation` or `test`.

    Raises:
        UserError: the data of the run are not there or not as they were, or the split has no
            queries.
    """

    def __init__(self, config: DictConfig, data: str, encoder: Encoder, split: Split) -> None:
        own = config.datamodule
        folder = own.folder if isinstance(own.folder, str) else list(own.folder)
        options = OmegaConf.to_container(own.get("sources") or OmegaConf.create({}))
        assert isinstance(options, dict)
        self.sources = open_sources(
            folder, {str(name): said for name, said in options.items()}, encoder, own.identical_text, None
        )
        if fingerprint_of_all(self.sources) != data:
            raise UserError(
                f"the data of the run (fingerprint {data[:16]}) in {folder}",
                f"other data now ({fingerprint_of_all(self.sources)[:16]})",
                "Prepare them anew as they were.",
            )
        corpus = own[f"{split}_corpus"]
        self.sets = [
            evaluation_set(source.dataset, source.guard, split, corpus, own.evaluation_queries)
            for source in self.sources
        ]
        self._texts = []
        for source, one in zip(self.sources, self.sets, strict=True):
            worded = encoder.reworded(**source.wording)
            queries = source.dataset.texts_at("queries", one.query_rows)
            documents = source.dataset.texts_at("corpus", one.document_rows)
            self._texts.append((worded.worded(queries, "query"), worded.worded(documents, "document")))

    def figures(self, encode: Encode) -> tuple[dict[str, float], list[dict[str, Float[Tensor, " measured"]]]]:
        """The metrics, of several sources as their mean by shares and of each; and those of each query by source."""
        means, values = [], []
        for one, (queries, documents) in zip(self.sets, self._texts, strict=True):
            metrics = RankingMetrics(one.relevance, len(queries), len(documents))
            metrics.update("query", torch.arange(len(queries)), encode(queries))
            metrics.update("document", torch.arange(len(documents)), encode(documents))
            means.append({name: float(value) for name, value in metrics.compute().items()})
            values.append(metrics.query_values)
        return mean_of(self.sources, means), values


def as_read(encoder: Encoder) -> Encode:
    """Embeddings by an encoder, with its weights of the moment, of texts that have their words already."""
    plain = encoder.reworded(query_prefix="")
    return lambda texts: plain.encode(texts, "query")
