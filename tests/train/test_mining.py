"""Mining: what is looked at and kept; in a run, in the batches it is for, the same for any workers and restart."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from hr_retrieval.data.batch import Batch
from hr_retrieval.data.guard import Guard
from hr_retrieval.data.negatives import MinedNegatives, MiningOptions
from hr_retrieval.data.source import Source
from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.encoder.ragged import Ragged
from hr_retrieval.errors import UserError
from hr_retrieval.runs.checkpoints import load_checkpoint
from hr_retrieval.train import __main__ as train
from hr_retrieval.train.mining import MineNegatives, candidate_documents, mine, mined_queries
from hr_retrieval.train.module import RetrievalModule
from tests.conftest import TOY, UNMEASURED, Command, write_toy_dataset
from tests.data.test_datamodule import make

MINING = (
    *TOY, *UNMEASURED, "trainer.accelerator=cpu", "optimizer.lr=1e-3", "scheduler=constant", "trainer.max_epochs=3",
    "trainer.limit_train_batches=4", "trainer.log_every_n_steps=1", "callbacks.last.every_n_train_steps=1",
    "datamodule.negatives_per_anchor=0", "callbacks=mining", "callbacks.mine_negatives.positive_share=null",
)  # fmt: skip
ONE = (*MINING, "datamodule.mined_per_anchor=1")


@pytest.fixture(autouse=True)
def toy(toy_dataset: Path) -> Path:
    return toy_dataset


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int], list[int]]]:
    """Epoch, query rows and document rows of every batch that was trained on."""
    original, seen = RetrievalModule.training_step, []

    def step(self: RetrievalModule, batch: Batch, batch_index: int) -> torch.Tensor:
        seen.append((self.current_epoch, batch.query_rows.tolist(), batch.document_rows.tolist()))
        return original(self, batch, batch_index)

    monkeypatch.setattr(RetrievalModule, "training_step", step)
    return seen


def checkpoint(run: Path) -> dict[str, Any]:
    return load_checkpoint(run / "checkpoints" / "last.ckpt")


def assert_equal_runs(run: Path, whole: Path) -> None:
    found, expected = checkpoint(run), checkpoint(whole)
    assert found["global_step"] == expected["global_step"]
    assert all(torch.equal(found["state_dict"][name], value) for name, value in expected["state_dict"].items())
    assert found["RetrievalDataModule"] == expected["RetrievalDataModule"]
    assert (run / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    (last,) = sorted((whole / "negatives").iterdir())[-1:]
    assert pq.read_table(run / "negatives" / last.name).equals(pq.read_table(last))


def mined_pairs(path: Path) -> set[tuple[int, int]]:
    table = pq.read_table(path)
    return set(zip(table.column("query_row").to_pylist(), table.column("document_row").to_pylist(), strict=True))


def test_every_batch_has_negatives_of_its_own_epoch_for_any_number_of_workers(
    command: Command, tmp_path: Path, trained: list[tuple[int, list[int], list[int]]]
) -> None:
    """From the first batch of the epoch on, also where workers fetch ahead."""
    options = (*ONE, "callbacks.mine_negatives.per_query=2", "callbacks.mine_negatives.depth=30")
    command(train.main, *options, "output=alone")
    command(train.main, *options, "output=workers", "datamodule.workers=2")
    assert_equal_runs(tmp_path / "workers", tmp_path / "alone")
    assert trained[:12] == trained[12:]
    assert len(trained) == 24
    pairs = [mined_pairs(tmp_path / "alone" / "negatives" / f"epoch-{epoch:04d}.parquet") for epoch in (1, 2, 3)]
    assert pairs[0] != pairs[1]
    assert pairs[1] != pairs[2]
    for epoch, queries, documents in trained:
        extra = documents[len(queries) :]
        assert extra
        assert all(any((query, document) in pairs[epoch] for query in queries) for document in extra)
        assert all(any((query, document) in pairs[epoch] for document in documents) for query in queries)


def test_a_run_resumed_again_and_again_ends_as_one_never_stopped(command: Command, tmp_path: Path) -> None:
    """Within the first epoch, at its end, within the second one and at its end; mined in the first and the third."""
    options = (*ONE, "callbacks.mine_negatives.every_n_epochs=2")
    command(train.main, *options, "output=whole")
    begin: tuple[str, ...] = (*options, "output=cut")
    for steps in (2, 4, 6, 8):
        command(train.main, *begin, f"trainer.max_steps={steps}")
        assert checkpoint(tmp_path / "cut")["global_step"] == steps
        begin = ("resume=cut",)
    assert "Run directory" in command(train.main, *begin, "trainer.max_steps=-1")
    assert checkpoint(tmp_path / "cut")["global_step"] == 12
    assert_equal_runs(tmp_path / "cut", tmp_path / "whole")


def test_a_run_killed_while_mining_leaves_no_half_file_and_can_go_on(command: Command, tmp_path: Path) -> None:
    name = "epoch-0002.parquet"
    command(train.main, *ONE, "output=whole")
    child = os.fork()
    if child == 0:
        original = pq.write_table

        def die(table: Any, path: Path, **options: Any) -> None:
            original(table, path, **options)
            if name in str(path):
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        pq.write_table = die
        command(train.main, *ONE, "output=run")
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (tmp_path / "run" / "negatives" / name).exists()
    assert list((tmp_path / "run" / "negatives").glob(".*.partial"))
    assert "Run directory" in command(train.main, "resume=run")
    assert_equal_runs(tmp_path / "run", tmp_path / "whole")
    folder = tmp_path / "run" / "negatives"
    assert not list(folder.glob(".*"))
    # Now it has ended: resumed again, it mines nothing.
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert "Run directory" in command(train.main, "resume=run")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_files_stay_while_a_checkpoint_may_need_them(command: Command, tmp_path: Path) -> None:
    """Mined in each of six epochs of four steps; checkpoints at steps 12 (a validation), 14, and 24 (a validation)."""
    command(
        train.main, *ONE, "trainer.max_epochs=6", "trainer.check_val_every_n_epoch=3", "callbacks.last.every_n_train_steps=14",
        "output=run",
    )  # fmt: skip
    kept = {path.name for path in (tmp_path / "run" / "negatives").iterdir()}
    checkpoints = [path for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.startswith("step")]
    named = {load_checkpoint(path)["RetrievalDataModule"]["negatives"] for path in checkpoints}
    assert named == {"epoch-0004.parquet", "epoch-0006.parquet"}
    assert kept == {f"epoch-000{epoch}.parquet" for epoch in (3, 4, 5, 6)}


def test_a_run_that_early_stopping_ended_does_not_mine_when_resumed(command: Command, tmp_path: Path) -> None:
    """Unless it trains on."""
    stop = ("callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1")
    command(train.main, *ONE, *stop, "trainer.max_epochs=4", "output=run")
    negatives = tmp_path / "run" / "negatives"
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted(negatives.iterdir())]
    assert [name for name, _ in before] == ["epoch-0001.parquet", "epoch-0002.parquet"]
    command(train.main, "resume=run")
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted(negatives.iterdir())] == before
    command(train.main, "resume=run", "trainer.max_epochs=5")
    assert (negatives / "epoch-0003.parquet").exists()


def test_mining_may_begin_later_and_be_rare(
    command: Command, tmp_path: Path, trained: list[tuple[int, list[int], list[int]]]
) -> None:
    command(train.main, *ONE, "output=run", "trainer.max_epochs=4", "callbacks.mine_negatives.start_epoch=1",
            "callbacks.mine_negatives.every_n_epochs=2")  # fmt: skip
    assert {epoch for epoch, queries, documents in trained if len(documents) > len(queries)} == {1, 2, 3}
    assert {path.name for path in (tmp_path / "run" / "negatives").iterdir()} == {
        "epoch-0002.parquet",
        "epoch-0004.parquet",
    }
    header, *rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert {"mining/kept_per_query", "mining/relevant_dropped", "mining/too_close_dropped"} <= set(header.split(","))
    assert rows[1].split(",")[header.split(",").index("mining/kept_per_query")] == ""
    assert rows[-2].split(",")[header.split(",").index("mining/kept_per_query")] == "8.0"


def test_without_mining_nothing_of_it_is_there(command: Command, tmp_path: Path) -> None:
    options = [option for option in MINING if "mine_negatives" not in option and option != "callbacks=mining"]
    command(train.main, *options, "output=run")
    assert not (tmp_path / "run" / "negatives").exists()
    assert "mining/" not in (tmp_path / "run" / "metrics.csv").read_text()
    assert "negatives" not in checkpoint(tmp_path / "run")["RetrievalDataModule"]


@pytest.mark.parametrize(
    "arguments",
    [
        MINING,
        (*MINING, "callbacks=default", "~callbacks.mine_negatives", "datamodule.mined_per_anchor=1"),
        (*MINING, "datamodule.mined_per_anchor=9"),
    ],
    ids=["mined for nothing", "nothing mined", "more than are kept"],
)
def test_mining_and_drawing_go_together(command: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    if "callbacks=default" in arguments:
        arguments = tuple(
            argument for argument in arguments if "mine_negatives" not in argument and "=mining" not in argument
        )
    printed = command(train.main, *arguments, "output=run")
    assert printed.startswith("exit 1")
    assert "callbacks=mining datamodule.mined_per_anchor=1" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_epochs_out_of_range_are_refused() -> None:
    for options in ({"every_n_epochs": 0}, {"start_epoch": -1}):
        with pytest.raises(UserError, match=next(iter(options))):
            MineNegatives("negatives", **options)


@pytest.fixture
def source(toy_dataset: Path, tiny_encoder: Encoder) -> Source:
    return make(toy_dataset, tiny_encoder).sources[0]


def test_candidates_are_what_no_measured_query_has_for_an_answer(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    data = make(toy_dataset, tiny_encoder)
    ids = data.sources[0].dataset.ids_at("corpus", candidate_documents(data, 0))
    groups = {int(name[1:].split("-")[0]) for name in ids}
    assert groups == {group for group in range(60) if group % 10 < 8}
    assert len(ids) == 2 * len(groups)


def test_a_positive_of_a_training_query_is_a_candidate_whoever_else_claims_it(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    folder = write_toy_dataset(tmp_path / "claimed")
    qrels = pq.read_table(folder / "qrels.parquet").to_pylist()
    # A validation query's positive is a training query's as well.
    qrels.append({"query_id": "q8-0", "document_id": "d0-0", "relevance": 1})
    columns = pq.read_schema(folder / "qrels.parquet")
    pq.write_table(pq.read_table(folder / "qrels.parquet").from_pylist(qrels, schema=columns), folder / "qrels.parquet")
    data = make(folder, tiny_encoder)
    candidates = data.sources[0].dataset.ids_at("corpus", candidate_documents(data, 0))
    assert {"d0-0", "d0-1"} <= set(candidates)
    assert not {"d8-0", "d8-1"} & set(candidates)


def test_queries_are_of_the_training_split_and_drawn_anew_each_epoch(source: Source) -> None:
    every = mined_queries(source, MiningOptions(), 0)
    assert every.tolist() == np.flatnonzero(np.asarray(source.dataset.query_split) == 0).tolist()
    few = [
        mined_queries(source, MiningOptions(queries=10, seed=seed), epoch) for seed, epoch in ((1, 0), (1, 1), (2, 0))
    ]
    assert all(len(rows) == 10 and (np.diff(rows) > 0).all() and np.isin(rows, every).all() for rows in few)
    assert len({tuple(rows.tolist()) for rows in few}) == 3
    assert few[0].tolist() == mined_queries(source, MiningOptions(queries=10, seed=1), 0).tolist()


def mined(folder: Path, encoder: Encoder, batch_tokens: int = 200, **options: Any) -> MinedNegatives:
    module = make(folder, encoder, evaluation_tokens=batch_tokens)

    def embed(tokens: Ragged) -> torch.Tensor:
        with torch.no_grad():
            embeddings: torch.Tensor = encoder(tokens)
        return embeddings

    return mine(module, embed, MiningOptions(**options), 0, 7)


def test_mining_with_an_encoder_is_a_ranking_of_its_embeddings(toy_dataset: Path, tiny_encoder: Encoder) -> None:
    """Whatever the blocks; an expected figure for each of the diagnostics."""
    found = mined(toy_dataset, tiny_encoder, depth=96, per_query=96, positive_share=0.9)
    data = make(toy_dataset, tiny_encoder)
    dataset = data.sources[0].dataset
    texts = {table: [text for block in dataset.texts(table) for text in block] for table in ("queries", "corpus")}
    rows, candidates = mined_queries(data.sources[0], found.options, 0), candidate_documents(data, 0)
    queries = tiny_encoder.encode([texts["queries"][row] for row in rows], "query")
    documents = tiny_encoder.encode([texts["corpus"][row] for row in candidates], "document")
    scores = (queries @ documents.T).numpy()
    relevant, _ = Guard(dataset).judge(rows, candidates)
    own = [dataset.positive_documents[dataset.positive_offsets[row]] for row in rows]
    positive = scores[np.arange(len(rows)), np.searchsorted(candidates, own)]
    # The limit is far from rounding for nearly all; the rest may fall on either side.
    allowed = ~relevant & (scores < 0.9 * positive[:, None])
    assert abs(len(found) - allowed.sum()) <= 2
    assert found.diagnostics["kept_per_query"] == len(found) / len(rows)
    assert found.diagnostics["relevant_dropped"] == 2 / 96
    assert found.diagnostics["too_close_dropped"] == pytest.approx((~relevant & ~allowed).mean(), abs=1e-3)
    at = np.searchsorted(rows, found.query_rows), np.searchsorted(candidates, found.document_rows)
    np.testing.assert_allclose(found.scores, scores[at], atol=1e-5)
    np.testing.assert_allclose(found.positive_scores, positive[at[0]], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"), [("depth", 8), ("per_query", 1), ("positive_share", 0.9), ("skip", 5), ("queries", 10)]
)
def test_each_option_changes_what_is_mined(toy_dataset: Path, tiny_encoder: Encoder, name: str, value: Any) -> None:
    plain = mined(toy_dataset, tiny_encoder, positive_share=None)
    changed = mined(toy_dataset, tiny_encoder, **{"positive_share": None, name: value})
    pairs = [set(zip(some.query_rows.tolist(), some.document_rows.tolist(), strict=True)) for some in (changed, plain)]
    assert pairs[0] != pairs[1]
