"""What is given beside `resume=` applies, or is refused by name."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from hr_retrieval.errors import UserError
from hr_retrieval.runs.directory import Part, Run
from hr_retrieval.runs.resuming import changed

CONFIG = {
    "project": "p",
    "seed": 1,
    "export": True,
    "output": None,
    "data": {"folder": "toy"},
    "datamodule": {"folder": "toy", "batch_size": 8, "evaluation_tokens": 100, "test_corpus": "all", "seed": 1},
    "model": {"mini_batch": None, "queue_size": 0, "encoder": {"name_or_path": "tiny", "dropout": 0.0}},
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 1e-3, "betas": [0.9, 0.999]},
    "trainer": {"max_epochs": 3, "default_root_dir": "/runs/a"},
    "callbacks": {"projector": {"points": 1}, "best": {"monitor": "m", "dirpath": "/runs/a/checkpoints"}},
}
GROUPS = ("data", "model", "model/loss", "optimizer", "trainer", "callbacks")


def run_of(folder: Path = Path("/runs/a"), *parts: Part) -> Run:
    return Run(folder, OmegaConf.create(CONFIG), {}, parts)


def value_of(run: Run, key: str) -> Any:
    return OmegaConf.select(run.config, key)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("trainer.max_epochs=20", "trainer.max_epochs", 20),
        ("++trainer.max_epochs=20", "trainer.max_epochs", 20),
        ("+trainer.max_epochs=20", "trainer.max_epochs", 20),
        ("+trainer.min_epochs=2", "trainer.min_epochs", 2),
        ("optimizer.lr=5e-5", "optimizer.lr", 5e-5),
        ("optimizer.betas=[0.8,0.9]", "optimizer.betas", [0.8, 0.9]),
        ("export=false", "export", False),
        ("model.encoder.dropout=0.1", "model.encoder.dropout", 0.1),
        ("datamodule.batch_size=4", "datamodule.batch_size", 4),
        ("~callbacks.projector", "callbacks.projector", None),
        ("~callbacks.projector.points", "callbacks.projector", {}),
        ("callbacks.projector=null", "callbacks.projector", None),
        ("trainer.max_epochs=${seed}", "trainer.max_epochs", 1),
    ],
)
def test_a_change_applies_and_is_a_part_of_the_run(override: str, key: str, value: Any) -> None:
    before = run_of()
    run = changed(before, [override], GROUPS, 28)
    assert value_of(run, key) == value
    assert run.parts == (Part(28, (override,)),)
    assert before.config == OmegaConf.create(CONFIG)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model=mpnet", "model.<key>="),
        ("model/loss=triplet", "model.loss.<key>="),
        ("output=elsewhere", "stays in its folder"),
        ("seed=2", "named by it"),
        ("datamodule.seed=2", "named by it"),
        ("data.folder=other", "keeps its data"),
        ("datamodule.folder=other", "keeps its data"),
        ("datamodule.test_corpus=split", "different tasks"),
        ("model.encoder.name_or_path=other", "keeps its encoder"),
        ("model.queue_size=8", "keeps its encoder, and what its checkpoints hold"),
        ("optimizer._target_=torch.optim.SGD", "parts that it is made of"),
        ("callbacks.best.monitor=other", "chosen by it"),
        ("trainer.default_root_dir=/elsewhere", "stays in its folder"),
        ("trainer.max_epoch=3", r"a key of the run's config.*max_epochs"),
        ("~callbacks.projecter", r"a key of the run's config.*projector"),
        ("+callbacks.x._target_=os.system", "os.system"),
        ("trainer.max_epochs=${nothing}", "values that resolve"),
    ],
)
def test_what_cannot_be_changed_is_refused_by_name(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        changed(run_of(), ["trainer.max_epochs=20", override], GROUPS, 28)
    assert override.lstrip("+~").partition("=")[0].rpartition(".")[2] in str(refused.value)


def test_the_same_again_is_the_same_part_and_nothing_new_is_none() -> None:
    run = changed(run_of(), ["trainer.max_epochs=20"], GROUPS, 28)
    assert changed(run, ["trainer.max_epochs=20"], GROUPS, 35) is run
    assert changed(run, [], GROUPS, 35) is run
    assert changed(run_of(), ["trainer.max_epochs=3"], GROUPS, 28).parts == ()
    more = changed(run, ["optimizer.lr=1e-4"], GROUPS, 40)
    assert [part.from_step for part in more.parts] == [28, 40]


def test_parts_and_fingerprints_are_written_with_the_config_and_read_again(tmp_path: Path) -> None:
    run = Run(tmp_path, OmegaConf.create(CONFIG), {"data set": "a" * 64}, (Part(28, ("trainer.max_epochs=20",)),))
    run.write()
    read = Run.open(tmp_path)
    assert (read.made_from, read.parts) == (run.made_from, run.parts)
    assert "record" not in read.config
    # It lies elsewhere than it was written for.
    assert read.config.callbacks.best.dirpath == f"{tmp_path}/checkpoints"
    read.check_made_from({"data set": "a" * 64, "guide": "new here"})
    with pytest.raises(UserError, match=r"the data set that the run in .* was begun with \(fingerprint aaaa.*bbbb"):
        read.check_made_from({"data set": "b" * 64})
