"""A sweep of toy jobs: what counts, what is run again, what is not, and what it leaves behind."""

import dataclasses
import fcntl
import itertools
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import optuna
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from optuna.trial import TrialState

from hr_retrieval import train
from hr_retrieval.config import config_dir
from hr_retrieval.errors import UserError
from hr_retrieval.search_space import SearchSpace
from hr_retrieval.sweeping import Launch, Settings, Sweep
from hr_retrieval.trial import TrialReference, pruner

if TYPE_CHECKING:
    # It imports torch, which the killed processes need not wait for.
    from tests.conftest import Command

ROOT = Path(__file__).parents[1]
Values = dict[str, str]
DEFAULTS: dict[str, Any] = {
    "direction": "maximize", "n_trials": 8, "timeout_s": None, "n_jobs": 1, "sampler": "random", "seed": 1, "pruner": "none",
    "startup_trials": 2, "retry_failed": False, "study_name": "toy", "storage": None,
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
            patch.setenv("HR_RETRIEVAL_TRIAL", values["++hydra.job.env_set.HR_RETRIEVAL_TRIAL"].strip("'"))
            try:
                job_return.return_value = self.task(shown)
            except Exception as error:
                job_return.status, job_return.return_value = JobStatus.FAILED, error
        return job_return


def quality(values: Values) -> float:
    return 1 - (float(values["x"]) - 0.3) ** 2 - (values["kind"] == "b")


def sweep(folder: Path, launch: Launch, *lines: str, **changes: Any) -> optuna.Study:
    space = SearchSpace.of(OverridesParser.create().parse_overrides(list(lines or LINES)))
    return Sweep(Settings(**(DEFAULTS | changes)), space, folder.absolute(), launch).run()


def results(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    return content


def test_the_yaml_names_every_setting() -> None:
    keys = set(OmegaConf.load(Path(config_dir()) / "hydra" / "sweeper" / "optuna.yaml")) - {"_target_", "params"}
    assert keys == {field.name for field in dataclasses.fields(Settings)} == set(DEFAULTS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"direction": "up"}, "direction"),
        ({"sampler": "cmaes"}, "tpe or random or grid"),
        ({"pruner": "mean"}, "pruner"),
        ({"n_trials": 0}, "n_trials"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"n_trials": None}, "n_trials"),
    ],
)
def test_settings_that_do_not_fit_are_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Settings(**(DEFAULTS | change))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_trial_is_the_best_of_all_that_ran(tmp_path: Path, direction: str) -> None:
    toy = Toy(quality)
    sweep(tmp_path, toy, direction=direction)
    best = {"maximize": max, "minimize": min}[direction](quality(values) for values in toy.ran)
    found = results(tmp_path)
    assert found["best_value"] == best
    assert quality({key: str(value) for key, value in found["best_params"].items()}) == best
    assert found["trials"] == {"complete": 8, "pruned": 0, "failed": 0, "of_these_repeated": 0, "run_again": 0}
    assert all(values["fixed"] == "1" for values in toy.ran)


def test_tpe_finds_better_values_than_chance(tmp_path: Path) -> None:
    """And the seed changes what is drawn."""
    drawn = {}
    for name, changes in {"random": {}, "tpe": {"sampler": "tpe"}, "other": {"seed": 2}}.items():
        drawn[name] = Toy(quality)
        sweep(tmp_path / name, drawn[name], n_trials=20, **changes)
    mean = {name: sum(map(quality, toy.ran)) / len(toy.ran) for name, toy in drawn.items()}
    assert mean["tpe"] > mean["random"] + 0.2
    assert drawn["random"].ran != drawn["other"].ran


def test_startup_trials_are_drawn_at_random(tmp_path: Path) -> None:
    few, many, chance = Toy(quality), Toy(quality), Toy(quality)
    sweep(tmp_path / "few", few, sampler="tpe", startup_trials=2)
    sweep(tmp_path / "many", many, sampler="tpe", startup_trials=8)
    sweep(tmp_path / "chance", chance)
    assert many.ran != few.ran
    assert many.ran[:2] == few.ran[:2]


def test_a_grid_is_run_once_in_order_and_duplicates_in_it_are_one(tmp_path: Path) -> None:
    toy = Toy(lambda values: float(values["x"]))
    lines = ("x=1,2,1", "seed=1,2")
    sweep(tmp_path, toy, *lines, sampler="grid", n_trials=3)
    assert [(one["x"], one["seed"]) for one in toy.ran] == [("1", "1"), ("1", "2"), ("2", "1")]
    sweep(tmp_path, toy, *lines, sampler="grid", n_trials=None)
    assert [(one["x"], one["seed"]) for one in toy.ran][3:] == [("2", "2")]
    sweep(tmp_path, toy, *lines, sampler="grid", n_trials=None)
    assert len(toy.ran) == 4
    assert results(tmp_path)["best_params"] == {"x": 2, "seed": 1}


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_values_that_were_tried_are_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n_jobs: int
) -> None:
    def task(values: Values) -> float:
        if values["kind"] == "b":
            raise ValueError("no b")
        if values["kind"] == "c":
            raise optuna.TrialPruned
        return 5.0

    toy = Toy(task)
    study = sweep(tmp_path, toy, "kind=a,b,c", "z=1", n_trials=12, n_jobs=n_jobs)
    assert sorted(values["kind"] for values in toy.ran) == ["a", "b", "c"]
    assert len(study.trials) == 12
    assert results(tmp_path)["trials"]["of_these_repeated"] == 9
    state = {"a": TrialState.COMPLETE, "b": TrialState.FAIL, "c": TrialState.PRUNED}
    assert all(trial.state == state[trial.params["kind"]] for trial in study.trials)
    assert all(trial.value == 5.0 for trial in study.trials if trial.params["kind"] == "a")
    assert "9 of them had values tried before" in capsys.readouterr().out


def test_jobs_are_launched_as_many_at_a_time_as_asked(tmp_path: Path) -> None:
    toy = Toy(quality)
    sweep(tmp_path, toy, n_jobs=3, sampler="tpe")
    assert toy.batches == [3, 3, 2]


def test_a_failed_trial_is_recorded_with_its_reason_and_the_sweep_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends: list[Any] = [
        1.0, MemoryError("out of [/memory]"), UserError("a number", "nan", "Lower the rate."), math.nan, None, 2.0,
    ]  # fmt: skip
    outcomes = iter(ends)

    def task(values: Values) -> Any:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    study = sweep(tmp_path, Toy(task), n_trials=len(ends))
    reasons = {trial.number: trial.user_attrs["reason"] for trial in study.trials if trial.state == TrialState.FAIL}
    assert reasons == {
        1: "MemoryError: out of [/memory]",
        2: "Expected a number; got nan. Lower the rate.",
        3: "the task returned nan, which is no finite number",
        4: "the task returned None, which is no finite number",
    }
    assert results(tmp_path)["best_value"] == 2.0
    assert "in task" in (tmp_path / "1" / "error.txt").read_text()
    printed = capsys.readouterr().out
    for promised in (*reasons.values(), "optimization_results.yaml", str(tmp_path / "5"), "hydra.sweep.dir="):
        assert promised in printed.replace("\n", "")

    again = Toy(quality)
    sweep(tmp_path, again, n_trials=len(ends))
    assert not again.ran
    study = sweep(tmp_path, again, n_trials=len(ends), retry_failed=True)
    assert [values["x"] for values in again.ran] == [str(study.trials[number].params["x"]) for number in reasons]
    assert results(tmp_path)["trials"] == {
        "complete": 6, "pruned": 0, "failed": 0, "of_these_repeated": 0, "run_again": 4,
    }  # fmt: skip


def test_a_sweep_without_any_value_ends_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of 8"):
        sweep(tmp_path, Toy(lambda values: None))


def test_a_launcher_that_breaks_fails_its_trials_and_three_times_in_a_row_the_sweep(tmp_path: Path) -> None:
    toy, calls = Toy(quality), iter(range(100))

    def sometimes(jobs: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        if next(calls) % 3:
            raise RuntimeError("a worker was killed")
        return toy(jobs, first)

    sweep(tmp_path / "sometimes", sometimes)
    assert results(tmp_path / "sometimes")["trials"]["failed"] == 5

    def never(jobs: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        raise RuntimeError("no cluster")

    with pytest.raises(UserError, match="3 failures in a row, at last RuntimeError: no cluster"):
        sweep(tmp_path / "never", never)


@pytest.mark.parametrize("name", ["median", "hyperband", "none"])
def test_a_hopeless_trial_is_pruned_where_its_job_asks_the_study(tmp_path: Path, name: str) -> None:
    """The job opens its trial by the environment, as in another process; the first half of the trials is good."""
    count = iter(range(100))

    def task(values: Values) -> float:
        reference = TrialReference.of_this_job()
        assert reference is not None
        trial, value = reference.open(), 1.0 if next(count) < 8 else 0.0
        for step in range(1, 10):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned(f"at step {step}")
        return value

    study = sweep(tmp_path, Toy(task), n_trials=16, pruner=name)
    pruned = [trial.number for trial in study.trials if trial.state == TrialState.PRUNED]
    assert bool(pruned) == (name != "none")
    assert all(number >= 8 for number in pruned)
    if name == "median":
        assert pruned == list(range(8, 16))
        assert study.trials[8].intermediate_values == {1: 0.0}


def test_the_pruner_waits_for_the_startup_trials() -> None:
    def pruned(startup: int) -> bool:
        study = optuna.create_study(direction="maximize", pruner=pruner("median", startup))
        for _ in range(3):
            trial = study.ask()
            trial.report(1.0, 1)
            study.tell(trial, 1.0)
        trial = study.ask()
        trial.report(0.0, 1)
        return trial.should_prune()

    assert pruned(3)
    assert not pruned(4)


def test_no_trial_begins_when_the_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0)
    monkeypatch.setattr("hr_retrieval.sweeping.time", SimpleNamespace(monotonic=lambda: next(clock)))
    toy = Toy(quality)
    sweep(tmp_path, toy, timeout_s=4.0, n_trials=None)
    assert len(toy.ran) == 3


def test_another_search_or_another_process_in_the_folder_is_refused(tmp_path: Path) -> None:
    sweep(tmp_path, Toy(quality))
    for lines, changes in (
        (("x=interval(0.0,2.0)", "kind=a,b", "fixed=1"), {}),
        (("x=interval(0.0,1.0)", "kind=a,b", "fixed=2"), {}),
        (LINES, {"direction": "minimize"}),
    ):
        with pytest.raises(UserError, match="another one"):
            sweep(tmp_path, Toy(quality), *lines, **changes)
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process"):
            sweep(tmp_path, Toy(quality))


def test_a_sweep_may_be_kept_elsewhere(tmp_path: Path) -> None:
    sweep(tmp_path / "a", Toy(quality), storage=str(tmp_path / "other.journal"))
    assert not (tmp_path / "a" / "study.journal").exists()
    study = sweep(tmp_path / "b", Toy(quality), storage=f"sqlite:///{tmp_path}/study.db", study_name="mine")
    assert study.study_name == "mine"
    assert len(optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path}/study.db").trials) == 8


def killed_sweep(folder: Path, sampler: str, kill_at: int) -> None:
    """In a process of its own: die in the middle of the job of that place."""

    def task(values: Values) -> float:
        with (folder.parent / "begun.txt").open("a") as file:
            file.write(f"{values['x']} {values['kind']}\n")
        if len(toy.ran) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return quality(values)

    toy = Toy(task)
    lines = ("x=0.1,0.2,0.4,0.7", "kind=a,b") if sampler == "grid" else ("x=interval(0.0,1.0)", "kind=a,b")
    sweep(folder, toy, *lines, sampler=sampler, startup_trials=4)


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_a_killed_sweep_goes_on_and_ends_as_one_never_killed(tmp_path: Path, sampler: str) -> None:
    killed, whole = tmp_path / "killed" / "sweep", tmp_path / "whole" / "sweep"
    killed.mkdir(parents=True)
    whole.mkdir(parents=True)
    program = (
        "import sys, pathlib; from tests.test_sweeping import killed_sweep; "
        "killed_sweep(pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))"
    )
    for kill_at in (6, 1):
        ended = subprocess.run([sys.executable, "-c", program, killed, sampler, str(kill_at)], cwd=ROOT)
        assert ended.returncode == -signal.SIGKILL
    # As if the kill had come while a line was written.
    with (killed / "study.journal").open("a") as file:
        file.write('{"op_code":5,"wor')
    killed_sweep(killed, sampler, 100)
    killed_sweep(whole, sampler, 100)
    begun = (killed.parent / "begun.txt").read_text().splitlines()
    expected = (whole.parent / "begun.txt").read_text().splitlines()
    # The sixth job was begun three times, no other one more than once.
    assert begun == [*expected[:5], *[expected[5]] * 3, *expected[6:]]
    assert results(killed)["best_value"] == results(whole)["best_value"]
    assert results(killed)["trials"] | {"run_again": 0} == results(whole)["trials"]
    assert results(killed)["trials"]["run_again"] == 2


def test_what_kills_its_process_three_times_is_left(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def die(values: Values) -> float:
        raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            sweep(tmp_path, Toy(die), n_trials=2)
    toy = Toy(quality)
    study = sweep(tmp_path, toy, n_trials=2)
    assert len(toy.ran) == 1
    assert study.trials[2].user_attrs["reason"] == "interrupted, attempt 3 of 3"
    assert results(tmp_path)["trials"]["failed"] == 1


def test_a_train_sweep_prunes_fails_and_finds(command: "Command", toy_dataset: Path, tmp_path: Path) -> None:
    options = (
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.sampler=grid", "hydra.sweeper.n_trials=null", "hydra.sweeper.startup_trials=1",
        "hydra.sweep.dir=s", "model=tiny", "data.folder=toy", "trainer.precision=32-true", "trainer.enable_progress_bar=false",
        "datamodule.batch_size=8", "trainer.max_epochs=2", "zero_shot=false", "test=false", "export=false", "logger=none",
        "optimizer.lr=1e-3,1e-9", "model.loss.margin=0.2,-1.0",
    )  # fmt: skip
    printed = command(train.main, *options)
    assert "1 complete, 1 pruned, 2 failed" in printed
    assert "python -m hr_retrieval.train resume=" in printed
    found = results(tmp_path / "s")
    assert found["best_params"] == {"optimizer.lr": 0.001, "model.loss.margin": 0.2}
    rows = (tmp_path / "s" / "0" / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("validation/mrr")
    measured = [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]
    assert found["best_value"] == pytest.approx(max(measured))
    assert "model.loss.margin" in (tmp_path / "s" / "1" / "error.txt").read_text()
    # Nothing is left to do; a typing error is no failed trial.
    assert "1 complete, 1 pruned, 2 failed" in command(train.main, *options)
    assert command(train.main, *options, "hydra.sweep.dir=t", "model/mixing=none,anchr").startswith("exit 1")
    assert not (tmp_path / "t").exists()
