"""A sweep: trials that Optuna proposes, run as Hydra's jobs, kept in a file from which a killed sweep goes on."""

import fcntl
import logging
import math
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hr_retrieval.errors import UserError
from hr_retrieval.files import whole_file
from hr_retrieval.search_space import SearchSpace
from hr_retrieval.trial import PRUNERS, TrialReference, open_storage, pruner

log = logging.getLogger(__name__)

SAMPLERS = ("tpe", "random", "grid")
DIRECTIONS = ("maximize", "minimize")

# A trial whose process dies with it may be what kills it (memory): it is not begun for ever.
_ATTEMPTS = 3
_LAUNCHER_FAILURES = 3
_SHOWN = 5

# The jobs' overrides and the number of the first one -> what became of each.
Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]


@dataclass(frozen=True)
class Settings:
    """What `configs/hydra/sweeper/optuna.yaml` holds; each field is explained there.

    Raises:
        UserError: a name or a number that is none of the possible ones.
    """

    direction: str
    n_trials: int | None
    timeout_s: float | None
    n_jobs: int
    sampler: str
    seed: int
    pruner: str
    startup_trials: int
    retry_failed: bool
    study_name: str
    storage: str | None

    def __post_init__(self) -> None:
        for name, allowed in (("direction", DIRECTIONS), ("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if getattr(self, name) not in allowed:
                raise _unfit(name, " or ".join(allowed), getattr(self, name))
        for name in ("n_trials", "n_jobs"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise _unfit(name, "1 or more", getattr(self, name))
        if self.n_trials is None and self.timeout_s is None and self.sampler != "grid":
            raise _unfit("n_trials", "a number, unless timeout_s or the grid ends the sweep", None)


class Sweep:
    """One sweep in its folder.

    A trial's value is what its job returns. A job that raises `optuna.TrialPruned` was pruned; any other exception, and
    a value that is no finite number, is a failed trial, and the sweep goes on. Values that were tried already are not run
    again: the trial takes over what became of the first one.

    Files in the folder: `study.journal` (unless stored elsewhere), a run directory for each trial under its number, and
    `optimization_results.yaml`. In the directory of a failed trial, `error.txt` has the traceback.

    Args:
        settings: of the search.
        space: what varies and what does not.
        folder: an absolute path; one that holds a sweep already goes on.
        launch: runs a batch of jobs, as Hydra's launchers do.
    """

    def __init__(self, settings: Settings, space: SearchSpace, folder: Path, launch: Launch) -> None:
        self.settings, self.space, self.folder, self.launch = settings, space, folder, launch
        self.storage = settings.storage or str(folder / "study.journal")
        self._grid = list(space.grid()) if settings.sampler == "grid" else []
        self._launcher_failures = 0

    def run(self) -> optuna.Study:
        """Begin or go on, until `n_trials` are done, the grid is, or the time is up.

        Raises:
            UserError: another process sweeps here, the folder holds another search, the launcher starts no job, or no
                trial has a value at the end.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        begun = time.monotonic()
        with _only_process(self.folder):
            self.study = self._open()
            self._take_up()
            while batch := self._next_batch(begun):
                new, repeated = batch
                self._run(new)
                for trial in repeated:
                    self._repeat(trial)
                self._write_results()
            self._write_results()
            self._report()
        return self.study

    def _open(self) -> optuna.Study:
        if "://" not in self.storage:
            _mend(Path(self.storage))
        study = optuna.create_study(
            storage=open_storage(self.storage),
            study_name=self.settings.study_name,
            direction=StudyDirection[self.settings.direction.upper()],
            load_if_exists=True,
            pruner=pruner(self.settings.pruner, self.settings.startup_trials),
        )
        search = self.space.describe() | {"direction": self.settings.direction}
        known = study.user_attrs.get("search", search)
        if known != search:
            differing = {key: (known[key], search[key]) for key in search if known[key] != search[key]}
            raise UserError(
                f"the search that {self.storage} holds",
                f"another one: {differing}",
                "Repeat its command (hydra.sweeper.n_trials may be raised), or name a new hydra.sweep.dir.",
            )
        study.set_user_attr("search", search)
        return study

    def _take_up(self) -> None:
        """Queue again what was running when an earlier process died, and on request what failed."""
        for trial in self._trials(TrialState.RUNNING):
            attempt = trial.user_attrs.get("attempt", 1)
            proposed = set(trial.params) == set(self.space.parameters)
            if not proposed or attempt < _ATTEMPTS:
                self._put_aside(trial, attempt + 1 if proposed else None)
            self._fail(trial, f"interrupted, attempt {attempt} of {_ATTEMPTS}")
        if self.settings.retry_failed:
            for trial in self._counted(TrialState.FAIL):
                self._put_aside(trial, 1)

    def _put_aside(self, trial: FrozenTrial, next_attempt: int | None) -> None:
        """Count the trial no more; its values wait for the next attempt, if there is to be one."""
        if next_attempt is not None:
            log.info("trial %d will be run again: %s", trial.number, " ".join(self.space.overrides(trial.params)))
            self.study.enqueue_trial(dict(trial.params), user_attrs={"attempt": next_attempt})
        self.study.set_user_attr("put_aside", [*self.study.user_attrs.get("put_aside", []), trial.number])

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states or None)

    def _counted(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials that were begun, in order, without those that were run again."""
        aside = set(self.study.user_attrs.get("put_aside", []))
        return [
            trial for trial in self._trials(*states) if trial.state != TrialState.WAITING and trial.number not in aside
        ]

    def _next_batch(self, begun: float) -> tuple[list[Trial], list[Trial]] | None:
        """Up to `n_jobs` new trials to run, and trials with the values of one of these; `None` at the end."""
        new: list[Trial] = []
        repeated: list[Trial] = []
        while len(new) < self.settings.n_jobs and not self._is_over(begun):
            trial = self._ask()
            if trial is None:
                break
            if any(other.params == trial.params for other in new):
                repeated.append(trial)
            elif self._original(trial):
                self._repeat(trial)
            else:
                new.append(trial)
        return (new, repeated) if new else None

    def _is_over(self, begun: float) -> bool:
        limit, timeout = self.settings.n_trials, self.settings.timeout_s
        return (limit is not None and len(self._counted()) >= limit) or (
            timeout is not None and time.monotonic() - begun >= timeout
        )

    def _ask(self) -> Trial | None:
        """The next trial; `None` when the grid is done."""
        counted = self._counted()
        self.study.sampler = self._sampler(len(counted))
        if self._grid and not self._trials(TrialState.WAITING):
            tried = [trial.params for trial in counted]
            values = next((values for values in self._grid if values not in tried), None)
            if values is None:
                return None
            self.study.enqueue_trial(values)
        trial = self.study.ask(self.space.distributions)
        trial.set_user_attr("folder", str(self.folder / str(trial.number)))
        return trial

    def _sampler(self, count: int) -> BaseSampler:
        """A sampler whose draws depend on the seed and the place of the trial alone, so that going on changes none."""
        seed = int(np.random.SeedSequence([self.settings.seed, count]).generate_state(1)[0])
        if self.settings.sampler != "tpe":
            return RandomSampler(seed=seed)
        parallel = self.settings.n_jobs > 1
        return TPESampler(seed=seed, n_startup_trials=self.settings.startup_trials, constant_liar=parallel)

    def _original(self, trial: Trial) -> FrozenTrial | None:
        """The finished trial with the same values."""
        finished = self._counted(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        return next((one for one in finished if one.params == trial.params), None)

    def _repeat(self, trial: Trial) -> None:
        original = self._original(trial)
        assert original is not None, "repeated trials are told after the first one"
        first = original.user_attrs.get("same_as", original.number)
        log.info("trial %d has the values of trial %d, and is not run again", trial.number, first)
        trial.set_user_attr("same_as", first)
        trial.set_user_attr("folder", original.user_attrs["folder"])
        if original.state == TrialState.FAIL:
            self._fail(trial, original.user_attrs["reason"])
        elif original.state == TrialState.PRUNED:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, original.value)

    def _run(self, trials: Sequence[Trial]) -> None:
        jobs = [self._job(trial) for trial in trials]
        try:
            returns = self.launch(jobs, trials[0].number)
        # Whatever a launcher raises, a killed worker or a lost cluster: its trials have failed, the sweep has not.
        except Exception as error:
            self._launcher_failures += 1
            for trial in trials:
                self._fail_with(trial, error)
            if self._launcher_failures == _LAUNCHER_FAILURES:
                raise UserError(
                    "a launcher that runs jobs",
                    f"{_LAUNCHER_FAILURES} failures in a row, at last {_message(error)}",
                    "Mend hydra/launcher, and repeat the command with hydra.sweeper.retry_failed=true and "
                    f"hydra.sweep.dir={self.folder}",
                ) from error
        else:
            self._launcher_failures = 0
            for trial, job in zip(trials, returns, strict=True):
                self._tell(trial, job)

    def _job(self, trial: Trial) -> list[str]:
        reference = TrialReference(
            self.storage, self.settings.study_name, trial.number, self.settings.pruner, self.settings.startup_trials
        )
        # By number, whatever the config says: what is run again must not meet the directory of the first attempt.
        own = [f"hydra.sweep.subdir='{trial.number}'", reference.override()]
        return [*self.space.fixed, *self.space.overrides(trial.params), *own]

    def _tell(self, trial: Trial, job: JobReturn) -> None:
        # The public property would raise what the job raised, and print it.
        value = job._return_value
        if job.status == JobStatus.COMPLETED and isinstance(value, int | float) and math.isfinite(value):
            self.study.tell(trial, float(value))
            log.info("trial %d: %g", trial.number, value)
        elif job.status == JobStatus.COMPLETED:
            self._fail(trial, f"the task returned {value!r}, which is no finite number")
        elif isinstance(value, optuna.TrialPruned):
            self.study.tell(trial, state=TrialState.PRUNED)
            log.info("trial %d: pruned. %s", trial.number, value)
        else:
            self._fail_with(trial, value)

    def _fail_with(self, trial: Trial, error: BaseException) -> None:
        with whole_file(Path(trial.user_attrs["folder"]) / "error.txt") as partial:
            partial.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        self._fail(trial, _message(error))
        # Its frames hold the model of the failed run in memory.
        error.__traceback__ = None

    def _fail(self, trial: Trial | FrozenTrial, reason: str) -> None:
        self.study._storage.set_trial_user_attr(trial._trial_id, "reason", reason)
        self.study.tell(trial.number, state=TrialState.FAIL)
        log.warning("trial %d failed: %s", trial.number, reason)

    def _ranked(self) -> list[FrozenTrial]:
        """Trials with a value that were run, the best one first."""
        done = [trial for trial in self._counted(TrialState.COMPLETE) if "same_as" not in trial.user_attrs]
        return sorted(done, key=lambda trial: trial.value or 0.0, reverse=self.settings.direction == "maximize")

    def _write_results(self) -> None:
        ranked, counted = self._ranked()[:1], self._counted()
        results: dict[str, Any] = {
            "name": "optuna",
            "direction": self.settings.direction,
            "best_value": ranked[0].value if ranked else None,
            "best_params": {key: _typed(value) for key, value in ranked[0].params.items()} if ranked else None,
            "best_overrides": self.space.overrides(ranked[0].params) if ranked else None,
            "best_folder": ranked[0].user_attrs["folder"] if ranked else None,
            "trials": {
                "complete": sum(trial.state == TrialState.COMPLETE for trial in counted),
                "pruned": sum(trial.state == TrialState.PRUNED for trial in counted),
                "failed": sum(trial.state == TrialState.FAIL for trial in counted),
                "of_these_repeated": sum("same_as" in trial.user_attrs for trial in counted),
                "run_again": len(self.study.user_attrs.get("put_aside", [])),
            },
        }
        with whole_file(self.folder / "optimization_results.yaml") as partial:
            partial.write_text(yaml.safe_dump(results, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def _report(self) -> None:
        console, ranked, counted = Console(width=120), self._ranked(), self._counted()
        pruned, failed = self._counted(TrialState.PRUNED), self._counted(TrialState.FAIL)
        repeated = sum("same_as" in trial.user_attrs for trial in counted)
        console.print(
            f"{len(counted)} trials: {len(counted) - len(pruned) - len(failed)} complete, {len(pruned)} pruned, {len(failed)} failed; "
            f"{repeated} of them had values tried before and were not run."
        )
        best = Table("trial", "value", "values of the best trials")
        for trial in ranked[:_SHOWN]:
            best.add_row(str(trial.number), f"{trial.value:.4f}", "  ".join(self.space.overrides(trial.params)))
        if ranked:
            console.print(best)
        failures = Table("trial", "reason of the failure")
        for trial in failed:
            # Text: a reason may hold what the table would read as markup.
            failures.add_row(str(trial.number), Text(trial.user_attrs["reason"].splitlines()[0]))
        if failed:
            console.print(failures)
        if not ranked:
            raise UserError(
                "a trial with a value",
                f"none of {len(counted)}",
                f"The reasons are above, and tracebacks in {self.folder}/<trial>/error.txt.",
            )
        lines = [
            f"Results   {self.folder / 'optimization_results.yaml'}",
            f"Best run  {ranked[0].user_attrs['folder']}",
            f"Next      compare: python -m hr_retrieval.compare 'runs={self.folder}/**' output=...",
            f"          go on: the same command with hydra.sweep.dir={self.folder} hydra.sweeper.n_trials=..."
            + (" hydra.sweeper.retry_failed=true" if failed else ""),
        ]
        console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


@contextmanager
def _only_process(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"one sweep at a time in {folder}",
                "another process that sweeps there",
                "Wait for it or end it; for more trials at a time set hydra.sweeper.n_jobs and a launcher.",
            ) from None
        yield


def _mend(journal: Path) -> None:
    """Cut off a last line that a killed process wrote in part: the next one would be joined to it."""
    if journal.exists():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with journal.open("r+b") as file:
                file.truncate(whole)


def _typed(value: Any) -> Any:
    """What the text of an override means: 1e-5 is a number."""
    if not isinstance(value, str):
        return value
    read = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"]))
    assert isinstance(read, dict)
    return read["value"]


def _message(error: BaseException) -> str:
    """Our own errors are sentences; others need their name."""
    if isinstance(error, CompactHydraException | UserError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _unfit(name: str, expected: str, got: Any) -> UserError:
    return UserError(f"hydra.sweeper.{name} to be {expected}", str(got), "See configs/hydra/sweeper/optuna.yaml.")
