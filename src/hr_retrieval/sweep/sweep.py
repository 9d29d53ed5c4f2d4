"""A sweep: trials that Optuna proposes, run as Hydra's jobs, kept in a file from which a killed sweep goes on."""

import io
import logging
import math
import os
import random
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hr_retrieval.config.schema import Sampler, SweepConfig
from hr_retrieval.errors import UserError
from hr_retrieval.program import called, shown_path
from hr_retrieval.sweep.search_space import SearchSpace
from hr_retrieval.sweep.trial import open_journal, open_study, trial_override

log = logging.getLogger(__name__)

# A trial whose process dies with it may be what kills it (memory): it is not begun for ever.
_ATTEMPTS = 3
_SHOWN = 5

# The jobs' overrides and the number of the first one -> what became of each.
Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]


class Sweep:
    """One sweep in its folder.

    A trial's value is what its job returns, and the highest is the best. A job that raises
    `optuna.TrialPruned` was pruned; any other exception, and a value that is no finite number, is a
    failed trial, and the sweep goes on. Values that were tried to their end are not run again: the
    trial takes over what became of the first one.

    Files in the folder: `study.journal`, and a run directory for each trial under its number, with
    `error.txt` if it failed.

    Args:
        settings: of the search.
        space: what varies and what does not.
        folder: an absolute path; one that holds a sweep already goes on.
        launch: runs a batch of jobs, as Hydra's launchers do.
    """

    def __init__(self, settings: SweepConfig, space: SearchSpace, folder: Path, launch: Launch) -> None:
        if settings.n_trials is None and settings.sampler != Sampler.grid:
            raise UserError(
                "hydra.sweeper.n_trials", "null", "Give a number: only hydra.sweeper.sampler=grid has an end."
            )
        for name, least in {"n_trials": 1, "n_jobs": 1, "startup_trials": 0}.items():
            if (value := getattr(settings, name)) is not None and value < least:
                raise UserError(f"hydra.sweeper.{name} of at least {least}", str(value), "Give a larger number.")
        self.settings, self.space, self.folder, self.launch = settings, space, folder, launch
        self.study_settings = (settings.pruner.name, settings.startup_trials)

    def run(self) -> optuna.Study:
        """Begin or go on, until `n_trials` are done, the grid is, or the time is up.

        Raises:
            UserError: another process sweeps here, the folder holds another search, or no trial has
                a value at the end.
        """
        begun = time.monotonic()
        try:
            # The system releases it with the process: what is then said to be running was left by
            # one that died.
            lock = FileLock(self.folder / ".lock").acquire(blocking=False)
        except Timeout:
            raise UserError(
                f"one sweep at a time in {self.folder}",
                "another process that sweeps there",
                "Wait for it or end it; for more trials at a time set hydra.sweeper.n_jobs and a launcher.",
            ) from None
        with lock:
            self.study = self._open()
            self._queue()
            while batch := self._batch(begun):
                self._run(batch)
            self._report()
        return self.study

    def _open(self) -> optuna.Study:
        self.journal = self.folder / "study.journal"
        if self.journal.exists():
            # A killed process may have written its last line in part: Optuna would join the next
            # one to it.
            os.truncate(self.journal, self.journal.read_bytes().rfind(b"\n") + 1)
        study = open_study(open_journal(str(self.journal)), *self.study_settings)
        search = {key: str(distribution) for key, distribution in self.space.distributions.items()}
        search |= {key: value for key, _, value in (override.partition("=") for override in self.space.fixed)}
        known = study.user_attrs.get("search", search)
        if differing := [key for key in known | search if known.get(key) != search.get(key)]:
            raise UserError(
                f"the search that {self.folder} holds",
                "another one: " + "; ".join(f"{key} was {known.get(key)}, is {search.get(key)}" for key in differing),
                "Repeat its command (hydra.sweeper.n_trials may be raised), or name a new hydra.sweep.dir.",
            )
        study.set_user_attr("search", search)
        return study

    def _queue(self) -> None:
        """Queue again what was running when an earlier process died and on request what failed, and the grid."""
        for trial in self._counted(TrialState.FAIL) if self.settings.retry_failed else []:
            self._enqueue(trial.user_attrs.get("values", trial.params), [trial.number])
        for trial in self._counted(TrialState.RUNNING):
            earlier = [*trial.user_attrs.get("earlier", []), trial.number]
            if len(earlier) < _ATTEMPTS:
                self._enqueue(trial.user_attrs.get("values", trial.params), earlier)
        for trial in self._trials(TrialState.RUNNING):
            self.study.tell(trial.number, state=TrialState.FAIL)
        if self.settings.sampler == Sampler.grid:
            queued = [trial.user_attrs.get("values") for trial in self._trials()]
            for values in self.space.grid():
                if values not in queued:
                    self._enqueue(values)

    def _enqueue(self, values: dict[str, Any], earlier: Sequence[int] = ()) -> None:
        """Have the values tried, in place of the earlier attempts at them."""
        self.study.enqueue_trial(values, user_attrs={"values": values, "earlier": list(earlier)})

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states or None)

    def _counted(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials that were begun, in order, without those that are run again."""
        again = {number for trial in self._trials() for number in trial.user_attrs.get("earlier", [])}
        begun = self._trials(*(states or set(TrialState) - {TrialState.WAITING}))
        return [trial for trial in begun if trial.number not in again]

    def _batch(self, begun: float) -> list[Trial]:
        """Up to `n_jobs` trials to run; none at the end."""
        batch: list[Trial] = []
        limit = self.settings.n_trials or math.inf
        timeout = math.inf if self.settings.timeout_s is None else self.settings.timeout_s
        while len(batch) < self.settings.n_jobs and time.monotonic() - begun < timeout:
            place = len(self._counted())
            if place >= limit or (self.settings.sampler == Sampler.grid and not self._trials(TrialState.WAITING)):
                break
            # Draws depend on the seed and the place of the trial alone, so that going on changes
            # none.
            seed = random.Random(f"{self.settings.seed} {place}").getrandbits(32)
            tpe = TPESampler(n_startup_trials=self.settings.startup_trials, seed=seed)
            self.study.sampler = tpe if self.settings.sampler == Sampler.tpe else RandomSampler(seed)
            trial = self.study.ask(self.space.distributions)
            ended = self._trials(TrialState.COMPLETE, TrialState.PRUNED)
            same = next((other for other in ended if other.params == trial.params), None)
            if same is None:
                batch.append(trial)
            else:
                log.info("trial %d has the values of trial %d, and is not run again", trial.number, same.number)
                trial.set_user_attr("same_as", same.number)
                self.study.tell(trial, same.value if same.state == TrialState.COMPLETE else None, same.state)
        return batch

    def _run(self, batch: Sequence[Trial]) -> None:
        jobs = []
        for trial in batch:
            # By number, whatever the config says: what is run again must not meet the directory of
            # the first attempt.
            own = [f"hydra.sweep.subdir='{trial.number}'"]
            own += [trial_override(trial.number, str(self.journal), *self.study_settings)]
            jobs.append([*self.space.fixed, *self.space.overrides(trial.params), *own])
        try:
            returns = self.launch(jobs, batch[0].number)
        # Whatever a launcher raises, a killed worker or a lost cluster: its trials have failed, the
        # sweep has not.
        except Exception as error:
            failed = JobReturn(status=JobStatus.FAILED)
            failed.return_value = error
            returns = [failed] * len(batch)
        for trial, job in zip(batch, returns, strict=True):
            self._tell(trial, job)

    def _tell(self, trial: Trial, job: JobReturn) -> None:
        try:
            # Hydra prints the overrides of a job that raised, also of a pruned one.
            with redirect_stderr(io.StringIO()):
                value = job.return_value
            if not (isinstance(value, int | float) and math.isfinite(value)):
                raise UserError("a finite number as the value of a run", repr(value), "Look into its metrics.csv.")
            self.study.tell(trial, float(value))
            log.info("trial %d: %g", trial.number, value)
        except optuna.TrialPruned as pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
            log.info("trial %d: pruned. %s", trial.number, pruned)
        # Whatever ended the job is a failed trial.
        except Exception as error:
            ours = isinstance(error, CompactHydraException | UserError)
            reason = str(error) if ours else f"{type(error).__name__}: {error}"
            path = self.folder / str(trial.number) / "error.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
            trial.set_user_attr("reason", reason)
            self.study.tell(trial, state=TrialState.FAIL)
            log.warning("trial %d failed: %s", trial.number, reason)
            # Its frames hold the model of the failed run in memory.
            error.__traceback__ = None

    def _report(self) -> None:
        """Print how the trials ended and which were best."""
        console, counted = Console(width=120), self._counted()
        done, pruned, failed = map(self._counted, (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
        console.print(
            f"{len(counted)} trials: {len(done)} complete, {len(pruned)} pruned, {len(failed)} failed; "
            f"{sum('same_as' in trial.user_attrs for trial in counted)} of them had values tried before and were not run."
        )
        run = [trial for trial in done if "same_as" not in trial.user_attrs]
        run.sort(key=lambda trial: trial.value or 0.0, reverse=True)
        # Text: a value or a reason may hold what the table would read as markup.
        table = Table("trial", "value", "values of the best trials, or the reason of the failure")
        for trial in run[:_SHOWN]:
            table.add_row(str(trial.number), f"{trial.value:.4f}", Text("  ".join(self.space.overrides(trial.params))))
        for trial in failed:
            reason = trial.user_attrs.get("reason", f"interrupted {_ATTEMPTS} times")
            table.add_row(str(trial.number), "failed", Text(reason.splitlines()[0]))
        console.print(table)
        if not run:
            raise UserError(
                "a trial with a value",
                f"none of {len(counted)}",
                f"The reasons are above, and tracebacks in {self.folder}/<trial>/error.txt.",
            )
        again = " hydra.sweeper.retry_failed=true" if failed else ""
        console.print(
            f"Best run  {self.folder / str(run[0].number)}\n"
            f"Next      compare: {called('compare')} 'runs={shown_path(self.folder)}/**'\n"
            f"          go on: the same command with hydra.sweep.dir={self.folder} hydra.sweeper.n_trials=...{again}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
