"""Figures for MLflow, under names that it takes, and all parts of a resumed run as one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import MLFlowLogger

from hr_retrieval.files import whole_file


class MlflowLog(MLFlowLogger):
    """Lightning's logger: `pass@1` is `pass_at_1`, since MLflow knows no `@`.

    Args:
        run_file: where the run's id in MLflow is kept, by which a resumed run goes on with it.
        options: as `MLFlowLogger` takes them.
    """

    def __init__(self, run_file: str | Path, **options: Any) -> None:
        self._run_file = Path(run_file)
        known = self._run_file.read_text(encoding="utf-8").strip() if self._run_file.exists() else None
        super().__init__(run_id=known, **options)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics({name.replace("@", "_at_"): value for name, value in metrics.items()}, step)
        if self.run_id is not None and not self._run_file.exists():
            with whole_file(self._run_file) as partial:
                partial.write_text(self.run_id, encoding="utf-8")
