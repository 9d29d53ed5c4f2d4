"""The Lightning module: what it optimises, clips, remembers and warns of."""

import functools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.tables import SCHEMAS
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.guide import EncoderGuide
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.errors import UserError
from hr_retrieval.objective.distillation import Distillation
from hr_retrieval.objective.matryoshka import Matryoshka, first
from hr_retrieval.objective.mixing import AnchorMixing, NoMixing, SoftLabelMixing
from hr_retrieval.objective.triplet import TripletLoss
from hr_retrieval.retrieval.mixing import Composition
from hr_retrieval.train.check import check_weights
from hr_retrieval.train.module import RetrievalModule

QUIET: dict[str, Any] = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
    "num_sanity_val_steps": 0, "limit_val_batches": 0, "use_distributed_sampler": False,
}  # fmt: skip


def fit(module: RetrievalModule, folder: Path, steps: int, **options: Any) -> RetrievalModule:
    data = RetrievalDataModule(folder, module.encoder, batch_size=8)
    pl.Trainer(max_steps=steps, **QUIET, **options).fit(module, data)
    return module


def make(mixing: Any = None, loss: Any = None, lr: float = 1e-3, **options: Any) -> RetrievalModule:
    optimizer = functools.partial(torch.optim.AdamW, lr=lr, weight_decay=0.5)
    return RetrievalModule(
        Encoder("tiny", max_length=24), mixing or NoMixing(), loss or TripletLoss("hinge"), optimizer, **options
    )


def test_weight_decay_spares_biases_and_norms() -> None:
    decayed, spared = make().configure_optimizers().param_groups
    assert decayed["weight_decay"] == 0.5
    assert spared["weight_decay"] == 0.0
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert all(parameter.ndim <= 1 for parameter in spared["params"])


@pytest.mark.parametrize(("algorithm", "limit"), [("norm", 1e-6), ("value", 1e-8)])
def test_gradients_are_clipped_also_for_fused_optimizers_in_bf16(
    toy_dataset: Path, algorithm: str, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = []

    def watch(module: RetrievalModule, optimizer: torch.optim.Optimizer) -> None:
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        norms.append(max(float(gradient.abs().max()) for gradient in gradients))

    module = make()
    module.optimizer = functools.partial(torch.optim.Adam, lr=1e-3, fused=True)
    clip = RetrievalModule.configure_gradient_clipping

    def clip_and_watch(self: RetrievalModule, optimizer: torch.optim.Optimizer, *values: Any, **named: Any) -> None:
        clip(self, optimizer, *values, **named)
        watch(self, optimizer)

    monkeypatch.setattr(RetrievalModule, "configure_gradient_clipping", clip_and_watch)
    fit(module, toy_dataset, 1, precision="bf16-mixed", gradient_clip_val=limit, gradient_clip_algorithm=algorithm)
    assert 0 < norms[0] <= limit


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_a_fused_optimizer_trains_with_scaled_gradients_as_any_other(toy_dataset: Path, algorithm: str) -> None:
    """As under 16-mixed on a GPU, here with torch's scaler for CPUs, whose autocast computes in
    bfloat16 all the same.
    """
    trained = []
    for fused in (True, False):
        module = make()
        module.optimizer = functools.partial(torch.optim.Adam, lr=1e-3, fused=fused)
        plugin = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
        options = {"gradient_clip_val": 0.01, "gradient_clip_algorithm": algorithm}
        trained.append(fit(module, toy_dataset, 2, plugins=[plugin], **options).encoder.state_dict())
    for name, value in trained[0].items():
        torch.testing.assert_close(value, trained[1][name], rtol=1e-4, atol=1e-5)


def test_an_optimizer_takes_its_memory_from_a_checkpoint_and_its_settings_from_the_config() -> None:
    before, now = make(lr=1e-3), make(lr=5e-4)
    optimizers = [module.configure_optimizers() for module in (before, now)]
    for parameter in before.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizers[0].step()
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    for group in optimizers[1].param_groups:
        assert group["lr"] == 5e-4
    state = [optimizer.state_dict()["state"] for optimizer in optimizers]
    assert all(torch.equal(state[1][key]["exp_avg"], values["exp_avg"]) for key, values in state[0].items())


def test_the_queue_remembers_documents_and_lends_them_to_the_mixing(toy_dataset: Path) -> None:
    def mixing() -> AnchorMixing:
        return AnchorMixing(negative_weight=0.4, source="queue")

    module = fit(make(mixing(), queue_size=40), toy_dataset, 3)
    assert module.queue is not None
    embeddings, rows = module.queue.current()
    assert 24 <= len(rows) <= 40
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(len(rows)))
    batch_only = fit(make(AnchorMixing(negative_weight=0.4)), toy_dataset, 3)
    weights = module.encoder.state_dict(), batch_only.encoder.state_dict()
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_queue_and_the_mixing_must_agree() -> None:
    with pytest.raises(UserError, match="queue_size"):
        make(AnchorMixing(source="queue"))
    with pytest.raises(UserError, match="queue_size"):
        make(AnchorMixing(), queue_size=8)
    with pytest.raises(UserError, match="queue_negatives"):
        make(queue_negatives=True)
    with pytest.raises(UserError, match="queue_start_step"):
        make(queue_start_step=3)
    with pytest.raises(UserError, match="queue_start_step"):
        make(queue_size=8, queue_negatives=True, queue_start_step=-1)
    with pytest.raises(UserError, match="side=documents"):
        make(SoftLabelMixing(), queue_size=8, queue_negatives=True)
    make(SoftLabelMixing(side="documents"), queue_size=8, queue_negatives=True)
    with pytest.raises(UserError, match="mini_batch"):
        make(mini_batch=0)


def test_negatives_of_the_queue_are_compared_as_a_loop_does(toy_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triplets of each anchor's relevant documents with its negatives in the batch and in the queue before the step."""
    module = make(loss=TripletLoss("hinge", 0.3, reduction="all"), queue_size=20, queue_negatives=True, lr=1e-2)
    data = RetrievalDataModule(toy_dataset, module.encoder, batch_size=8, guide=EncoderGuide(Encoder("tiny")))
    step = RetrievalModule.training_step
    longest = 0

    def twin(self: RetrievalModule, batch: Batch, number: int) -> torch.Tensor:
        nonlocal longest
        assert self.queue is not None
        held, rows = self.queue.current()
        with torch.no_grad():
            anchors, documents = self.encoder(batch.anchors), self.encoder(batch.documents)
        total = count = 0.0
        for i, query in enumerate(batch.query_rows.tolist()):
            negatives = [float(anchors[i] @ documents[j]) for j in range(len(documents)) if batch.negative[i, j]]
            for vector, row in zip(held, rows.tolist(), strict=True):
                _, negative = data.guard.judge(np.array([query]), np.array([row]))
                if row not in batch.document_rows.tolist() and negative[0, 0]:
                    negatives.append(float(anchors[i] @ vector))
            longest = max(longest, len(negatives))
            for j in range(len(documents)):
                if batch.relevance[i, j]:
                    total += sum(max(0.0, 0.3 - float(anchors[i] @ documents[j]) + score) for score in negatives)
                    count += len(negatives)
        loss = step(self, batch, number)
        assert loss.item() == pytest.approx(total / count, abs=1e-4)
        return loss

    monkeypatch.setattr(RetrievalModule, "training_step", twin)
    pl.Trainer(max_steps=4, **QUIET).fit(module, data)
    assert longest > 16


def test_the_queue_is_filled_from_its_start_step_on(toy_dataset: Path) -> None:
    def fitted(**options: Any) -> RetrievalModule:
        return fit(make(queue_size=200, queue_negatives=True, **options), toy_dataset, 4)

    sizes = [len(module.queue.current()[1]) for module in (fitted(), fitted(queue_start_step=2)) if module.queue]
    assert 0 < sizes[1] < sizes[0]
    assert fitted(queue_start_step=9).queue.current()[1].tolist() == []  # type: ignore[union-attr]  # made with a queue


def test_each_option_of_the_guard_and_the_queue_changes_the_weights(toy_dataset: Path) -> None:
    def weights(guide: EncoderGuide | None = None, guide_margin: float = 0.0, **options: Any) -> torch.Tensor:
        module = make(**options)
        data = RetrievalDataModule(toy_dataset, module.encoder, batch_size=8, guide=guide, guide_margin=guide_margin)
        pl.Trainer(max_steps=4, **QUIET).fit(module, data)
        return torch.cat([parameter.detach().flatten() for parameter in module.encoder.parameters()])

    queue: dict[str, Any] = {"queue_size": 40, "queue_negatives": True}
    found = [
        weights(),
        weights(EncoderGuide(Encoder("tiny"))),
        weights(EncoderGuide(Encoder("tiny")), guide_margin=0.05),
        weights(**queue),
        weights(**queue, queue_start_step=2),
        weights(**queue, guide=EncoderGuide(Encoder("tiny"))),
    ]
    for i, one in enumerate(found):
        assert all(not torch.equal(one, other) for other in found[:i])


def test_mini_batches_train_to_the_same_weights(toy_dataset: Path) -> None:
    whole = fit(make(loss=TripletLoss()), toy_dataset, 3).encoder.state_dict()
    cached = fit(make(loss=TripletLoss(), mini_batch=3), toy_dataset, 3).encoder.state_dict()
    # Adam turns gradients that are rounding only (here those of keys' biases) into whole steps.
    names = [name for name in whole if not name.endswith("key.bias")]
    for name in names:
        torch.testing.assert_close(cached[name], whole[name], atol=2e-4, rtol=1e-3)


def test_collapse_is_said_once(toy_dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    module = make(lr=0.0)
    for parameter in module.encoder.parameters():
        parameter.data.zero_()
    # All weights 0 leave one vector for every text: the last norm's bias.
    norm = [child for name, child in module.encoder.named_modules() if name.endswith("LayerNorm")][-1]
    assert isinstance(norm.bias, torch.Tensor)
    norm.bias.data.fill_(1.0)
    with caplog.at_level(logging.WARNING):
        fit(module, toy_dataset, 30)
    assert len([record for record in caplog.records if "Collapse" in record.message]) == 1


def test_shorter_vectors_are_trained_too(toy_dataset: Path) -> None:
    def mean_at(k: int, matryoshka: Matryoshka | None) -> float:
        module = make(loss=TripletLoss(), matryoshka=matryoshka)
        fit(module, toy_dataset, 8)
        data = PreparedDataset.open(toy_dataset)
        queries, documents = (
            first(module.encoder.encode(next(data.texts(table)), kind), k)
            for table, kind in (("queries", "query"), ("corpus", "document"))
        )
        return float(TripletLoss()(queries @ documents.T, torch.eye(len(queries), dtype=torch.bool)).loss)

    assert mean_at(4, Matryoshka([4], [4.0])) < mean_at(4, None)
    with pytest.raises(UserError, match="below 64"):
        make(matryoshka=Matryoshka([64]))


def test_pairs_weigh_by_their_grades_and_stated_weights(toy_dataset: Path) -> None:
    def weights(graded: bool, **options: Any) -> torch.Tensor:
        table = pq.read_table(toy_dataset / "qrels.parquet").to_pylist()
        for number, row in enumerate(table):
            row["relevance"] = min(row["relevance"], 1) * (1 + graded * number % 3)
        pq.write_table(pa.Table.from_pylist(table, schema=SCHEMAS["qrels"]), toy_dataset / "qrels.parquet")
        module = make(loss=TripletLoss())
        data = RetrievalDataModule(toy_dataset, module.encoder, batch_size=8, **options)
        pl.Trainer(max_steps=2, **QUIET).fit(module, data)
        check_weights(module, data)
        if data.guard.weighs:
            module.mixing = SoftLabelMixing()
            with pytest.raises(UserError, match="soft_label"):
                check_weights(module, data)
        return torch.cat([parameter.detach().flatten() for parameter in module.encoder.parameters()])

    plain, graded, unweighted = weights(False), weights(True), weights(True, weighted=False)
    assert torch.equal(plain, unweighted)
    assert not torch.equal(plain, graded)


class Taught:
    """A teacher that looks at the trade, the first word, alone."""

    fingerprint, dimension, mixing = "trades", 32, Composition()

    def embed(self, blocks: Iterable[list[str]], kind: Kind) -> Iterator[npt.NDArray[np.float16]]:
        for block in blocks:
            vectors = [np.random.default_rng(list(text.split()[0].encode())).normal(size=32) for text in block]
            yield np.array([vector / np.linalg.norm(vector) for vector in vectors], np.float16)


@pytest.mark.parametrize("form", ["kl", "margin_mse"])
def test_a_teacher_is_learnt_from(toy_dataset: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = make(loss=TripletLoss(), distillation=Distillation(form, share=1.0))
    data = RetrievalDataModule(toy_dataset, module.encoder, batch_size=16, teacher=[Taught()])
    said: list[float] = []
    step = RetrievalModule.training_step

    def watched(self: RetrievalModule, batch: Batch, number: int) -> torch.Tensor:
        said.append((loss := step(self, batch, number)).item())
        rows = batch.query_rows, batch.document_rows
        assert data.teacher_scores(*rows).shape == batch.relevance.shape  # type: ignore[union-attr]  # there is one
        return loss

    monkeypatch.setattr(RetrievalModule, "training_step", watched)
    pl.Trainer(max_steps=24, **QUIET).fit(module, data)
    assert np.mean(said[-4:]) < 0.7 * np.mean(said[:4])
