"""What an encoder reaches on the validation that its runs chose their checkpoints by."""

from omegaconf import DictConfig, OmegaConf

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.runs.measured import MeasuredSplit, as_read


class Validation:
    """The validation of a run, for weights that are put into one encoder.

    Args:
        config: of the run.
        data: the fingerprint of its data.
        encoder: whose weights are measured as they are when `figure` is asked for.
        metric: `None` for what the run monitors.

    Raises:
        UserError: the data of the run are not there or not as they were, or have no validation
            queries.
    """

    def __init__(self, config: DictConfig, data: str, encoder: Encoder, metric: str | None) -> None:
        monitored = str(OmegaConf.select(config, "callbacks.best.monitor", default="validation/mrr"))
        self.metric = monitored.removeprefix("validation/") if metric is None else metric
        self._measured = MeasuredSplit(config, data, encoder, "validation")
        self._encode = as_read(encoder)

    def figure(self) -> float:
        """The metric with the encoder's weights of now.

        Raises:
            UserError: it is not measured.
        """
        whole, _ = self._measured.figures(self._encode)
        if self.metric not in whole:
            raise UserError(f"metric to be one of {', '.join(whole)}", repr(self.metric), "Choose one of them.")
        return whole[self.metric]
