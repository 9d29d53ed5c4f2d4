"""A cross-encoder in training: its lists, its step against a loop, a run that is resumed, and what it exports."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hr_retrieval.data.batch import Batch
from hr_retrieval.encoder.cross_encoder import CrossEncoder
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.evaluate.evaluation import evaluate
from hr_retrieval.evaluate.summary import ENCODER, RERANKED
from hr_retrieval.export import __main__ as export
from hr_retrieval.merge import __main__ as merge
from hr_retrieval.objective.lists import ListLoss
from hr_retrieval.runs.directory import Run, open_encoder
from hr_retrieval.store.reranker import Reranker
from hr_retrieval.train import __main__ as train
from hr_retrieval.train.cross_encoder import CrossEncoderModule, lists
from tests.conftest import TOY, Command
from tests.data.test_datamodule import make
from tests.evaluate.test_evaluation import rows_of
from tests.train.test_mining import checkpoint

RUN = (
    *(option for option in TOY if not option.startswith("model=")), "experiment=cross_encoder", "model.encoder.name_or_path=tiny",
    "trainer.accelerator=cpu", "model.cross_encoder.max_length=48", "model.depth=5", "callbacks.last.every_n_train_steps=1",
    "logger=none", "optimizer.lr=1e-3", "scheduler=constant", "trainer.limit_train_batches=3", "trainer.max_epochs=2",
)  # fmt: skip
UNMEASURED = ("test=false", "zero_shot=false")
MINED = ("datamodule.mined_per_anchor=2", "callbacks.mine_negatives.positive_share=null")


def test_a_list_is_the_own_document_and_what_was_drawn_for_the_anchor(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    data = make(toy_dataset, tiny_encoder, negatives_per_anchor=2)
    data.setup("fit")
    stated = {(row["query_id"], row["document_id"]) for row in rows_of(toy_dataset, "qrels") if row["relevance"] == 0}
    dataset, batch = data.sources[0].dataset, next(iter(data.train_dataloader()))
    found = 0
    for row, own in enumerate(lists(batch).tolist()):
        assert own[0] == row
        query = dataset.ids_at("queries", batch.query_rows[row : row + 1].numpy())[0]
        documents = dataset.ids_at("corpus", batch.document_rows[[one for one in own[1:] if one >= 0]].numpy())
        assert all((query, document) in stated for document in documents)
        found += len(documents)
    assert found
    assert bool(batch.drawn.diagonal().all())
    without = make(toy_dataset, tiny_encoder, negatives_per_anchor=0)
    without.setup("fit")
    assert lists(next(iter(without.train_dataloader()))).shape[1] == 1


def test_a_step_compares_the_scores_of_each_list(
    command: Command, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[float, float]] = []
    step = CrossEncoderModule.training_step

    def twin(self: CrossEncoderModule, batch: Batch, index: int) -> torch.Tensor:
        loss, dataset = step(self, batch, index), self._data.sources[0].dataset
        each = []
        for row, own in enumerate(lists(batch).tolist()):
            query = dataset.texts_at("queries", batch.query_rows[[row]].numpy())[0]
            texts = dataset.texts_at("corpus", batch.document_rows[[one for one in own if one >= 0]].numpy())
            logits = np.array(self.cross_encoder.logits([(query, text) for text in texts]))
            if len(logits) > 1:
                each.append(float(np.log(np.exp(logits).sum()) - logits[0]))
        steps.append((loss.item(), float(np.mean(each))))
        return loss

    monkeypatch.setattr(CrossEncoderModule, "training_step", twin)
    printed = command(train.main, *RUN, *MINED, *UNMEASURED, "trainer.max_steps=2", "export=false", "output=run")
    assert not printed.startswith("exit"), printed
    assert len(steps) == 2
    assert [found for found, _ in steps] == pytest.approx([expected for _, expected in steps], abs=1e-4)


def test_a_run_is_measured_behind_its_first_stage_gone_on_with_and_exported(
    command: Command, toy_dataset: Path, tmp_path: Path
) -> None:
    printed = command(train.main, *RUN, *MINED, "output=whole")
    assert not printed.startswith("exit"), printed
    assert "rerank=whole/cross_encoder" in printed
    # One that was cut in two.
    command(train.main, *RUN, *MINED, *UNMEASURED, "trainer.max_steps=4", "output=cut")
    assert not (printed := command(train.main, "resume=cut", "trainer.max_steps=-1")).startswith("exit"), printed
    states = [checkpoint(tmp_path / name)["state_dict"] for name in ("cut", "whole")]
    assert [name for name, weight in states[1].items() if not torch.equal(weight, states[0][name])] == []

    run = Run.open(tmp_path / "whole")
    summary = run.summary()
    assert summary["encoder"] == str(run.folder / "cross_encoder")
    plain = Encoder("tiny", max_length=128).state_dict()
    state = torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(state[f"encoder.{name}"], weight) for name, weight in plain.items())

    # The exported folder is the second stage of an evaluation, with the same figures and scores.
    options = {"base": None, "counterfactuals": None, "rerank": str(run.exported), "depth": 5}
    found = evaluate("tiny", toy_dataset, tmp_path / "out", **options)["systems"]  # type: ignore[arg-type]
    assert found[RERANKED]["metrics"]["mrr"] == pytest.approx(summary["trained"]["mrr"])
    assert found[ENCODER]["metrics"]["mrr"] == pytest.approx(summary["trained"]["first_stage/mrr"])
    command(export.main, "run=whole", "output=again")
    pairs = [("welder 3", "a welder"), ("cook", "a nurse with tools")]
    assert Reranker("again").pair_scores(pairs) == Reranker(str(run.exported)).pair_scores(pairs)
    assert "no model card" in command(export.main, "run=whole", "output=carded", "licence=mit")
    with pytest.raises(UserError, match=r"a run that trained an encoder in .*; got one that .*rerank="):
        open_encoder("whole")
    assert "a run that trained an encoder" in command(merge.main, "runs=whole", "output=merged")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("datamodule.mined_per_anchor=0", "callbacks.mine_negatives=null", "datamodule.negatives_per_anchor=0"),
            "callbacks=mining",
        ),
        (("datamodule.teacher=tiny",), "teachers teach encoders"),
        (("ranking/mixing=auto",), "ranking/mixing=none"),
        (("model.depth=1",), "model.depth of at least 2"),
        (("model.loss.form=hinge",), "softmax, binary"),
    ],
)
def test_each_mistake_is_one_error(
    command: Command, toy_dataset: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    printed = command(train.main, *RUN, *options, "output=run")
    assert printed.startswith("exit 1"), printed
    assert said in printed
    assert not (tmp_path / "run").exists()


def test_pairs_read_a_few_at_a_time_give_the_same_gradient() -> None:
    pairs = [("welder", f"text {number}") for number in range(5)]
    gradients = []
    for size in (None, 2):
        torch.manual_seed(0)
        module = CrossEncoderModule(Encoder("tiny"), CrossEncoder("tiny"), ListLoss("binary"), mini_batch=size)
        module._logits(pairs).square().sum().backward()
        gradients.append(
            torch.cat(
                [weight.grad.flatten() for weight in module.cross_encoder.parameters() if weight.grad is not None]
            )
        )
        assert all(weight.grad is None for weight in module.encoder.parameters())
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_what_was_ranked_by_pairs_is_no_map_of_points(command: Command, toy_dataset: Path, tmp_path: Path) -> None:
    options = (*(option for option in RUN if option != "logger=none"), *MINED, *UNMEASURED, "export=false")
    printed = command(train.main, *options, "trainer.max_epochs=1", "output=run")
    assert not printed.startswith("exit"), printed
    assert list((tmp_path / "run" / "tensorboard").rglob("events.*"))
    assert not list((tmp_path / "run" / "tensorboard").rglob("*.tsv"))
