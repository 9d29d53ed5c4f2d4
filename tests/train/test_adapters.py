"""A run that trains adapters and a head for each side: what it trains, that it goes on, and what it exports."""

import json
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer

from hr_retrieval.encoder.encoder import Encoder
from hr_retrieval.runs.checkpoints import load_checkpoint
from hr_retrieval.runs.directory import Run, weights_of
from hr_retrieval.train import __main__ as train
from tests.conftest import TOY, Command

pytest.importorskip("peft", reason="adapters are an extra")

OPTIONS = (
    "model.encoder.lora.rank=2", "model.encoder.heads=separate", "optimizer.lr=1e-2", "zero_shot=false", "lexical=false",
    "test=false", "logger=none", "output=run",
)  # fmt: skip


def test_adapters_are_trained_gone_on_with_and_merged(command: Command, toy_dataset: Path, tmp_path: Path) -> None:
    command(train.main, *TOY, *OPTIONS, "trainer.max_epochs=1")
    first = weights_of(tmp_path / "run" / "checkpoints" / "last.ckpt")
    command(train.main, "resume=run", "trainer.max_epochs=2")
    run, plain = Run.open(tmp_path / "run"), Encoder("tiny")
    weights = weights_of(run.checkpoints / "last.ckpt")
    moved = {name for name, weight in weights.items() if not torch.equal(weight, first[name])}
    assert moved == {name for name in weights if ".lora_" in name or "projections" in name}
    start = plain.state_dict()
    assert all(
        torch.equal(weight, start[name.replace(".base_layer", "")])
        for name, weight in weights.items()
        if name not in moved
    )
    summary = json.loads((run.folder / "summary.json").read_text())
    trained = sum(weight.numel() for name, weight in weights.items() if name in moved)
    assert (summary["trained_parameters"], summary["parameters"]) == (trained, sum(map(torch.numel, weights.values())))
    assert load_checkpoint(run.checkpoints / "last.ckpt")["epoch"] == 1
    exported, library = run.encoder(), SentenceTransformer(str(run.folder / "encoder"), device="cpu")
    texts = ["welder 3", "a nurse with tools"]
    assert not [name for name in exported.state_dict() if "lora" in name]
    for kind in ("query", "document"):
        found = library.encode(texts, task=kind, convert_to_tensor=True)
        torch.testing.assert_close(exported.encode(texts, kind), found, atol=1e-5, rtol=0)
        assert not torch.allclose(plain.encode(texts, kind), found, atol=1e-3)
