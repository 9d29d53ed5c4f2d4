"""How a job of a sweep finds its trial, also in another process or on another machine."""

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # A run outside of a sweep needs no Optuna, which is an extra.
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.trial import Trial

ENVIRONMENT = "HR_RETRIEVAL_TRIAL"
PRUNERS = ("median", "hyperband", "none")


@dataclass(frozen=True)
class TrialReference:
    """Where a trial is kept.

    Attributes:
        storage: a file of Optuna's journal, or a URL of an Optuna storage.
        study: the study's name.
        number: of the trial in it.
        pruner: one of `PRUNERS`.
        startup_trials: finished trials before the pruner judges.
    """

    storage: str
    study: str
    number: int
    pruner: str
    startup_trials: int

    @classmethod
    def of_this_job(cls) -> "TrialReference | None":
        """The trial that this process runs; `None` outside of a sweep with Optuna."""
        text = os.environ.get(ENVIRONMENT)
        return cls(**json.loads(text)) if text else None

    def override(self) -> str:
        """The override that hands this to a job: Hydra sets the variable wherever the launcher runs it."""
        text = json.dumps(asdict(self), ensure_ascii=False).replace("'", "\\'")
        return f"++hydra.job.env_set.{ENVIRONMENT}='{text}'"

    def open(self) -> "Trial":
        """The trial, to report to."""
        import optuna

        study = optuna.load_study(
            study_name=self.study,
            storage=open_storage(self.storage),
            sampler=optuna.samplers.RandomSampler(),
            pruner=pruner(self.pruner, self.startup_trials),
        )
        number_of = study._storage.get_trial_id_from_study_id_trial_number
        return optuna.trial.Trial(study, number_of(study._study_id, self.number))


def open_storage(where: str) -> "BaseStorage":
    """Optuna's storage at a URL, or its journal in a file."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    return optuna.storages.get_storage(where) if "://" in where else JournalStorage(JournalFileBackend(where))


def pruner(name: str, startup_trials: int) -> "BasePruner":
    """A pruner by one of the names in `PRUNERS`; what a trial reports is counted by validations.

    Sources: the median stopping rule of Golovin et al. 2017 (Google Vizier); Hyperband, Li et al. 2018.
    """
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if name == "median":
        return MedianPruner(n_startup_trials=startup_trials)
    return HyperbandPruner() if name == "hyperband" else NopPruner()
