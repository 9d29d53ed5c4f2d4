"""The embedded corpus: what is taken from it around a batch, and that a run resumed within an epoch
goes on with its file.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hr_retrieval.data.datamodule import RetrievalDataModule
from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.errors import UserError
from hr_retrieval.runs.checkpoints import load_checkpoint
from hr_retrieval.train import __main__ as train
from hr_retrieval.train.corpus import EmbeddedCorpus, read_corpus
from hr_retrieval.train.global_batch import GlobalBatch
from hr_retrieval.train.mining import candidate_documents, mined_queries
from hr_retrieval.train.module import RetrievalModule
from tests.conftest import TOY, UNMEASURED, Command

RUN = (
    *TOY, *UNMEASURED, "trainer.accelerator=cpu", "optimizer.lr=1e-3", "scheduler=constant", "trainer.max_epochs=2",
    "trainer.limit_train_batches=4", "trainer.log_every_n_steps=1", "callbacks.last.every_n_train_steps=1",
)  # fmt: skip


@pytest.fixture(autouse=True)
def toy(toy_dataset: Path) -> Path:
    return toy_dataset


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    return found


def test_around_a_batch_are_the_nearest_and_the_relevant_documents(
    toy: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hr_retrieval.train.corpus._OF_ANCHOR", 3)
    monkeypatch.setattr("hr_retrieval.train.corpus._OF_DOCUMENT", 2)
    data = RetrievalDataModule(toy, tiny_encoder, batch_size=8)
    guard = data.guard
    rows, queries = candidate_documents(data, 0), mined_queries(data.sources[0], None, 0)
    generator = torch.Generator().manual_seed(0)
    table = F.normalize(torch.randn(len(rows), 8, generator=generator), dim=1)
    corpus = EmbeddedCorpus(rows, table, queries, guard.relevant(queries, rows))
    anchors, documents = (F.normalize(torch.randn(3, 8, generator=generator), dim=1) for _ in range(2))
    query_rows, document_rows = queries[[0, 5, 9]], np.array([0, 6, 10])
    relevance, negative = map(torch.from_numpy, guard.judge(query_rows, document_rows))
    rows_of = map(torch.from_numpy, (query_rows, document_rows))
    count = int(relevance.sum())
    whole = GlobalBatch(anchors, documents, relevance, negative, count, *rows_of, torch.arange(3), None)
    found = corpus.around(whole, guard)
    expected: set[int] = set()
    for side, count in ((anchors, 3), (documents, 2)):
        for vector in side:
            best = sorted(range(len(rows)), key=lambda place, vector=vector: -float(table[place] @ vector))[:count]
            expected |= {int(rows[place]) for place in best}
    right, _ = guard.judge(query_rows, rows)
    expected |= set(rows[right.any(0)].tolist())
    wanted = np.array(sorted(expected - set(document_rows.tolist())))
    torch.testing.assert_close(found.embeddings, table[np.searchsorted(rows, wanted)])
    judged = guard.judge(query_rows, wanted)
    assert (found.relevance.numpy() == judged[0]).all()
    assert (found.negative.numpy() == judged[1]).all()
    assert found.identities.tolist() == guard.identities(wanted).tolist()


@pytest.mark.parametrize("strategy", ["document", "positive_group", "pool_negative", "anchor"])
def test_what_is_added_is_the_mixed_loss_in_its_weight(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    values: list[tuple[float, float]] = []
    losses: list[float] = []
    added, step = RetrievalModule._added, RetrievalModule.training_step

    def watched(self: RetrievalModule, plain: Any, mixed: Any) -> Any:
        values.append((plain.loss.item(), mixed.loss.item()))
        return added(self, plain, mixed)

    def stepped(self: RetrievalModule, *arguments: Any) -> torch.Tensor:
        loss = step(self, *arguments)
        losses.append(loss.item())
        return loss

    monkeypatch.setattr(RetrievalModule, "_added", watched)
    monkeypatch.setattr(RetrievalModule, "training_step", stepped)
    options = ("model.mixing.added=0.5", "model.mixing.source=corpus", "model.mixing.ramp_steps=4")
    printed = command(train.main, *RUN, f"model/mixing={strategy}", *options, "output=run")
    assert not printed.startswith("exit"), printed
    rising = [0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5, 0.5]
    expected = [plain + weight * mixed for weight, (plain, mixed) in zip(rising, values, strict=True)]
    assert losses == pytest.approx(expected, rel=1e-5)
    assert all(plain != mixed for plain, mixed in values)
    assert {path.name for path in (tmp_path / "run" / "corpus").iterdir()} == {"epoch-0001.npz", "epoch-0002.npz"}


def test_a_run_resumed_again_and_again_ends_as_one_never_stopped(command: Command, tmp_path: Path) -> None:
    options = (*RUN, "model/mixing=document")
    command(train.main, *options, "output=whole")
    begin: tuple[str, ...] = (*options, "output=cut")
    for steps in (2, 4, 6):
        command(train.main, *begin, f"trainer.max_steps={steps}")
        begin = ("resume=cut",)
    assert "Run directory" in command(train.main, *begin, "trainer.max_steps=-1")
    found, expected = weights(tmp_path / "cut"), weights(tmp_path / "whole")
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_without_such_a_mixing_nothing_is_embedded(command: Command, tmp_path: Path) -> None:
    command(train.main, *RUN, "model/mixing=anchor", "output=run", "trainer.max_steps=1")
    assert not (tmp_path / "run" / "corpus").exists()


def test_a_mixing_that_nobody_embeds_for_is_refused(command: Command, tmp_path: Path) -> None:
    printed = command(train.main, *RUN, "model/mixing=document", "callbacks.corpus=null", "output=run")
    assert printed.startswith("exit 1")
    assert "callbacks.corpus" in printed
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize("fault", ["missing", "cut", "other"])
def test_a_file_that_is_not_the_run_s_is_refused(toy: Path, tmp_path: Path, fault: str) -> None:
    dataset, path = PreparedDataset.open(toy), tmp_path / "epoch-0001.npz"
    if fault != "missing":
        data = "another" if fault == "other" else dataset.fingerprint
        np.savez(path, rows=np.arange(3), embeddings=np.eye(3, dtype=np.float16), data=np.array(data))
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="corpus"):
        read_corpus(path, dataset.fingerprint)
