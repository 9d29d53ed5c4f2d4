"""Guide and teachers: what a run asks frozen encoders, by which mixing, and how that is remembered."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.retrieval.mixing import Composition
from hr_retrieval.retrieval.mixing.documents import DocumentMixing
from hr_retrieval.retrieval.mixing.lexical import LexicalMixing
from hr_retrieval.runs.ranking import RankingChoice
from hr_retrieval.train import __main__ as train
from hr_retrieval.train.frozen import Frozen
from tests.conftest import Command
from tests.train.test_mining import MINING, checkpoint

DOCUMENTS = Composition.of(DocumentMixing(k=3, weight=0.4))
# The options of a small run, without mining.
PLAIN = tuple(option for option in MINING if "mine_negatives" not in option and option != "callbacks=mining")


def teacher(folder: Path, mixing: Composition, prefix: str = "") -> str:
    encoder = Encoder("tiny", query_prefix=prefix)
    encoder.save(folder)
    RankingChoice(encoder.embedding_fingerprint(), mixing).write(folder)
    return str(folder)


def test_one_several_or_none(tmp_path: Path) -> None:
    first, second = teacher(tmp_path / "a", DOCUMENTS), teacher(tmp_path / "b", Composition(), "query: ")
    prints = [Encoder(name).embedding_fingerprint() for name in (first, second)]
    assert Frozen(OmegaConf.create({"teacher": None, "guide": None})).given == {"guide": None, "teacher": []}
    both = Frozen(OmegaConf.create({"teacher": [first, second], "guide": second}))
    assert both.made_from == {"guide": prints[1], "teacher": prints[0], "teacher 2": prints[1]}
    assert not any(one.mixing.parts for one in both.teacher)
    mixed = Frozen(OmegaConf.create({"teacher": first, "teacher_mixing": "auto"}))
    assert mixed.teacher[0].mixing == DOCUMENTS
    assert mixed.made_from == {"teacher": prints[0], "mixing of the teacher": str(DOCUMENTS)}


@pytest.mark.parametrize("mixing", [Composition(), Composition.of(LexicalMixing())])
def test_a_teacher_whose_mixing_cannot_be_taken_is_named(tmp_path: Path, mixing: Composition) -> None:
    name = teacher(tmp_path / "a", mixing)
    with pytest.raises(UserError, match=r"embeddings alone in .*a; got .*teacher_mixing=none"):
        Frozen(OmegaConf.create({"teacher": [name], "teacher_mixing": "auto"}))


@pytest.mark.parametrize("named", ["guide", "teacher"])
def test_what_is_not_there_is_named(named: str) -> None:
    with pytest.raises(UserError, match="nobody/nothing"):
        Frozen(OmegaConf.create({named: "nobody/nothing"}))


def test_a_run_learns_from_the_mixed_ranking_of_several_and_goes_on(
    command: Command, toy_dataset: Path, tmp_path: Path
) -> None:
    names = [teacher(tmp_path / letter, DOCUMENTS, letter) for letter in "ab"]
    options = (*PLAIN, f"datamodule.teacher=[{','.join(names)}]", "datamodule.teacher_mixing=auto")
    printed = command(train.main, *options, "trainer.max_epochs=2", "output=whole")
    assert not printed.startswith("exit"), printed
    command(train.main, *options, "trainer.max_epochs=2", "trainer.max_steps=3", "output=cut")
    command(train.main, "resume=cut", "trainer.max_steps=-1")
    whole, cut = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "cut")
    assert all((cut["state_dict"][name] == value).all() for name, value in whole["state_dict"].items())
    assert "loss/taught" in (tmp_path / "whole" / "metrics.csv").read_text().splitlines()[0]
    content = json.loads((tmp_path / "b" / "ranking.json").read_text())
    content["mixing"]["documents"]["weight"] = 0.7
    (tmp_path / "b" / "ranking.json").write_text(json.dumps(content))
    again = command(train.main, "resume=cut", "trainer.max_epochs=4")
    assert "the mixing of the teacher 2 that the run in" in again


@pytest.mark.parametrize("options", [("datamodule.teacher_mixing=auto",), ("datamodule.teacher_mixing=mixed",)])
def test_a_mixing_of_no_teacher_is_refused(command: Command, toy_dataset: Path, options: tuple[str, ...]) -> None:
    printed = command(train.main, *PLAIN, *options, "output=none")
    assert printed.startswith("exit")
    assert "datamodule.teacher_mixing" in printed
