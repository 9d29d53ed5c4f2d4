"""Classes under the names that configs of earlier versions have for them, so that old runs open."""

from collections.abc import Mapping
from typing import Any

# The old name of each class that a config has ever named -> where the class is now. A class that
# moves again changes the right side, and its name until then is one line more.
MOVED: Mapping[str, str] = {
    "hr_retrieval.alarms.Alarms": "hr_retrieval.train.alarms.Alarms",
    "hr_retrieval.board.Projector": "hr_retrieval.train.tensorboard.Projector",
    "hr_retrieval.board.ScoreHistograms": "hr_retrieval.train.tensorboard.ScoreHistograms",
    "hr_retrieval.board.WorstQueries": "hr_retrieval.train.tensorboard.WorstQueries",
    "hr_retrieval.callbacks.EpochReport": "hr_retrieval.train.report.EpochReport",
    "hr_retrieval.callbacks.MetricsFile": "hr_retrieval.train.metrics_file.MetricsFile",
    "hr_retrieval.callbacks.MineNegatives": "hr_retrieval.train.mining.MineNegatives",
    "hr_retrieval.callbacks.StepCheckpoint": "hr_retrieval.train.checkpointing.StepCheckpoint",
    "hr_retrieval.data.beir.BeirReader": "hr_retrieval.prepare.readers.beir.BeirReader",
    "hr_retrieval.data.clean.Columns": "hr_retrieval.prepare.columns.Columns",
    "hr_retrieval.data.esco.EscoReader": "hr_retrieval.prepare.readers.esco.EscoReader",
    "hr_retrieval.data.preparation.Preparation": "hr_retrieval.prepare.preparation.Preparation",
    "hr_retrieval.data.raw.CsvReader": "hr_retrieval.prepare.readers.csv.CsvReader",
    "hr_retrieval.data.raw.JsonLinesReader": "hr_retrieval.prepare.readers.json_lines.JsonLinesReader",
    "hr_retrieval.data.raw.ParquetReader": "hr_retrieval.prepare.readers.parquet.ParquetReader",
    "hr_retrieval.data.raw.PickleReader": "hr_retrieval.prepare.readers.pickle.PickleReader",
    "hr_retrieval.model.encoder.Encoder": "hr_retrieval.encoder.encoder.Encoder",
    "hr_retrieval.model.loss.SoftmaxLoss": "hr_retrieval.objective.triplet.TripletLoss",
    "hr_retrieval.model.loss.TripletLoss": "hr_retrieval.objective.triplet.TripletLoss",
    "hr_retrieval.model.mixing.AnchorMixing": "hr_retrieval.objective.mixing.AnchorMixing",
    "hr_retrieval.model.mixing.AnchorNegativeMixing": "hr_retrieval.objective.mixing.AnchorNegativeMixing",
    "hr_retrieval.model.mixing.NegativeNegativeMixing": "hr_retrieval.objective.mixing.NegativeNegativeMixing",
    "hr_retrieval.model.mixing.NeighbourPositiveMixing": "hr_retrieval.objective.mixing.NeighbourPositiveMixing",
    "hr_retrieval.model.mixing.NoMixing": "hr_retrieval.objective.mixing.NoMixing",
    "hr_retrieval.model.mixing.PositiveNegativeMixing": "hr_retrieval.objective.mixing.PositiveNegativeMixing",
    "hr_retrieval.model.mixing.PositivePositiveMixing": "hr_retrieval.objective.mixing.PositivePositiveMixing",
    "hr_retrieval.model.mixing.SoftLabelMixing": "hr_retrieval.objective.mixing.SoftLabelMixing",
    "hr_retrieval.model.module.RetrievalModule": "hr_retrieval.train.module.RetrievalModule",
    "hr_retrieval.model.schedule.WarmupLinear": "hr_retrieval.train.schedule.WarmupLinear",
    "hr_retrieval.model.sharding.ShardedStrategy": "pytorch_lightning.strategies.DDPStrategy",
    "hr_retrieval.objective.loss.SoftmaxLoss": "hr_retrieval.objective.triplet.TripletLoss",
    "hr_retrieval.objective.loss.TripletLoss": "hr_retrieval.objective.triplet.TripletLoss",
}
# What an old class was by itself, where the class that it is now has to be told.
_TOLD: Mapping[str, Mapping[str, Any]] = {
    "hr_retrieval.model.loss.SoftmaxLoss": {"form": "smooth"},
    "hr_retrieval.model.loss.TripletLoss": {"form": "hinge"},
    "hr_retrieval.objective.loss.SoftmaxLoss": {"form": "smooth"},
    "hr_retrieval.objective.loss.TripletLoss": {"form": "hinge"},
}


def with_new_names(content: Any) -> Any:
    """A config as plain containers, with every `_target_` under the name that its class has now,
    and told what it was then.
    """
    if isinstance(content, list):
        return [with_new_names(value) for value in content]
    if not isinstance(content, dict):
        return content
    target = content.get("_target_")
    told = _TOLD.get(target, {}) if isinstance(target, str) else {}
    return {**told} | {
        key: MOVED.get(value, value) if key == "_target_" and isinstance(value, str) else with_new_names(value)
        for key, value in content.items()
    }
