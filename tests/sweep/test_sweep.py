"""A sweep of toy jobs: what counts, what is run again, what is not, and what it leaves behind."""

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from filelock import FileLock
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus

from hr_retrieval.config.schema import Pruner, Sampler, SweepConfig
from hr_retrieval.errors import UserError
from hr_retrieval.program import called
from hr_retrieval.sweep.search_space import SearchSpace
from hr_retrieval.sweep.sweep import Launch, Sweep
from hr_retrieval.sweep.trial import open_journal, open_study, trial_of_this_job
from hr_retrieval.train import __main__ as train

if TYPE_CHECKING:
    # It imports torch, which the killed processes need not wait for.
    from tests.conftest import Command

ROOT = Path(__file__).parents[2]
Values = dict[str, str]
DEFAULTS: dict[str, Any] = {
    "n_trials": 8, "timeout_s": None, "n_jobs": 1, "sampler": Sampler.random, "seed": 1, "pruner": Pruner.none,
    "startup_trials": 2, "retry_failed": False,
}  # fmt: skip
LINES = ("x=interval(0.0,1.0)", "kind=a,b", "fixed=1")


class Toy:
    """A launcher that runs `task` on the jobs' overrides in this process, and knows what it ran."""

    def __init__(self, task: Callable[[Values], Any]) -> None:
        self.task = task
        self.ran: list[Values] = []
        self.batches: list[int] = []

    def __call__(self, jobs: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        self.batches.append(len(jobs))
        return [self._run(job) for job in jobs]

    def _run(self, job: Sequence[str]) -> JobReturn:
        values = dict(override.split("=", 1) for override in job)
        shown = {key: value for key, value in values.items() if "hydra" not in key}
        self.ran.append(shown)
        job_return = JobReturn(status=JobStatus.COMPLETED)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HR_RETRIEVAL_TRIAL", values["hydra.job.env_set.HR_RETRIEVAL_TRIAL"].strip("'"))
            try:
                job_return.return_value = self.task(shown)
            except Exception as error:
                job_return.status, job_return.return_value = JobStatus.FAILED, error
        return job_return


def quality(values: Values) -> float:
    return 1 - (float(values["x"]) - 0.3) ** 2 - (values["kind"] == "b")


def sweep(folder: Path, launch: Launch, *lines: str, **changes: Any) -> optuna.Study:
    folder.mkdir(exist_ok=True)
    space = SearchSpace.of(OverridesParser.create().parse_overrides(list(lines or LINES)))
    return Sweep(SweepConfig(**(DEFAULTS | changes)), space, folder.absolute(), launch).run()


def states(study: optuna.Study) -> str:
    """The first letter of each trial's state."""
    return "".join(trial.state.name[0] for trial in study.trials)


@pytest.mark.parametrize("change", [{"n_trials": 0}, {"n_trials": None}, {"n_jobs": 0}, {"startup_trials": -1}])
def test_settings_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(change))):
        sweep(tmp_path, Toy(quality), **change)


def test_the_best_trial_is_the_best_of_all_that_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy = Toy(quality)
    study = sweep(tmp_path, toy)
    assert study.best_value == max(quality(values) for values in toy.ran)
    assert all(values["fixed"] == "1" for values in toy.ran)
    printed = capsys.readouterr().out
    assert "8 trials: 8 complete, 0 pruned, 0 failed; 0 of them" in printed
    assert f"Best run  {tmp_path / str(study.best_trial.number)}\n" in printed


def test_tpe_finds_better_values_than_chance(tmp_path: Path) -> None:
    """And the seed changes what is drawn."""
    drawn = {}
    for name, changes in {"random": {}, "tpe": {"sampler": Sampler.tpe}, "other": {"seed": 2}}.items():
        drawn[name] = Toy(quality)
        sweep(tmp_path / name, drawn[name], n_trials=20, **changes)
    mean = {name: sum(map(quality, toy.ran)) / len(toy.ran) for name, toy in drawn.items()}
    assert mean["tpe"] > mean["random"] + 0.2
    assert drawn["random"].ran != drawn["other"].ran


def test_a_grid_is_run_once_in_order_and_duplicates_in_it_are_one(tmp_path: Path) -> None:
    toy = Toy(lambda values: float(values["x"]))
    for n_trials, ran in ((3, 3), (None, 4), (None, 4)):
        sweep(tmp_path, toy, "x=1,2,1", "seed=1,2", sampler=Sampler.grid, n_trials=n_trials, n_jobs=2)
        assert [one["x"] + one["seed"] for one in toy.ran] == ["11", "12", "21", "22"][:ran]


def test_values_that_came_out_before_are_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def task(values: Values) -> float:
        if values["kind"] == "b":
            raise optuna.TrialPruned
        return 5.0

    toy = Toy(task)
    study = sweep(tmp_path, toy, "kind=a,b", "z=1")
    assert sorted(values["kind"] for values in toy.ran) == ["a", "b"]
    assert [trial.value for trial in study.trials] == [
        5.0 if one.params["kind"] == "a" else None for one in study.trials
    ]
    assert "6 of them had values tried before" in capsys.readouterr().out


def test_jobs_are_launched_as_many_at_a_time_as_asked(tmp_path: Path) -> None:
    toy = Toy(quality)
    sweep(tmp_path, toy, n_jobs=3, sampler=Sampler.tpe)
    assert toy.batches == [3, 3, 2]


def test_a_failed_trial_is_recorded_with_its_reason_and_the_sweep_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends: list[Any] = [
        1.0,
        MemoryError("out of [/memory]"),
        UserError("a number", "nan", "Lower it."),
        math.nan,
        None,
        2.0,
    ]
    outcomes = iter(ends)

    def task(values: Values) -> Any:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    study = sweep(tmp_path, Toy(task), n_trials=len(ends))
    assert (states(study), study.best_value) == ("CFFFFC", 2.0)
    assert "in task" in (tmp_path / "1" / "error.txt").read_text()
    printed = capsys.readouterr().out.replace("\n", "")
    for promised in (
        "MemoryError: out of [/memory]",
        "Expected a number; got nan. Lower it.",
        "got None",
        str(tmp_path / "5"),
    ):
        assert promised in printed

    again = Toy(quality)
    sweep(tmp_path, again, n_trials=len(ends))
    assert not again.ran
    study = sweep(tmp_path, again, n_trials=len(ends), retry_failed=True)
    assert [values["x"] for values in again.ran] == [str(study.trials[number].params["x"]) for number in (1, 2, 3, 4)]
    assert "6 trials: 6 complete, 0 pruned, 0 failed" in capsys.readouterr().out


def test_a_sweep_without_any_value_ends_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of 8"):
        sweep(tmp_path, Toy(lambda values: None))


def test_a_launcher_that_breaks_fails_its_trials(tmp_path: Path) -> None:
    toy = Toy(quality)

    def sometimes(jobs: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        if first == 2:
            raise RuntimeError("a worker was killed")
        return toy(jobs, first)

    study = sweep(tmp_path, sometimes, n_jobs=2)
    assert states(study) == "CCFFCCCC"
    assert study.trials[3].user_attrs["reason"] == "RuntimeError: a worker was killed"


@pytest.mark.parametrize("pruner", Pruner)
def test_a_hopeless_trial_is_pruned_where_its_job_asks_the_study(tmp_path: Path, pruner: Pruner) -> None:
    """The job opens its trial by the environment, as in another process; the first half of the trials is good."""

    def task(values: Values) -> float:
        trial = trial_of_this_job()
        assert trial is not None
        value = 1.0 if trial.number < 8 else 0.0
        for step in range(1, 10):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned(f"at step {step}")
        return value

    study = sweep(tmp_path, Toy(task), n_trials=16, pruner=pruner, startup_trials=8)
    assert states(study)[:8] == "C" * 8
    assert ("P" in states(study)) == (pruner != Pruner.none)
    if pruner == Pruner.median:
        assert states(study)[8:] == "P" * 8
        assert study.trials[8].intermediate_values == {1: 0.0}
        later = sweep(tmp_path / "later", Toy(task), n_trials=16, pruner=pruner, startup_trials=10)
        assert states(later) == "C" * 10 + "P" * 6


def test_no_trial_begins_when_the_time_is_up(tmp_path: Path) -> None:
    sweep(tmp_path, Toy(quality), n_trials=1)
    toy = Toy(quality)
    sweep(tmp_path, toy, timeout_s=1e-9)
    assert not toy.ran


def test_another_search_or_another_process_in_the_folder_is_refused(tmp_path: Path) -> None:
    sweep(tmp_path, Toy(quality))
    for lines, said in (
        (("x=interval(0.0,2.0)", "kind=a,b", "fixed=1"), "another one: x was .*high=1.0.*, is .*high=2.0"),
        (("x=interval(0.0,1.0)", "kind=a,b", "fixed=2"), "another one: fixed was 1, is 2"),
        (("x=interval(0.0,1.0)", "y=a,b", "fixed=1"), "kind was .*, is None; y was None, is"),
    ):
        with pytest.raises(UserError, match=said):
            sweep(tmp_path, Toy(quality), *lines)
    with FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another process"):
        sweep(tmp_path, Toy(quality))


def killed_sweep(folder: Path, sampler: str, kill_at: int) -> None:
    """In a process of its own: die in the middle of the job of that place."""

    def task(values: Values) -> float:
        with (folder.parent / f"{folder.name}.txt").open("a") as file:
            file.write(f"{values['x']} {values['kind']}\n")
        if len(toy.ran) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return quality(values)

    toy = Toy(task)
    x = "0.1,0.2,0.4,0.7" if sampler == "grid" else "interval(0.0,1.0)"
    sweep(folder, toy, f"x={x}", "kind=a,b", sampler=Sampler[sampler], startup_trials=4)


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_a_killed_sweep_goes_on_and_ends_as_one_never_killed(tmp_path: Path, sampler: str) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    program = (
        f"import sys, pathlib, tests.sweep.test_sweep as t; t.killed_sweep(pathlib.Path(sys.argv[1]), '{sampler}', 6)"
    )
    ended = subprocess.run([sys.executable, "-c", program, killed], cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL
    # As if the kill had come while a line was written.
    with (killed / "study.journal").open("a") as file:
        file.write('{"op_code":5,"wor')
    killed_sweep(killed, sampler, 100)
    killed_sweep(whole, sampler, 100)
    begun, expected = ((tmp_path / f"{name}.txt").read_text().splitlines() for name in ("killed", "whole"))
    # The sixth job was begun twice, no other one more than once.
    assert sorted(begun) == sorted([*expected, expected[5]])
    if sampler == "tpe":
        assert begun == [*expected[:6], *expected[5:]]


def test_what_kills_its_process_three_times_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Killed(BaseException):
        pass

    def die(values: Values) -> float:
        raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            sweep(tmp_path, Toy(die), n_trials=2)
    toy = Toy(quality)
    study = sweep(tmp_path, toy, n_trials=2)
    assert (len(toy.ran), states(study)) == (1, "FFFC")
    printed = capsys.readouterr().out
    assert "2 trials: 1 complete, 0 pruned, 1 failed" in printed
    assert "interrupted 3 times" in printed


def test_a_train_sweep_prunes_fails_and_finds(command: "Command", toy_dataset: Path, tmp_path: Path) -> None:
    """And a pruned run can be trained on by itself."""
    options = (
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.sampler=grid", "hydra.sweeper.n_trials=null", "hydra.sweeper.startup_trials=1",
        "hydra.sweep.dir=s", "model=tiny", "data.folder=toy", "trainer.precision=32-true", "trainer.enable_progress_bar=false",
        "datamodule.batch_size=8", "trainer.max_epochs=2", "zero_shot=false", "test=false", "export=false", "logger=none",
        "optimizer.lr=1e-3,1e-9", "model.loss.margin=0.2,-1.0",
    )  # fmt: skip
    printed = command(train.main, *options)
    assert "1 complete, 1 pruned, 2 failed" in printed
    assert "optimizer.lr=0.001  model.loss.margin=0.2" in printed
    # A trial's line has what was tried, and nothing of how its job finds it.
    assert re.search(r"#0 : .*optimizer\.lr=0\.001", printed)
    assert "HR_RETRIEVAL_TRIAL" not in printed
    assert open_study(open_journal(str(tmp_path / "s" / "study.journal")), "none", 1).metric_names == [
        "best validation"
    ]
    assert f"{called('train')} resume=s/2" in printed
    assert "model.loss.margin" in (tmp_path / "s" / "1" / "error.txt").read_text()
    # Nothing is left to do; a typing error is no failed trial, and a wrong setting no traceback.
    assert "1 complete, 1 pruned, 2 failed" in command(train.main, *options)
    assert command(train.main, *options, "hydra.sweep.dir=t", "model/mixing=none,anchr").startswith("exit 1")
    assert "expected one of [tpe, random, grid]" in command(train.main, *options, "hydra.sweeper.sampler=cmaes")
    assert not (tmp_path / "t").exists()
    assert "Run directory" in command(train.main, "resume=s/2")
    assert (tmp_path / "s" / "2" / "summary.json").exists()
