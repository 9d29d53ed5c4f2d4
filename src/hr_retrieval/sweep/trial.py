"""The trial of a sweep that a job is: how the job finds it, also in another process or on another machine."""

import json
import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # A run outside of a sweep needs no Optuna, which is an extra.
    from optuna.storages import JournalStorage
    from optuna.study import Study
    from optuna.trial import Trial

_ENVIRONMENT, _STUDY = "HR_RETRIEVAL_TRIAL", "sweep"
# What the value of a trial is.
VALUE = "best validation"


def trial_override(number: int, journal: str, *study: str | int) -> str:
    """The override that tells a job its trial: Hydra sets the variable wherever the launcher runs the job.

    Launchers print overrides but those of Hydra itself, such as this one.

    Args:
        number: of the trial.
        journal: the file of the study.
        study: the other arguments of `open_study`.
    """
    text = json.dumps([number, journal, study], ensure_ascii=False).replace("'", "\\'")
    return f"hydra.job.env_set.{_ENVIRONMENT}='{text}'"


def trial_of_this_job() -> "Trial | None":
    """The trial to report to; `None` outside of a sweep with Optuna."""
    if not os.environ.get(_ENVIRONMENT):
        return None
    from optuna.trial import Trial

    number, journal, study = json.loads(os.environ[_ENVIRONMENT])
    storage = open_journal(journal)
    number_of = storage.get_trial_id_from_study_id_trial_number
    return Trial(open_study(storage, *study), number_of(storage.get_study_id_from_name(_STUDY), number))


def open_journal(path: str) -> "JournalStorage":
    """The file as Optuna's storage, new if there is none."""
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    return JournalStorage(JournalFileBackend(path))


def open_study(storage: "JournalStorage", pruner: str, startup_trials: int) -> "Study":
    """The study of a sweep, new if there is none.

    Args:
        storage: that of the sweep alone.
        pruner: median, hyperband or none; what a trial reports is counted by validations. Sources:
            the median stopping rule of Golovin et al. 2017 (Google Vizier); Hyperband, Li et al.
            2018.
        startup_trials: finished trials before the median is judged by.
    """
    from optuna import create_study, exceptions, logging
    from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner

    logging.set_verbosity(logging.WARNING)
    pruners: dict[str, BasePruner] = {
        "median": MedianPruner(n_startup_trials=startup_trials),
        "hyperband": HyperbandPruner(),
        "none": NopPruner(),
    }
    study = create_study(
        storage=storage,
        study_name=_STUDY,
        direction="maximize",
        load_if_exists=True,
        pruner=pruners[pruner],
    )
    if study.metric_names is None:
        with warnings.catch_warnings(category=exceptions.ExperimentalWarning, action="ignore"):
            # What charts write on their axes.
            study.set_metric_names([VALUE])
    return study
