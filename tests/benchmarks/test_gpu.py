"""The GPU benchmark, dry on the CPU: every section, what a failing one leaves, and whom a wait is laid to."""

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.card import forward_flops
from benchmarks.gpu.made import SMALL
from benchmarks.gpu.syncs import culprit

pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec:FutureWarning")


@pytest.mark.parametrize("section", ["train", "train_multilingual", "encode", "syncs", "memory"])
def test_a_section_runs_dry(section: str, tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    assert gpu.main(["--dry-run", "--only", section, "--output", str(output)]) == 0, output.read_text()
    results = json.loads(output.read_text())
    assert results["dry_run"] is True
    assert results["command"] == f"python -m benchmarks.gpu --dry-run --only {section} --output {output}"
    assert {"card", "versions", "peak_tflops"} <= results.keys()
    found = results["sections"][section]
    assert found["seconds"] > 0
    if section.startswith("train"):
        assert [row["name"] for row in found["rows"]] == [section, f"{section}_tokenising", f"{section}_own_padding"]
        # As many steps with the same weights and batches.
        losses = found["rows"][0]["last_losses"]
        assert losses["ours"] == pytest.approx(losses["peer"], rel=0.05)
    if section == "encode":
        assert min(found["rows"][0]["worst_cosine_to_float32"].values()) > 0.99


def test_a_failing_section_is_recorded_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any) -> list[dict[str, Any]]:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(gpu, "SECTIONS", {**gpu.SECTIONS, "train": fails})
    output = tmp_path / "gpu.json"
    assert gpu.main(["--dry-run", "--only", "train", "memory", "--output", str(output)]) == 1
    sections = json.loads(output.read_text())["sections"]
    assert "out of luck" in sections["train"]["error"]
    assert sections["memory"]["rows"][0]["mrr"] > 0


def test_without_a_gpu_it_says_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="--dry-run"):
        gpu.main([])


def test_operations_are_those_of_a_loop_over_tokens() -> None:
    hidden, layers, lengths = SMALL.hidden, SMALL.layers, [3, 5, 1]
    total = 0
    for length in lengths:
        for _ in range(length):
            # Query, key, value and output; up and down; its scores with each token, and their sum.
            total += 2 * 4 * hidden * hidden + 2 * 2 * hidden * 4 * hidden + 2 * 2 * hidden * length
    assert forward_flops(lengths, layers, hidden) == layers * total


def test_a_wait_is_laid_to_the_innermost_line_of_ours_or_of_lightning_s() -> None:
    frames = ["run.py", "pytorch_lightning/loop.py", "src/hr_retrieval/train/module.py", "torch/_tensor.py"]

    def stack(*names: str) -> traceback.StackSummary:
        return traceback.StackSummary.from_list([(name, 7, "f", "x.item()") for name in names])

    assert culprit(stack(*frames)) == ("ours", "train/module.py:7 x.item()")
    assert culprit(stack(*frames, "torchmetrics/metric.py", "torch/x.py"))[0] == "lightning"
    assert culprit(stack("run.py", "torch/x.py"))[0] == "others"
