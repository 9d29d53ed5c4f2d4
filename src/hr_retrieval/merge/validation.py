"""What an encoder reaches on the validation that its runs chose their checkpoints by."""

import torch
from omegaconf import DictConfig, OmegaConf

from hr_retrieval.data.evaluation_set import evaluation_set
from hr_retrieval.data.source import fingerprint_of_all, mean_of, open_sources
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.metrics import RankingMetrics


class Validation:
    """The validation of a run, for weights that are put into one encoder.

    Args:
        config: of the run.
        data: the fingerprint of its data.
        encoder: whose weights are measured as they are when `figure` is asked for.
        metric: `None` for what the run monitors.

    Raises:
        UserError: the data of the run are not there or not as they were, or have no validation
            queries; or the metric is not measured.
    """

    def __init__(self, config: DictConfig, data: str, encoder: Encoder, metric: str | None) -> None:
        monitored = str(OmegaConf.select(config, "callbacks.best.monitor", default="validation/mrr"))
        self.metric = monitored.removeprefix("validation/") if metric is None else metric
        self.encoder = encoder
        own = config.datamodule
        folder = own.folder if isinstance(own.folder, str) else list(own.folder)
        options = OmegaConf.to_container(own.get("sources") or OmegaConf.create({}))
        assert isinstance(options, dict)
        self.sources = open_sources(
            folder, {str(name): said for name, said in options.items()}, encoder, own.identical_text, None
        )
        if fingerprint_of_all(self.sources) != data:
            raise UserError(
                f"the data of the runs (fingerprint {data[:16]}) in {folder}",
                f"other data now ({fingerprint_of_all(self.sources)[:16]})",
                "Prepare them anew as they were.",
            )
        self.sets = [
            evaluation_set(source.dataset, source.guard, "validation", own.validation_corpus, own.evaluation_queries)
            for source in self.sources
        ]
        self.texts = [
            (source.dataset.texts_at("queries", one.query_rows), source.dataset.texts_at("corpus", one.document_rows))
            for source, one in zip(self.sources, self.sets, strict=True)
        ]

    def figure(self) -> float:
        """The metric with the encoder's weights of now."""
        figures = []
        for source, one, (queries, documents) in zip(self.sources, self.sets, self.texts, strict=True):
            worded = self.encoder.reworded(**source.wording)
            metrics = RankingMetrics(one.relevance, len(queries), len(documents))
            metrics.update("query", torch.arange(len(queries)), worded.encode(queries, "query"))
            metrics.update("document", torch.arange(len(documents)), worded.encode(documents, "document"))
            figures.append({name: float(value) for name, value in metrics.compute().items()})
        whole = mean_of(self.sources, figures)
        if self.metric not in whole:
            raise UserError(f"metric to be one of {', '.join(whole)}", repr(self.metric), "Choose one of them.")
        return whole[self.metric]
